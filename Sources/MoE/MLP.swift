package import Tensors

/// A SwiGLU MLP that every token uses: one expert that all rows belong to.
struct MLP<Element: KernelElement> {
    private let operations: Operations<Element>

    init(operations: Operations<Element>) { self.operations = operations }

    /// y_MD from x_MD, or added to it.
    func forward(
        rows M: Int, x_MD: Buffer<Element>, weights: MLPWeights<Element>,
        activations: MLPActivations<Element>, accumulating: Bool = false, y_MD: Buffer<Element>
    ) {
        activations.offsets[1] = Int32(M)
        operations.experts(
            weights.places, .everyToken(offsets: activations.offsets), tokens: M,
            parameters: weights.all, x: x_MD, weights: nil, buffers: activations.buffers,
            accumulating: accumulating, out: y_MD)
    }

    /// dx_MD from dy_MD, or added to it; adds to dweights.
    ///
    /// Spoils the activations.
    func backward(
        rows M: Int, x_MD: Buffer<Element>, weights: MLPWeights<Element>,
        activations: MLPActivations<Element>, dy_MD: Buffer<Element>, accumulating: Bool = false,
        dx_MD: Buffer<Element>, dweights: MLPWeights<Element.Sum>
    ) {
        operations.expertsBackward(
            weights.places, .everyToken(offsets: activations.offsets), tokens: M,
            parameters: weights.all, x: x_MD, weights: nil, buffers: activations.buffers,
            dout: dy_MD, accumulating: accumulating, dx: dx_MD, dweights: nil,
            dparameters: dweights.all)
    }
}

/// What an MLP keeps of a forward pass.
package struct MLPActivations<Element: KernelElement> {
    /// 0 and M: all rows belong to the one expert.
    let offsets: Buffer<Int32>
    let buffers: ExpertBuffers<Element>

    init(hidden S: Int, rows M: Int, plan: inout ActivationPlan) {
        offsets = plan.buffer(2)
        buffers = ExpertBuffers(
            gate: plan.buffer(M * S), up: plan.buffer(M * S), hidden: plan.buffer(M * S),
            rows: plan.buffer(0))
    }
}
