package import Tensors

/// Chooses K of E experts for each token: softmax of a linear map, the K most probable, their
/// probabilities as weights, renormalised and scaled if the model does that.
struct Router<Element: KernelElement> {
    private let operations: Operations<Element>
    /// With no rows.
    private let shape: RouterShape
    private let D: Int
    private var E: Int { shape.experts }

    init(_ configuration: ModelConfiguration, operations: Operations<Element>) {
        self.operations = operations
        shape = configuration.routerShape
        D = configuration.hiddenSize
    }

    /// Fills the activations: whom each of the rows chooses and, where `masking` is on, what of it
    /// is live.
    func forward(
        rows M: Int, x_MD: Buffer<Element>, weights: ExpertsWeights<Element>,
        activations: RouterActivations<Element>, masking: MaskingPass
    ) {
        let mask = masking.isOn ? activations.mask : nil
        let shape = shape(rows: M, isMasked: mask != nil)
        operations.linearWide(
            rows: M, inputs: D, outputs: shape.stride ?? E, x: x_MD,
            w: matrix(weights, isMasked: mask != nil), y: activations.logits_ME)
        operations.router(
            shape,
            logits: activations.logits_ME, probabilities: activations.probabilities_ME,
            chosen: activations.chosen_MK, weights: activations.weights_MK,
            counts: activations.counts_E, probabilitySums: activations.probabilitySums_E)
        guard let mask else { return }
        if case .pruning(let rule) = masking.masking.use {
            mask.tally[0] = mask.prune(activations, by: rule, rows: M, choices: shape.choices)
            return
        }
        mask.tally[0] = operations.mask(
            maskShape(rows: M, masking.masking), logits: maskLogits(activations),
            chosen: activations.chosen_MK, weights: activations.weights_MK,
            targets: masking.targets_M, soft: mask.soft_MK, masked: mask.masked_MK,
            live: mask.live_MK)
    }

    /// Adds to dx_MD and to the gradients of the router and, where `masking` is on, of the mask
    /// router, from the gradient of the weights as the experts got them.
    ///
    /// dprobability_E is the load-balancing loss's part in the gradient of every token's
    /// probabilities. Turns the logits into their gradient, and spoils dweights_MK.
    func backward(
        rows M: Int, x_MD: Buffer<Element>, weights: ExpertsWeights<Element>,
        activations: RouterActivations<Element>, masking: MaskingPass,
        dweights_MK: Buffer<Element.Sum>, dprobability_E: Buffer<Double>,
        dx_MD: Buffer<Element>, dweights: ExpertsWeights<Element.Sum>
    ) {
        let mask = masking.isOn ? activations.mask : nil
        let shape = shape(rows: M, isMasked: mask != nil)
        let dlogits_ME = activations.logits_ME
        if let mask {
            operations.maskBackward(
                maskShape(rows: M, masking.masking), chosen: activations.chosen_MK,
                weights: activations.weights_MK, targets: masking.targets_M, soft: mask.soft_MK,
                live: mask.live_MK, dmasked: dweights_MK, dsoft: masking.dsoft,
                dweights: dweights_MK, dlogits: maskLogits(activations))
        }
        operations.routerBackward(
            shape,
            probabilities: activations.probabilities_ME, chosen: activations.chosen_MK,
            weights: activations.weights_MK, dweights: dweights_MK,
            dprobability: dprobability_E, dlogits: dlogits_ME)
        operations.linearWideBackward(
            rows: M, inputs: D, outputs: shape.stride ?? E, x: x_MD,
            w: matrix(weights, isMasked: mask != nil), dy: dlogits_ME, accumulating: true,
            dx: dx_MD, dw: matrix(dweights, isMasked: mask != nil))
    }

    private func shape(rows M: Int, isMasked: Bool) -> RouterShape {
        var shape = shape
        shape.rows = M
        shape.stride = isMasked ? 2 * E : E
        return shape
    }

