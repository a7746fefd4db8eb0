internal import CKernels

/// Which expert sees which token, and the way there and back.

/// What groups rows by expert, for M tokens with K choices each among E experts.
package struct Dispatch: Sendable {
    /// offsets [E+1]: rows offsets[e] ..< offsets[e+1] belong to expert e.
    package let offsets: Buffer<Int32>
    /// The row of each slot [M,K], -1 for a slot that is skipped, and the slot of each row [M*K].
    package let rowOfSlot: Buffer<Int32>
    package let slotOfRow: Buffer<Int32>

    package init(tokens M: Int, choices K: Int, experts E: Int) {
        offsets = Buffer(count: E + 1)
        rowOfSlot = Buffer(count: M * K)
        slotOfRow = Buffer(count: M * K)
    }

    /// Groups the slots of experts [M,K], each 0 ..< E or -1 to be skipped, stable in slot order.
    package func group(tokens M: Int, choices K: Int, experts: Buffer<Int32>) {
        require(experts, holds: M * K, "chosen experts")
        require(rowOfSlot, holds: M * K, "rows of slots")
        let E = offsets.count - 1
        unsafe withPointers(experts, offsets, rowOfSlot, slotOfRow) {
            experts, offsets, rowOfSlot, slotOfRow in
            unsafe martlet_dispatch(M, K, E, experts, offsets, rowOfSlot, slotOfRow)
        }
    }

    /// R, the rows that ``group(tokens:choices:experts:)`` dispatched.
    package var rows: Int { Int(offsets[offsets.count - 1]) }
}

/// Load-balancing loss over L layers of M tokens each, without its coefficient.
///
/// Fedus et al. 2021, equations 4 to 6, summed over top-k choices as `transformers` does for
/// Qwen3-MoE. counts [L,E] and probabilitySums [L,E] are the router's. dprobability [E] becomes
/// factor times the loss's derivative by any token's probabilities in any layer; counts are
/// constants.
package func loadBalancingLoss(
    layers L: Int, rows M: Int, experts E: Int, counts: Buffer<Int32>,
    probabilitySums: Buffer<Double>, factor: Double, dprobability: Buffer<Double>
) -> Double {
    require(counts, holds: L * E, "expert counts")
    require(probabilitySums, holds: L * E, "probability sums")
    require(dprobability, holds: E, "probability gradient")
    return unsafe withPointers(counts, probabilitySums, dprobability) {
        counts, sums, dprobability in
        unsafe martlet_load_balancing(L, M, E, counts, sums, factor, dprobability)
    }
}

/// How a router chooses K of E experts for each of M tokens.
package struct RouterShape: Sendable, Equatable {
    package var rows: Int
    package var experts: Int
    package var choices: Int
    /// Of the groups that neighbouring experts form, only the `groupsChosen` whose best expert is
    /// most probable can be chosen from.
    package var groups = 1
    package var groupsChosen = 1
    /// Whether a token's weights are divided by their sum, before they are multiplied by `scale`.
    package var isRenormalizing: Bool
    package var scale = 1.0
    /// Elements from one token's logits to the next one's; `nil` is E.
    package var stride: Int?

    /// Elements that the logits of all rows span.
    fileprivate var span: Int { rows == 0 ? 0 : (rows - 1) * (stride ?? experts) + experts }

    package init(rows: Int, experts: Int, choices: Int, isRenormalizing: Bool) {
        self.rows = rows
        self.experts = experts
        self.choices = choices
        self.isRenormalizing = isRenormalizing
    }

    /// As the kernels take it.
    fileprivate var kernel: martlet_router_shape {
        precondition(
            groups >= 1 && experts % groups == 0 && (1...groups).contains(groupsChosen),
            "\(experts) experts are not \(groupsChosen) of \(groups) groups")
        precondition(
            (1...groupsChosen * (experts / groups)).contains(choices),
            "cannot choose \(choices) of \(experts) experts")
        return martlet_router_shape(
            rows: rows, experts: experts, choices: choices, groups: groups,
            groups_chosen: groupsChosen, renormalize: isRenormalizing ? 1 : 0, scale: scale,
            stride: stride ?? experts)
    }
}

extension Operations {
    /// probabilities [M,E] = softmax of logits [M,E]; chosen [M,K]: the K most probable, the most
    /// probable first, ties to the lowest; weights [M,K]: their probabilities, as the shape says.
    ///
    /// counts [E] and probabilitySums [E] are taken over the M tokens.
    package func router(
        _ shape: RouterShape, logits: Buffer<Element.Sum>, probabilities: Buffer<Element.Sum>,
        chosen: Buffer<Int32>, weights: Buffer<Element.Sum>, counts: Buffer<Int32>,
        probabilitySums: Buffer<Double>
    ) {
        let (M, E, K) = (shape.rows, shape.experts, shape.choices)
        require(logits, holds: shape.span, "router logits")
        require(probabilities, holds: M * E, "router rows")
        require(chosen, holds: M * K, "chosen experts")
        require(weights, holds: M * K, "routing weights")
        require(counts, holds: E, "expert counts")
        require(probabilitySums, holds: E, "probability sums")
        unsafe withPointers(logits, probabilities, chosen, weights, counts, probabilitySums) {
            logits, probabilities, chosen, weights, counts, sums in
            unsafe kernels.router(
                shape.kernel, logits, probabilities, chosen, weights, counts, sums)
        }
    }

    /// dlogits [M,E] from dweights [M,K] and dprobability [E], which every token's probabilities
    /// get.
    package func routerBackward(
        _ shape: RouterShape, probabilities: Buffer<Element.Sum>, chosen: Buffer<Int32>,
        weights: Buffer<Element.Sum>, dweights: Buffer<Element.Sum>, dprobability: Buffer<Double>,
        dlogits: Buffer<Element.Sum>
    ) {
        let (M, E, K) = (shape.rows, shape.experts, shape.choices)
        require(dlogits, holds: shape.span, "router logits")
        require(probabilities, holds: M * E, "router rows")
        for narrow in [weights, dweights] { require(narrow, holds: M * K, "routing weights") }
        require(chosen, holds: M * K, "chosen experts")
        require(dprobability, holds: E, "probability gradient")
        unsafe withPointers(probabilities, chosen, weights, dweights, dprobability, dlogits) {
            probabilities, chosen, weights, dweights, dprobability, dlogits in
            unsafe kernels.routerBackward(
                shape.kernel, probabilities, chosen, weights, dweights, dprobability, dlogits)
        }
    }
}
