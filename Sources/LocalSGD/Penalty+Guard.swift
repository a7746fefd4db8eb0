/// What a shard server makes sure of without trusting the worker.
extension Penalty {
    /// Whether a decoded update can be what its header says it is.
    package enum GuardVerdict: Sendable, Equatable {
        case sound
        /// It has infinite numbers or NaN, or its norm has.
        case notFinite
        /// Its norm is more than ``guardRatio`` times what the header claims.
        case tooLarge(decoded: Double, claimed: Double)

        /// What to tell the worker; nothing if all is well.
        package var flaw: String? {
            switch self {
            case .sound: nil
            case .notFinite: "the update holds numbers that are not finite"
            case .tooLarge(let decoded, let claimed):
                "the update has norm \(decoded), its header claims \(claimed)"
            }
        }
    }

    /// Decoding may add a residual to an update, but no more than this many times its norm in all.
    package static let guardRatio = 4.0
    /// Updates count up to this many times the cohort's median norm.
    package static let guardMedians = 2.0

    /// Judges an update by the L2 norm of what was decoded and the norm of its header.
    ///
    /// A sum of squares is finite only if every element is, so the norm stands for them all.
    package static func guardVerdict(decodedNorm: Double, claimedNorm: Double) -> GuardVerdict {
        guard decodedNorm.isFinite, claimedNorm.isFinite else { return .notFinite }
        // A claim below 0 is refused with everything else that doesn't fit.
        guard decodedNorm <= guardRatio * claimedNorm else {
            return .tooLarge(decoded: decodedNorm, claimed: claimedNorm)
        }
        return .sound
    }

    /// For each decoded update the factor, at most 1, that brings its norm down to twice the
    /// median.
    ///
    /// They must be finite. In rounds by time, give norms per square root of steps
    /// (``NormDetector/sample(norm:steps:)``), so that fast workers are not cut for their steps; a
    /// factor on those is one on the updates. It takes three to be cut, as the larger of two is
    /// never above twice their median. A median of 0 is no scale, and all factors are 1 then.
    package static func guardFactors(norms: [Double]) -> [Double] {
        guard let usual = median(of: norms), usual > 0 else {
            return norms.map { _ in 1 }
        }
        return norms.map { min(1, guardMedians * usual / $0) }
    }
}
