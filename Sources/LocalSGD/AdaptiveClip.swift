/// How the mean of a round is clipped.
package struct ClipSettings: Sendable, Equatable, Codable {
    /// The bound is this many times the median norm of the observed rounds.
    package var factor: Double = 3
    /// The observed rounds of a module: the first and the last, counted from 1 at its first merge
    /// after the warm-up.
    package var firstRound: Int = 5
    package var lastRound: Int = 20
    /// A bound that holds instead from the start on, as in EDiT; 0 for none.
    package var absoluteBound: Double = 0

    package init() {}
}

/// The third part of the pseudo-gradient penalty: a bound on the norm of a module's mean update,
/// learnt from its own first rounds.
///
/// Modules differ in size by orders of magnitude, and so do their norms; one bound for all would be
/// right for none. Each module of a shard server has one, kept with its momentum.
package struct AdaptiveClip: Sendable, Equatable, Codable {
    package let settings: ClipSettings
    /// Merges seen so far, up to the last observed one.
    package private(set) var rounds = 0
    /// Norms of the observed rounds so far; empty once the bound is known.
    private var norms: [Double] = []
    private var learnt: Double?

    package init(_ settings: ClipSettings = ClipSettings()) {
        self.settings = settings
    }

    /// The largest norm that is left alone, once there is one.
    package var bound: Double? {
        settings.absoluteBound > 0 ? settings.absoluteBound : learnt
    }

    /// The factor on a mean of L2 norm `norm`, which is also observed.
    ///
    /// It is that of the bound as it was before. A norm of 0 is a round in which nothing moved and
    /// is not counted; one that isn't finite gets the factor 0.
    package mutating func factor(norm: Double) -> Double {
        guard norm.isFinite, norm >= 0 else { return 0 }
        let factor = bound.map { Penalty.clipFactor(norm: norm, bound: $0) } ?? 1
        observe(norm)
        return factor
    }

    private mutating func observe(_ norm: Double) {
        guard norm > 0, rounds < settings.lastRound else { return }
        rounds += 1
        if rounds >= settings.firstRound { norms.append(norm) }
        guard rounds == settings.lastRound else { return }
        learnt = median(of: norms).map { settings.factor * $0 }
        norms = []
    }
}
