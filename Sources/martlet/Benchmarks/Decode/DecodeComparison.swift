import MoE

/// Masks beside plain top-k, and what the roofline lets expect of them.
///
/// By that law (Williams, Waterman and Patterson 2009) a layer's experts take
///
///     max(U * bytes of an expert / bandwidth, R * 6 D F / arithmetic)
///
/// for a step in which U distinct experts are read and R rows computed. Masks leave a part of each,
/// `expertRatio` of U and `rowRatio` of R, and of all else in a step they leave everything:
///
///     predicted = (other + experts) / (other + experts * ratio)
///
/// No bandwidth is guessed: `other` is the time of a step in which every slot is closed, and
/// `experts` what a step by plain top-k takes beyond that. The masks' own arithmetic is in `other`.
/// What a layer's experts cost however few they are, such as waking threads, counts as theirs, so
/// of tiny models a little too much is expected.
///
/// Which ratio it is depends on whether reading an expert takes longer than computing with it, and
/// that on its rows: on the machine of docs/performance.md reading does up to some eight rows, in
/// fp32 as in bf16.
///
/// - Batch 1: every live slot is an expert of its own, so U is R, and both ratios are the same.
/// - Batch 4: tokens begin to share experts (with 4 of 16 or 32 at random, 1.2 to 1.5 rows each).
///   Reading counts. An expert is spared only if no token wants it, so U falls less than R.
/// - Batch 16: 2.3 to 4 rows each, so reading still counts. Nearly all experts are wanted by some
///   token, and masks that close half of the slots spare few of them.
/// - Beyond some eight rows each, or while weights come from a cache, computing counts, and masks
///   bring what they close.
///
/// The ratio is therefore the greater of both. For tokens that choose independently that is the
/// experts', as U = E (1 - (1 - k / E)^B) is concave in the k live slots of a token; where live
/// slots gather at few experts, it is the rows'. By the law that is never too hopeful: neither
/// max(a, b) nor a + b keeps a greater part of itself than the greater of those that a and b keep.
/// Where weights stay in a cache, what is measured can therefore exceed what is predicted; both
/// ratios are in the report.
struct DecodeComparison: Sendable, Equatable {
    /// Milliseconds of the median step by plain top-k, and of one without experts.
    let topkStepMs: Double
    let otherMs: Double
    /// What masks leave of the rows that experts compute, and of the experts that are read.
    let rowRatio: Double
    let expertRatio: Double
    /// A step by plain top-k over a step with masks.
    let speedup: Double
    let predictedSpeedup: Double

    /// What was measured of what was predicted.
    var ofPredicted: Double { speedup / predictedSpeedup }

    init(
        topkStepMs: Double, beamStepMs: Double, otherMs: Double, rowRatio: Double,
        expertRatio: Double
    ) {
        self.topkStepMs = topkStepMs
        self.otherMs = otherMs
        self.rowRatio = rowRatio
        self.expertRatio = expertRatio
        speedup = topkStepMs / beamStepMs
        // Below 0 only by chance, in a model whose experts take next to no time.
        let experts = max(topkStepMs - otherMs, 0)
        predictedSpeedup =
            (otherMs + experts) / (otherMs + experts * max(rowRatio, expertRatio))
    }
}

extension DecodeComparison {
    /// All three went through the same number of steps.
    init(topk: DecodePace, beam: DecodePace, closed: DecodePace) {
        func ratio(_ part: Int, _ whole: Int) -> Double {
            whole == 0 ? 1 : Double(part) / Double(whole)
        }
        self.init(
            topkStepMs: topk.stepMs, beamStepMs: beam.stepMs, otherMs: closed.stepMs,
            rowRatio: ratio(beam.activity.rows, topk.activity.rows),
            expertRatio: ratio(beam.activity.experts, topk.activity.experts))
    }
}
