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
    package func forward(
        rows M: Int, x_MD: Buffer<Element>, weights: ExpertsWeights<Element>,
        activations: ExpertsActivations<Element>, y_MD: Buffer<Element>
    ) {
        let routing = activations.routing
        let dispatch = activations.dispatch
        router.forward(
            rows: M, x_MD: x_MD, weight_ED: weights.router_ED, activations: routing)
        dispatch.group(tokens: M, choices: K, experts: routing.chosen_MK)
        operations.gather(
            dispatch, tokens: M, choices: K, width: D, x: x_MD, rows: activations.x_RD)
        operations.experts(
            weights.places, offsets: dispatch.offsets, parameters: weights.all,
            x: activations.x_RD, gate: activations.gate_RF, up: activations.up_RF,
            hidden: activations.hidden_RF, y: activations.y_RD)
        operations.combine(
            dispatch, tokens: M, choices: K, width: D, weights: routing.weights_MK,
            rows: activations.y_RD, out: y_MD)
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
        activations: ExpertsActivations<Element>, dy_MD: Buffer<Element>,
        dprobability_E: Buffer<Double>, dx_MD: Buffer<Element>,
        dweights: ExpertsWeights<Element>, scratch: ExpertsScratch<Element>
    ) {
        let routing = activations.routing
        let dispatch = activations.dispatch
        operations.combineBackward(
            dispatch, tokens: M, choices: K, width: D, weights: routing.weights_MK,
            rows: activations.y_RD, dout: dy_MD, dweights: scratch.dweights_MK,
            drows: scratch.dy_RD)
        operations.expertsBackward(
            weights.places, offsets: dispatch.offsets, parameters: weights.all,
            x: activations.x_RD, gate: activations.gate_RF, up: activations.up_RF,
            hidden: activations.hidden_RF, dy: scratch.dy_RD, dx: scratch.dx_RD,
            dparameters: dweights.all)
        operations.gatherBackward(
            dispatch, tokens: M, choices: K, width: D, drows: scratch.dx_RD, dx: dx_MD)
        router.backward(
            rows: M, x_MD: x_MD, weight_ED: weights.router_ED, activations: routing,
            dweights_MK: scratch.dweights_MK, dprobability_E: dprobability_E, dx_MD: dx_MD,
            dweight_ED: dweights.router_ED)
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
    let x_RD: Buffer<Element>
    let gate_RF: Buffer<Element>
    let up_RF: Buffer<Element>
    let hidden_RF: Buffer<Element>
    let y_RD: Buffer<Element>
    let shared: SharedExpertActivations<Element>?

    /// `counts_E` and `probabilitySums_E` are this layer's parts of the model's.
    package init(
        _ configuration: ModelConfiguration, rows M: Int, counts_E: Buffer<Int32>,
        probabilitySums_E: Buffer<Double>, plan: inout ActivationPlan
    ) {
        let R = M * configuration.expertsPerToken
        let D = configuration.hiddenSize
        let F = configuration.expertHiddenSize
        routing = RouterActivations(
            configuration, rows: M, counts_E: counts_E, probabilitySums_E: probabilitySums_E,
            plan: &plan)
        dispatch = plan.dispatch(
            tokens: M, choices: configuration.expertsPerToken, experts: configuration.experts)
        x_RD = plan.buffer(R * D)
        gate_RF = plan.buffer(R * F)
        up_RF = plan.buffer(R * F)
        hidden_RF = plan.buffer(R * F)
        y_RD = plan.buffer(R * D)
        shared =
            configuration.sharedExpertHiddenSize == 0
            ? nil : SharedExpertActivations(configuration, rows: M, plan: &plan)
    }
}

/// Gradients that the experts' backward pass needs only while it runs; shared by all layers.
struct ExpertsScratch<Element: KernelElement> {
    let dweights_MK: Buffer<Element>
    let dx_RD: Buffer<Element>
    let dy_RD: Buffer<Element>
    /// Gradients by the shared expert's output and input; empty if there is none.
    let dshared_MD: Buffer<Element>
    let dsharedX_MD: Buffer<Element>

    init(_ configuration: ModelConfiguration, rows M: Int, plan: inout ActivationPlan) {
        let R = M * configuration.expertsPerToken
        let D = configuration.hiddenSize
        dweights_MK = plan.buffer(R)
        dx_RD = plan.buffer(R * D)
        dy_RD = plan.buffer(R * D)
        let shared = configuration.sharedExpertHiddenSize == 0 ? 0 : M * D
        dshared_MD = plan.buffer(shared)
        dsharedX_MD = plan.buffer(shared)
    }
}