    private func maskShape(rows M: Int, _ masking: Masking) -> MaskShape {
        var shape = MaskShape(rows: M, experts: E, choices: shape.choices, stride: 2 * E)
        shape.bias = masking.bias
        shape.threshold = masking.threshold
        shape.squares = masking.squares
        return shape
    }

    /// The router's matrix, or with the mask router's below it.
    private func matrix<Number>(
        _ weights: ExpertsWeights<Number>, isMasked: Bool
    ) -> Buffer<Number> {
        guard isMasked else { return weights.router_ED }
        guard let both = weights.routerAndMask_2ED else {
            preconditionFailure("masks without a mask router")
        }
        return both
    }

    /// The second half of each row of logits, and the rest of the buffer.
    private func maskLogits(_ activations: RouterActivations<Element>) -> Buffer<Element.Sum> {
        activations.logits_ME[E..<activations.logits_ME.count]
    }
}

/// What the router keeps of a forward pass.
package struct RouterActivations<Element: KernelElement> {
    /// [M,2E] with those of the mask router beside them.
    let logits_ME: Buffer<Element.Sum>
    let probabilities_ME: Buffer<Element.Sum>
    /// The experts of each token, the most probable first, and their weights.
    package let chosen_MK: Buffer<Int32>
    package let weights_MK: Buffer<Element.Sum>
    /// Slots that chose each expert, and each expert's probability summed over tokens.
    package let counts_E: Buffer<Int32>
    let probabilitySums_E: Buffer<Double>
    /// Of a model with masks.
    package let mask: MaskActivations<Element>?

    /// `totals` are this layer's parts of the model's.
    init(
        _ configuration: ModelConfiguration, rows M: Int, totals: RoutingTotals,
        plan: inout ActivationPlan
    ) {
        let columns = configuration.masksExperts ? 2 * configuration.experts : configuration.experts
        logits_ME = plan.buffer(M * columns)
        probabilities_ME = plan.buffer(M * configuration.experts)
        chosen_MK = plan.buffer(M * configuration.expertsPerToken)
        weights_MK = plan.buffer(M * configuration.expertsPerToken)
        counts_E = totals.counts
        probabilitySums_E = totals.probabilitySums
        mask =
            configuration.masksExperts
            ? MaskActivations(configuration, rows: M, tally: totals.masks, plan: &plan) : nil
    }
}

extension RouterActivations {
    /// The experts [M,K] that have work to do, -1 for a slot that causes none.
    func dispatched(_ masking: Masking) -> Buffer<Int32> {
        guard masking.use.skips, let mask else { return chosen_MK }
        return mask.live_MK
    }

    /// What experts' outputs are multiplied by [M,K].
    func effectiveWeights(_ masking: Masking) -> Buffer<Element.Sum> {
        guard masking.use != .off, let mask else { return weights_MK }
        return mask.masked_MK
    }
}

/// What the routers of some layers count over all tokens.
package struct RoutingTotals {
    /// Slots that chose each expert, and each expert's probability summed over tokens, both [L,E].
    let counts: Buffer<Int32>
    let probabilitySums: Buffer<Double>
    /// What the masks leave [L].
    let masks: Buffer<MaskTally>
    private let experts: Int

    package init(_ configuration: ModelConfiguration, layers L: Int, plan: inout ActivationPlan) {
        experts = configuration.experts
        counts = plan.buffer(L * experts)
        probabilitySums = plan.buffer(L * experts)
        masks = plan.buffer(L)
    }

    private init(
        experts: Int, counts: Buffer<Int32>, probabilitySums: Buffer<Double>,
        masks: Buffer<MaskTally>
    ) {
        self.experts = experts
        self.counts = counts
        self.probabilitySums = probabilitySums
        self.masks = masks
    }

    /// Those of one layer.
    func layer(_ index: Int) -> RoutingTotals {
        let part = index * experts..<(index + 1) * experts
        return RoutingTotals(
            experts: experts, counts: counts[part], probabilitySums: probabilitySums[part],
            masks: masks[index..<index + 1])
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
