package import Tensors

/// The mixture of experts: each token's row goes to the experts its router chose, and comes back as
/// their weighted sum, plus a shared expert if the model has one.
package struct Experts<Element: KernelElement> {
    private let operations: Operations<Element>
    private let router: Router<Element>
    private let shared: SharedExpert<Element>
    private let D: Int
    private let K: Int

    package init(_ configuration: ModelConfiguration, operations: Operations<Element>) {
        self.operations = operations
        router = Router(configuration, operations: operations)
        shared = SharedExpert(configuration, operations: operations)
        D = configuration.hiddenSize
        K = configuration.expertsPerToken
    }

    /// y_MD from x_MD, the normed rows.
    func forward(
        rows M: Int, x_MD: Buffer<Element>, weights: ExpertsWeights<Element>,
        activations: ExpertsActivations<Element>, masking: MaskingPass, y_MD: Buffer<Element>
    ) {
        let routing = activations.routing
        router.forward(
            rows: M, x_MD: x_MD, weights: weights, activations: routing, masking: masking)
        activations.dispatch.group(
            tokens: M, choices: K, experts: routing.dispatched(masking.masking))
        operations.experts(
            weights.places, .dispatched(activations.dispatch, choices: K), tokens: M,
            parameters: weights.all, x: x_MD, weights: routing.effectiveWeights(masking.masking),
            buffers: activations.buffers, out: y_MD)
        if let sharedWeights = weights.shared, let kept = activations.shared {
            shared.forward(
                rows: M, x_MD: x_MD, weights: sharedWeights, activations: kept, y_MD: y_MD)
        }
    }

    /// dx_MD from dy_MD; adds to dweights.
    ///
    /// Spoils the activations.
    func backward(
        rows M: Int, x_MD: Buffer<Element>, weights: ExpertsWeights<Element>,
        activations: ExpertsActivations<Element>, masking: MaskingPass, dy_MD: Buffer<Element>,
        dprobability_E: Buffer<Double>, dx_MD: Buffer<Element>,
        dweights: ExpertsWeights<Element.Sum>, scratch: ExpertsScratch<Element>
    ) {
        let routing = activations.routing
        operations.expertsBackward(
            weights.places, .dispatched(activations.dispatch, choices: K), tokens: M,
            parameters: weights.all, x: x_MD, weights: routing.effectiveWeights(masking.masking),
            buffers: activations.buffers, dout: dy_MD, dx: dx_MD,
            dweights: scratch.dweights_MK, dparameters: dweights.all)
        router.backward(
            rows: M, x_MD: x_MD, weights: weights, activations: routing, masking: masking,
            dweights_MK: scratch.dweights_MK, dprobability_E: dprobability_E, dx_MD: dx_MD,
            dweights: dweights)
        if let sharedWeights = weights.shared, let dsharedWeights = dweights.shared,
            let kept = activations.shared
        {
            shared.backward(
                rows: M, x_MD: x_MD, weights: sharedWeights, activations: kept, dy_MD: dy_MD,
                dx_MD: dx_MD, dweights: dsharedWeights, scratch: scratch)
        }
    }
}

/// What the experts keep of a forward pass.
///
/// R is at most M * K.
package struct ExpertsActivations<Element: KernelElement> {
    package let routing: RouterActivations<Element>
    package let dispatch: Dispatch
    let buffers: ExpertBuffers<Element>
    let shared: SharedExpertActivations<Element>?

    /// `totals` are this layer's parts of the model's, `rows_RD` is room that all layers share.
    init(
        _ configuration: ModelConfiguration, rows M: Int, totals: RoutingTotals,
        rows_RD: Buffer<Element>, plan: inout ActivationPlan
    ) {
        let R = M * configuration.expertsPerToken
        let F = configuration.expertHiddenSize
        routing = RouterActivations(configuration, rows: M, totals: totals, plan: &plan)
        dispatch = plan.dispatch(
            tokens: M, choices: configuration.expertsPerToken, experts: configuration.experts)
        buffers = ExpertBuffers(
            gate: plan.buffer(R * F), up: plan.buffer(R * F), hidden: plan.buffer(R * F),
            rows: rows_RD)
        shared =
            configuration.sharedExpertHiddenSize == 0
            ? nil : SharedExpertActivations(configuration, rows: M, plan: &plan)
    }
}

/// Gradients that the experts' backward pass needs only while it runs; shared by all layers.
struct ExpertsScratch<Element: KernelElement> {
    let dweights_MK: Buffer<Element.Sum>
    /// Gradients by the shared expert's output; empty if it has no gate.
    let dshared_MD: Buffer<Element>

    init(_ configuration: ModelConfiguration, rows M: Int, plan: inout ActivationPlan) {
        dweights_MK = plan.buffer(M * configuration.expertsPerToken)
        let shared = configuration.sharedExpertHiddenSize == 0 ? 0 : M * configuration.hiddenSize
        dshared_MD = plan.buffer(shared)
    }
}
