internal import Tensors

/// An expert that every token uses, as it is (DeepSeek-V2) or scaled by a sigmoid gate of its own
/// (Qwen2-MoE).
struct SharedExpert<Element: KernelElement> {
    private let operations: Operations<Element>
    private let mlp: MLP<Element>
    private let D: Int

    init(_ configuration: ModelConfiguration, operations: Operations<Element>) {
        self.operations = operations
        mlp = MLP(operations: operations)
        D = configuration.hiddenSize
    }

    /// Adds expert(x_MD), times sigmoid(x_MD · gate_D) if there is a gate, to y_MD.
    func forward(
        rows M: Int, x_MD: Buffer<Element>, weights: SharedExpertWeights<Element>,
        activations: SharedExpertActivations<Element>, y_MD: Buffer<Element>
    ) {
        guard let gate_D = weights.gate_D else {
            mlp.forward(
                rows: M, x_MD: x_MD, weights: weights.mlp, activations: activations.mlp,
                accumulating: true, y_MD: y_MD)
            return
        }
        mlp.forward(
            rows: M, x_MD: x_MD, weights: weights.mlp, activations: activations.mlp,
            y_MD: activations.y_MD)
        operations.sharedExpert(
            rows: M, width: D, x: x_MD, w: gate_D, shared: activations.y_MD,
            sigmoid: activations.sigmoid_M, out: y_MD)
    }

    /// Adds to dx_MD and dweights.
    ///
    /// Spoils the activations.
    func backward(
        rows M: Int, x_MD: Buffer<Element>, weights: SharedExpertWeights<Element>,
        activations: SharedExpertActivations<Element>, dy_MD: Buffer<Element>,
        dx_MD: Buffer<Element>, dweights: SharedExpertWeights<Element.Sum>,
        scratch: ExpertsScratch<Element>
    ) {
        var dshared_MD = dy_MD
        if let gate_D = weights.gate_D, let dgate_D = dweights.gate_D {
            dshared_MD = scratch.dshared_MD
            operations.sharedExpertBackward(
                rows: M, width: D, x: x_MD, w: gate_D, shared: activations.y_MD,
                sigmoid: activations.sigmoid_M, dout: dy_MD, accumulating: true, dx: dx_MD,
                dw: dgate_D, dshared: dshared_MD)
        }
        mlp.backward(
            rows: M, x_MD: x_MD, weights: weights.mlp, activations: activations.mlp,
            dy_MD: dshared_MD, accumulating: true, dx_MD: dx_MD, dweights: dweights.mlp)
    }
}

/// What the shared expert keeps of a forward pass.
struct SharedExpertActivations<Element: KernelElement> {
    let mlp: MLPActivations<Element>
    let y_MD: Buffer<Element>
    let sigmoid_M: Buffer<Element.Sum>

    init(_ configuration: ModelConfiguration, rows M: Int, plan: inout ActivationPlan) {
        mlp = MLPActivations(hidden: configuration.sharedExpertHiddenSize, rows: M, plan: &plan)
        y_MD = plan.buffer(M * configuration.hiddenSize)
        sigmoid_M = plan.buffer(M)
    }
}
