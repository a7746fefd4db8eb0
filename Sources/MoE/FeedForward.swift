package import Tensors

/// What comes after attention in a layer: a mixture of experts or, in a dense layer, one MLP.
package struct FeedForward<Element: KernelElement> {
    private let experts: Experts<Element>
    private let mlp: MLP<Element>

    package init(_ configuration: ModelConfiguration, operations: Operations<Element>) {
        experts = Experts(configuration, operations: operations)
        mlp = MLP(operations: operations)
    }

    /// y_MD from x_MD, the normed rows.
    package func forward(
        rows M: Int, x_MD: Buffer<Element>, weights: FeedForwardWeights<Element>,
        activations: FeedForwardActivations<Element>, masking: MaskingPass,
        y_MD: Buffer<Element>
    ) {
        switch (weights, activations) {
        case (.experts(let weights), .experts(let kept)):
            experts.forward(
                rows: M, x_MD: x_MD, weights: weights, activations: kept, masking: masking,
                y_MD: y_MD)
        case (.dense(let weights), .dense(let kept)):
            mlp.forward(rows: M, x_MD: x_MD, weights: weights, activations: kept, y_MD: y_MD)
        default: preconditionFailure("activations of another kind of layer")
        }
    }

    /// dx_MD from dy_MD; adds to dweights.
    ///
    /// Spoils the activations.
    func backward(
        rows M: Int, x_MD: Buffer<Element>, weights: FeedForwardWeights<Element>,
        activations: FeedForwardActivations<Element>, masking: MaskingPass,
        dy_MD: Buffer<Element>,
        dprobability_E: Buffer<Double>, dx_MD: Buffer<Element>,
        dweights: FeedForwardWeights<Element.Sum>, scratch: ExpertsScratch<Element>
    ) {
        switch (weights, activations, dweights) {
        case (.experts(let weights), .experts(let kept), .experts(let dweights)):
            experts.backward(
                rows: M, x_MD: x_MD, weights: weights, activations: kept, masking: masking,
                dy_MD: dy_MD, dprobability_E: dprobability_E, dx_MD: dx_MD, dweights: dweights,
                scratch: scratch)
        case (.dense(let weights), .dense(let kept), .dense(let dweights)):
            mlp.backward(
                rows: M, x_MD: x_MD, weights: weights, activations: kept, dy_MD: dy_MD,
                dx_MD: dx_MD, dweights: dweights)
        default: preconditionFailure("activations or gradients of another kind of layer")
        }
    }
}

/// What a layer's experts, or its one MLP, keep of a forward pass.
package enum FeedForwardActivations<Element: KernelElement> {
    case experts(ExpertsActivations<Element>)
    case dense(MLPActivations<Element>)

    /// For a layer with experts; `totals` are its parts of the model's, `rows_RD` is room that all
    /// layers share.
    package init(
        expertsOf configuration: ModelConfiguration, rows M: Int, totals: RoutingTotals,
        rows_RD: Buffer<Element>, plan: inout ActivationPlan
    ) {
        self = .experts(
            ExpertsActivations(
                configuration, rows: M, totals: totals, rows_RD: rows_RD, plan: &plan))
    }

    /// For a dense layer.
    package init(
        denseOf configuration: ModelConfiguration, rows M: Int, plan: inout ActivationPlan
    ) {
        self = .dense(
            MLPActivations(hidden: configuration.denseHiddenSize, rows: M, plan: &plan))
    }

    /// Those of the router, if there is one.
    var routing: RouterActivations<Element>? {
        if case .experts(let kept) = self { return kept.routing }
        return nil
    }
}
