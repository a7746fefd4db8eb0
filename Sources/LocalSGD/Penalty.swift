/// How the contributions of a round become one update.
///
/// Weighted averaging and clipping are two parts of EDiT's pseudo-gradient penalty; the third,
/// anomaly elimination, is ``NormDetector``'s.
package enum Penalty {
    /// What the weights of a round are computed from.
    package struct Share: Sendable, Equatable {
        package let worker: String
        package let tokens: Int
        /// A worker in its first round since joining; it counts from its second round on.
        package let isObserving: Bool
        /// L2 norm of the update before encoding: of the module for `relative` and `edit`, of all
        /// modules together for `dips`.
        package let norm: Double
        /// Inner steps behind the update; one without any does not count.
        package let steps: Int
        /// The worker's own verdict on its update, or a shard server's.
        package let isAnomalous: Bool

        package init(
            worker: String, tokens: Int, isObserving: Bool, norm: Double = 0, steps: Int = 1,
            isAnomalous: Bool = false
        ) {
            self.worker = worker
            self.tokens = tokens
            self.isObserving = isObserving
            self.norm = norm
            self.steps = steps
            self.isAnomalous = isAnomalous
        }

        /// Whether there is anything to weigh.
        var isUsable: Bool { !isAnomalous && steps > 0 && norm >= 0 && norm.isFinite }
    }

    /// Fewer norms than this have no meaningful median.
    package static let medianCohort = 3

    /// Weights in the order of `shares`; they sum to 1 over those that count.
    ///
    /// With G the norm, q = G / sqrt(steps), r = q / median q and T the temperature, by itself
    /// ``Weighting/temperature``, weights are in proportion to
    ///
    ///     tokens, dips    tokens
    ///     uniform         1
    ///     relative        tokens exp(-max(0, r - 1) / T)
    ///     edit            exp(-G / T)
    ///
    /// where r is 1 for cohorts of less than three and where the median is 0. Anomalies and updates
    /// without steps weigh 0; if there is nothing else, so do all, and the module stays as it is,
    /// momentum included: everybody goes back to the anchor. If nobody counts for another reason
    /// (all have just joined, or no tokens at all), all that are usable count alike, so that a
    /// round with contributions has an effect.
    ///
    /// With `edit`, a part `stepWeight` (r) of each weight is the share of all counted steps:
    ///
    ///     (1 - r) exp(-G / T) / sum exp(-G / T) + r steps / sum steps
    ///
    /// Steps are those of the update, since its anchor; the reference code counts them from the
    /// start of the job, which favours whoever has been there longest.
    package static func weights(
        of shares: [Share], by weighting: Weighting, temperature: Double? = nil,
        stepWeight: Double = 0
    ) -> [Double] {
        weights(
            of: shares, amounts: amounts(shares, weighting), by: weighting, temperature,
            stepWeight)
    }

    /// Weights of `shares` if the update were made from `amounts` instead of their tokens.
    ///
    /// Who counts is decided by the tokens; an amount of 0, or below, weighs 0.
    static func weights(
        of shares: [Share], amounts: [Double], by weighting: Weighting, _ temperature: Double?,
        _ stepWeight: Double
    ) -> [Double] {
        let counted = counted(shares, weighting)
        let costs = costs(of: shares, counted, weighting, temperature ?? weighting.temperature)
        let counts = zip(amounts, counted).map { $1 ? $0 : 0 }
        // A softmax does not change if all costs do by the same amount; from the least upwards,
        // one weight at least is no rounding error.
        let least = zip(counts, costs).filter { $0.0 > 0 }.map(\.1).min() ?? 0
        let masses = zip(counts, costs).map { $0 > 0 ? $0 * exponential(least - $1) : 0 }
        let total = masses.reduce(0, +)
        guard total > 0 else { return masses }
        guard weighting == .edit, stepWeight > 0 else { return masses.map { $0 / total } }
        let steps = zip(counts, shares).map { $0 > 0 ? Double($1.steps) : 0 }
        let allSteps = steps.reduce(0, +)
        return zip(masses, steps).map { mass, steps in
            (1 - stepWeight) * mass / total + stepWeight * steps / allSteps
        }
    }

    /// What each share weighs before its norm is looked at.
    static func amounts(_ shares: [Share], _ weighting: Weighting) -> [Double] {
        let usesTokens = usesTokens(weighting)
        // Without any tokens there is nothing to be in proportion to.
        guard usesTokens, shares.contains(where: { $0.isUsable && $0.tokens > 0 }) else {
            return shares.map { _ in 1 }
        }
        return shares.map { Double($0.tokens) }
    }

    private static func usesTokens(_ weighting: Weighting) -> Bool {
        switch weighting {
        case .tokens, .relative, .dips: true
        case .uniform, .edit: false
        }
    }

    /// Who counts: members that are usable and not observing, or all usable ones if no such member
    /// would weigh anything.
    private static func counted(_ shares: [Share], _ weighting: Weighting) -> [Bool] {
        let usesTokens = usesTokens(weighting)
        let settled = shares.map {
            $0.isUsable && !$0.isObserving && (!usesTokens || $0.tokens > 0)
        }
        return settled.contains(true) ? settled : shares.map(\.isUsable)
    }

    /// The norm's part of each weight is the exponential of the negated cost.
    private static func costs(
        of shares: [Share], _ counted: [Bool], _ weighting: Weighting, _ temperature: Double
    ) -> [Double] {
        switch weighting {
        case .tokens, .uniform, .dips: return shares.map { _ in 0 }
        case .edit: return shares.map { $0.isUsable ? bounded($0.norm / temperature) : 0 }
        case .relative:
            let samples = shares.map { NormDetector.sample(norm: $0.norm, steps: $0.steps) }
            let cohort = zip(samples, counted).filter(\.1).map(\.0)
            guard cohort.count >= medianCohort, let usual = median(of: cohort), usual > 0 else {
                return shares.map { _ in 0 }
            }
            return zip(samples, counted).map { sample, counts in
                counts ? bounded(max(0, sample / usual - 1) / temperature) : 0
            }
        }
    }

    /// Costs stay finite, so that two of them have a difference.
    private static func bounded(_ cost: Double) -> Double { min(cost, .greatestFiniteMagnitude) }

    /// The norm of an update as a whole, from those of its modules in ascending order.
    package static func norm(ofModules norms: [Double]) -> Double {
        norms.reduce(0) { $0 + $1 * $1 }.squareRoot()
    }

    /// Guards the division when a mean is nearly zero.
    package static let clipEpsilon = 1e-6

    /// The factor that brings a mean of L2 norm `norm` down to `bound`; 1 when it is below, or when
    /// `bound` is 0 (off).
    package static func clipFactor(norm: Double, bound: Double) -> Double {
        guard bound > 0 else { return 1 }
        let factor = bound / (norm + clipEpsilon)
        return factor < 1 ? factor : 1
    }
}
