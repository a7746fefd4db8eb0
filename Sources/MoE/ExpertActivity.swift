internal import Tensors

/// What the experts had to do in some passes through some layers.
package struct ExpertActivity: Sendable, Equatable {
    /// Passes through a layer with experts, and their tokens.
    package private(set) var passes = 0
    package private(set) var tokens = 0
    /// Rows that experts computed: a token's row at each of its live experts.
    package private(set) var rows = 0
    /// Experts that had any row, whose weights were read, a pass at a time.
    package private(set) var experts = 0
    /// Tokens without a live expert, and mask logits that were no number.
    package private(set) var empty = 0
    package private(set) var invalid = 0

    package init() {}

    /// Live experts of a token, on average over layers: BEAM's Avg.K.
    package var rowsPerToken: Double { tokens == 0 ? 0 : Double(rows) / Double(tokens) }
    /// Experts whose weights a pass reads in a layer, on average.
    package var expertsPerPass: Double { passes == 0 ? 0 : Double(experts) / Double(passes) }

    package static func += (left: inout ExpertActivity, right: ExpertActivity) {
        left.passes += right.passes
        left.tokens += right.tokens
        left.rows += right.rows
        left.experts += right.experts
        left.empty += right.empty
        left.invalid += right.invalid
    }
}

extension FeedForwardActivations {
    /// Of the last pass of M tokens; nothing happens in a dense layer.
    package func activity(tokens M: Int, _ masking: MaskingPass) -> ExpertActivity {
        guard case .experts(let kept) = self else { return ExpertActivity() }
        return ExpertActivity(kept, tokens: M, masking)
    }
}

extension ExpertActivity {
    fileprivate init<Element>(
        _ kept: ExpertsActivations<Element>, tokens M: Int, _ masking: MaskingPass
    ) {
        let offsets = kept.dispatch.offsets
        passes = 1
        tokens = M
        rows = kept.dispatch.rows
        experts = (1..<offsets.count).count { offsets[$0] > offsets[$0 - 1] }
        guard masking.isOn, let mask = kept.routing.mask else { return }
        empty = mask.tally[0].empty
        invalid = mask.tally[0].invalid
    }
}
