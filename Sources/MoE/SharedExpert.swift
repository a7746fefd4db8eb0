internal import Tensors

/// An expert that every token uses, scaled by a sigmoid gate of its own (Qwen2-MoE).
struct SharedExpert<Element: KernelElement> {
    private let operations: Operations<Element>
    private let D: Int

    init(_ configuration: ModelConfiguration, operations: Operations<Element>) {
        self.operations = operations
        D = configuration.hiddenSize
    }

    /// Adds sigmoid(x_MD · gate_D) * expert(x_MD) to y_MD.
    func forward(
        rows M: Int, x_MD: Buffer<Element>, all: Buffer<Element>,
        weights: SharedExpertWeights<Element>, activations: SharedExpertActivations<Element>,
        y_MD: Buffer<Element>
    ) {
        activations.offsets[1] = Int32(M)
        operations.experts(
            weights.places, offsets: activations.offsets, parameters: all, x: x_MD,
            gate: activations.gate_MS, up: activations.up_MS, hidden: activations.hidden_MS,
            y: activations.y_MD)
        operations.sharedExpert(
            rows: M, width: D, x: x_MD, w: weights.gate_D, shared: activations.y_MD,
            sigmoid: activations.sigmoid_M, out: y_MD)
    }

    /// Adds to dx_MD, dall and dweights.
    ///
    /// Spoils the activations.
    func backward(
        rows M: Int, x_MD: Buffer<Element>, all: Buffer<Element>,
        weights: SharedExpertWeights<Element>, activations: SharedExpertActivations<Element>,
        dy_MD: Buffer<Element>, dx_MD: Buffer<Element>, dall: Buffer<Element>,
        dweights: SharedExpertWeights<Element>, scratch: ExpertsScratch<Element>
    ) {
        operations.sharedExpertBackward(
            rows: M, width: D, x: x_MD, w: weights.gate_D, shared: activations.y_MD,
            sigmoid: activations.sigmoid_M, dout: dy_MD, accumulating: true, dx: dx_MD,
            dw: dweights.gate_D, dshared: scratch.dshared_MD)
        operations.expertsBackward(
            weights.places, offsets: activations.offsets, parameters: all, x: x_MD,
            gate: activations.gate_MS, up: activations.up_MS, hidden: activations.hidden_MS,
            dy: scratch.dshared_MD, dx: scratch.dsharedX_MD, dparameters: dall)
        operations.add(count: M * D, a: dx_MD, b: scratch.dsharedX_MD, y: dx_MD)
    }
}

/// What the shared expert keeps of a forward pass.
struct SharedExpertActivations<Element: KernelElement> {
    /// 0 and M: all rows belong to the one expert.
    let offsets: Buffer<Int32>
    let gate_MS: Buffer<Element>
    let up_MS: Buffer<Element>
    let hidden_MS: Buffer<Element>
    let y_MD: Buffer<Element>
    let sigmoid_M: Buffer<Element>

    init(_ configuration: ModelConfiguration, rows M: Int, plan: inout ActivationPlan) {
        let S = configuration.sharedExpertHiddenSize
        offsets = plan.buffer(2)
        gate_MS = plan.buffer(M * S)
        up_MS = plan.buffer(M * S)
        hidden_MS = plan.buffer(M * S)
        y_MD = plan.buffer(M * configuration.hiddenSize)
        sigmoid_M = plan.buffer(M)
    }
}
