package import Tensors

/// Chooses K of E experts for each token: softmax of a linear map, the K most probable, their
/// probabilities as weights, renormalised and scaled if the model does that.
struct Router<Element: KernelElement> {
    private let operations: Operations<Element>
    /// With no rows.
    private let shape: RouterShape
    private let D: Int

    init(_ configuration: ModelConfiguration, operations: Operations<Element>) {
        self.operations = operations
        shape = configuration.routerShape
        D = configuration.hiddenSize
    }

    func forward(
        rows M: Int, x_MD: Buffer<Element>, weight_ED: Buffer<Element>,
        activations: RouterActivations<Element>
    ) {
        var shape = shape
        shape.rows = M
        operations.linearWide(
            rows: M, inputs: D, outputs: shape.experts, x: x_MD, w: weight_ED,
            y: activations.logits_ME)
        operations.router(
            shape,
            logits: activations.logits_ME, probabilities: activations.probabilities_ME,
            chosen: activations.chosen_MK, weights: activations.weights_MK,
            counts: activations.counts_E, probabilitySums: activations.probabilitySums_E)
    }

    /// Adds to dx_MD and dweight_ED.
    ///
    /// dprobability_E is the load-balancing loss's part in the gradient of every token's
    /// probabilities. Turns the logits into their gradient.
    func backward(
        rows M: Int, x_MD: Buffer<Element>, weight_ED: Buffer<Element>,
        activations: RouterActivations<Element>, dweights_MK: Buffer<Element.Sum>,
        dprobability_E: Buffer<Double>, dx_MD: Buffer<Element>, dweight_ED: Buffer<Element.Sum>
    ) {
        var shape = shape
        shape.rows = M
        let dlogits_ME = activations.logits_ME
        operations.routerBackward(
            shape,
            probabilities: activations.probabilities_ME, chosen: activations.chosen_MK,
            weights: activations.weights_MK, dweights: dweights_MK,
            dprobability: dprobability_E, dlogits: dlogits_ME)
        operations.linearWideBackward(
            rows: M, inputs: D, outputs: shape.experts, x: x_MD, w: weight_ED, dy: dlogits_ME,
            accumulating: true, dx: dx_MD, dw: dweight_ED)
    }
}

/// What the router keeps of a forward pass.
package struct RouterActivations<Element: KernelElement> {
    let logits_ME: Buffer<Element.Sum>
    let probabilities_ME: Buffer<Element.Sum>
    /// The experts of each token, the most probable first, and their weights.
    package let chosen_MK: Buffer<Int32>
    package let weights_MK: Buffer<Element.Sum>
    /// Slots that chose each expert, and each expert's probability summed over tokens.
    package let counts_E: Buffer<Int32>
    let probabilitySums_E: Buffer<Double>

    /// `counts_E` and `probabilitySums_E` are this layer's parts of the model's.
    init(
        _ configuration: ModelConfiguration, rows M: Int, counts_E: Buffer<Int32>,
        probabilitySums_E: Buffer<Double>, plan: inout ActivationPlan
    ) {
        logits_ME = plan.buffer(M * configuration.experts)
        probabilities_ME = plan.buffer(M * configuration.experts)
        chosen_MK = plan.buffer(M * configuration.expertsPerToken)
        weights_MK = plan.buffer(M * configuration.expertsPerToken)
        self.counts_E = counts_E
        self.probabilitySums_E = probabilitySums_E
    }
}

extension ModelConfiguration {
    /// How the model's routers choose, for no rows yet.
    fileprivate var routerShape: RouterShape {
        var shape = RouterShape(
            rows: 0, experts: experts, choices: expertsPerToken, isRenormalizing: normalizesTopK)
        shape.groups = routingGroups
        shape.groupsChosen = routingGroupsChosen
        shape.scale = routedScalingFactor
        return shape
    }
}
