package import Tensors

/// A SwiGLU MLP that every token uses: one expert that all rows belong to.
struct MLP<Element: KernelElement> {
    private let operations: Operations<Element>

    init(operations: Operations<Element>) { self.operations = operations }

    /// y_MD from x_MD.
    func forward(
        rows M: Int, x_MD: Buffer<Element>, weights: MLPWeights<Element>,
        activations: MLPActivations<Element>, y_MD: Buffer<Element>
    ) {
        activations.offsets[1] = Int32(M)
        operations.experts(
            weights.places, offsets: activations.offsets, parameters: weights.all, x: x_MD,
            gate: activations.gate_MS, up: activations.up_MS, hidden: activations.hidden_MS,
            y: y_MD)
    }

    /// dx_MD from dy_MD; adds to dweights.
    ///
    /// Spoils the activations.
    func backward(
        rows M: Int, x_MD: Buffer<Element>, weights: MLPWeights<Element>,
        activations: MLPActivations<Element>, dy_MD: Buffer<Element>, dx_MD: Buffer<Element>,
        dweights: MLPWeights<Element>
    ) {
        operations.expertsBackward(
            weights.places, offsets: activations.offsets, parameters: weights.all, x: x_MD,
            gate: activations.gate_MS, up: activations.up_MS, hidden: activations.hidden_MS,
            dy: dy_MD, dx: dx_MD, dparameters: dweights.all)
    }
}

/// What an MLP keeps of a forward pass.
package struct MLPActivations<Element: KernelElement> {
    /// 0 and M: all rows belong to the one expert.
    let offsets: Buffer<Int32>
    let gate_MS: Buffer<Element>
    let up_MS: Buffer<Element>
    let hidden_MS: Buffer<Element>

    init(hidden S: Int, rows M: Int, plan: inout ActivationPlan) {
        offsets = plan.buffer(2)
        gate_MS = plan.buffer(M * S)
        up_MS = plan.buffer(M * S)
        hidden_MS = plan.buffer(M * S)
    }
}
