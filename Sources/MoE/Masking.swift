package import Tensors

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// What a pass does with a model's masks: binary expert activation masks, after BEAM (2026).
///
/// A mask router scores the experts a token has chosen; those that score at least the threshold
/// stay live, the others add nothing. Weights are not scaled up for what is missing, and a token
/// may have no live expert at all.
package struct Masking: Sendable, Equatable {
    package enum Use: Sendable, Equatable {
        /// The masks are not looked at: plain top-k.
        case off
        /// Closed slots are computed all the same, so that they have a gradient, and add nothing.
        case training
        /// Closed slots cause no work: no row, and no weight is read for them.
        case skipping
        /// As ``skipping``, but closed by a rule and not by masks: what masks are compared with.
        case pruning(Pruning)

        /// Whether closed slots cause no work.
        var skips: Bool { self != .off && self != .training }
    }

    package var use: Use
    /// The logit from which on a slot is live: that of tau = 0.5 is 0.
    package var threshold = 0.0
    /// What is added to every mask logit, to keep masks open where training begins.
    package var bias = 0.0
    /// beta, the factor of the regulariser: the soft mask's mean over slots, tokens and layers.
    package var coefficient = 0.0
    /// Whether the regulariser is of squares (L2) and not of the masks themselves (L1).
    package var squares = false

    package init(_ use: Use) { self.use = use }

    package static let off = Masking(.off)

    /// The logit that the sigmoid makes `tau` (0 < tau < 1) of.
    package static func logit(_ tau: Double) -> Double { log(tau / (1 - tau)) }
}

/// A rule without training that closes a token's less probable slots.
package struct Pruning: Sendable, Equatable {
    /// Slots that stay open at most.
    package var choices: Int
    /// Routing weight that those that stay open reach together, if K slots do; 1 for all of them.
    ///
    /// The most probable one always stays open.
    package var probability = 1.0
    /// Whether the weights of those that stay open are scaled up to what all had.
    package var renormalizes = false

    package init(choices: Int, probability: Double = 1, renormalizes: Bool = false) {
        self.choices = choices
        self.probability = probability
        self.renormalizes = renormalizes
    }

    /// How many of a token's weights, largest first, stay open.
    func kept<Weights: RandomAccessCollection>(_ weights: Weights) -> Int
    where Weights.Element: BinaryFloatingPoint {
        let wanted = probability * weights.reduce(0) { $0 + Double($1) }
        var (kept, sum) = (0, 0.0)
        for weight in weights.prefix(choices) {
            if kept > 0, probability < 1, sum >= wanted { break }
            sum += Double(weight)
            kept += 1
        }
        return kept
    }
}

/// A pass's masking, with what it is over.
package struct MaskingPass {
    let masking: Masking
    /// Tokens whose target is negative count for nothing; without targets all count.
    let targets_M: Buffer<Int32>?
    /// The regulariser's gradient by the sum of a layer's soft masks.
    let dsoft: Double

    package init(_ masking: Masking, targets_M: Buffer<Int32>? = nil, dsoft: Double = 0) {
        self.masking = masking
        self.targets_M = targets_M
        self.dsoft = dsoft
    }

    var isOn: Bool { masking.use != .off }
}

/// What a mask router keeps of a forward pass.
package struct MaskActivations<Element: KernelElement> {
    let soft_MK: Buffer<Element.Sum>
    /// Routing weights, 0 where closed, and experts, -1 where closed.
    package let masked_MK: Buffer<Element.Sum>
    package let live_MK: Buffer<Int32>
    /// One tally.
    let tally: Buffer<MaskTally>

    /// `tally` is this layer's part of the model's.
    init(
        _ configuration: ModelConfiguration, rows M: Int, tally: Buffer<MaskTally>,
        plan: inout ActivationPlan
    ) {
        let K = configuration.expertsPerToken
        soft_MK = plan.buffer(M * K)
        masked_MK = plan.buffer(M * K)
        live_MK = plan.buffer(M * K)
        self.tally = tally
    }
}

extension MaskActivations {
    /// Closes slots by `rule` in place of masks.
    func prune(
        _ routing: RouterActivations<Element>, by rule: Pruning, rows M: Int, choices K: Int
    ) -> MaskTally {
        var tally = MaskTally()
        tally.tokens = M
        for first in stride(from: 0, to: M * K, by: K) {
            let weights = (first..<first + K).map { routing.weights_MK[$0] }
            let kept = rule.kept(weights)
            let open = weights.prefix(kept).reduce(0, +)
            let scale = rule.renormalizes && open > 0 ? weights.reduce(0, +) / open : 1
            for k in 0..<K {
                live_MK[first + k] = k < kept ? routing.chosen_MK[first + k] : -1
                masked_MK[first + k] = k < kept ? scale * weights[k] : 0
            }
            tally.live += kept
            tally.empty += kept == 0 ? 1 : 0
        }
        return tally
    }
}
