internal import Tensors

/// One decoder layer: x + attention(norm(x)), then x + experts(norm(x)), or a dense MLP instead.
struct Block<Element: KernelElement> {
    private let operations: Operations<Element>
    private let attention: Attention<Element>
    private let feedForward: FeedForward<Element>
    private let epsilon: Double
    private let D: Int

    init(
        _ configuration: ModelConfiguration, rotary: RotaryTable<Element.Sum>,
        operations: Operations<Element>
    ) {
        self.operations = operations
        attention = Attention(configuration, rotary: rotary, operations: operations)
        feedForward = FeedForward(configuration, operations: operations)
        epsilon = configuration.normEpsilon
        D = configuration.hiddenSize
    }

    /// y_MD from the residual stream x_MD.
    func forward(
        _ shape: AttentionShape, x_MD: Buffer<Element>, weights: LayerWeights<Element>,
        activations kept: BlockActivations<Element>, masking: MaskingPass, y_MD: Buffer<Element>
    ) {
        let M = shape.batch * shape.tokens
        operations.rmsNorm(
            rows: M, width: D, epsilon: epsilon, x: x_MD, w: weights.attentionNorm_D,
            y: kept.attentionNormed_MD, rstd: kept.attentionRstd_M)
        attention.forward(
            shape, x_MD: kept.attentionNormed_MD, weights: weights.attention,
            activations: kept.attention, y_MD: kept.middle_MD)
        operations.add(count: M * D, a: x_MD, b: kept.middle_MD, y: kept.middle_MD)

        operations.rmsNorm(
            rows: M, width: D, epsilon: epsilon, x: kept.middle_MD, w: weights.expertsNorm_D,
            y: kept.expertsNormed_MD, rstd: kept.expertsRstd_M)
        feedForward.forward(
            rows: M, x_MD: kept.expertsNormed_MD, weights: weights.feedForward,
            activations: kept.feedForward, masking: masking, y_MD: y_MD)
        operations.add(count: M * D, a: kept.middle_MD, b: y_MD, y: y_MD)
    }

    /// Turns dx_MD, on entry the gradient by the output, into the gradient by x_MD; adds to
    /// dweights.
    func backward(
        _ shape: AttentionShape, x_MD: Buffer<Element>, weights: LayerWeights<Element>,
        activations kept: BlockActivations<Element>, masking: MaskingPass,
        dprobability_E: Buffer<Double>,
        dx_MD: Buffer<Element>, dweights: LayerWeights<Element.Sum>, scratch: BlockScratch<Element>
    ) {
        let M = shape.batch * shape.tokens
        feedForward.backward(
            rows: M, x_MD: kept.expertsNormed_MD, weights: weights.feedForward,
            activations: kept.feedForward, masking: masking, dy_MD: dx_MD,
            dprobability_E: dprobability_E, dx_MD: scratch.dnormed_MD,
            dweights: dweights.feedForward, scratch: scratch.experts)
        operations.rmsNormBackward(
            rows: M, width: D, x: kept.middle_MD, w: weights.expertsNorm_D,
            rstd: kept.expertsRstd_M, dy: scratch.dnormed_MD, accumulating: true, dx: dx_MD,
            dw: dweights.expertsNorm_D)

        attention.backward(
            shape, x_MD: kept.attentionNormed_MD, weights: weights.attention,
            activations: kept.attention, dy_MD: dx_MD, dx_MD: scratch.dnormed_MD,
            dweights: dweights.attention, scratch: scratch.attention)
        operations.rmsNormBackward(
            rows: M, width: D, x: x_MD, w: weights.attentionNorm_D,
            rstd: kept.attentionRstd_M, dy: scratch.dnormed_MD, accumulating: true, dx: dx_MD,
            dw: dweights.attentionNorm_D)
    }
}

/// What a layer keeps of a forward pass, besides its input.
struct BlockActivations<Element: KernelElement> {
    let attentionNormed_MD: Buffer<Element>
    let attentionRstd_M: Buffer<Element.Sum>
    let attention: AttentionActivations<Element>
    /// The residual stream between attention and experts.
    let middle_MD: Buffer<Element>
    let expertsNormed_MD: Buffer<Element>
    let expertsRstd_M: Buffer<Element.Sum>
    let feedForward: FeedForwardActivations<Element>

    init(
        _ configuration: ModelConfiguration, rows M: Int,
        feedForward: FeedForwardActivations<Element>, plan: inout ActivationPlan
    ) {
        let D = configuration.hiddenSize
        attentionNormed_MD = plan.buffer(M * D)
        attentionRstd_M = plan.buffer(M)
        attention = AttentionActivations(configuration, rows: M, plan: &plan)
        middle_MD = plan.buffer(M * D)
        expertsNormed_MD = plan.buffer(M * D)
        expertsRstd_M = plan.buffer(M)
        self.feedForward = feedForward
    }
}

/// Gradients that a layer's backward pass needs only while it runs; shared by all layers.
struct BlockScratch<Element: KernelElement> {
    let dnormed_MD: Buffer<Element>
    let attention: AttentionScratch<Element>
    let experts: ExpertsScratch<Element>

    init(_ configuration: ModelConfiguration, rows M: Int, plan: inout ActivationPlan) {
        dnormed_MD = plan.buffer(M * configuration.hiddenSize)
        attention = AttentionScratch(configuration, rows: M, plan: &plan)
        experts = ExpertsScratch(configuration, rows: M, plan: &plan)
    }
}
