/// How the contributions of a round become one update: weighted averaging and clipping, the two
/// parts of EDiT's pseudo-gradient penalty that barrier mode always uses.
package enum Penalty {
    /// What the weights of a round are computed from.
    package struct Share: Sendable, Equatable {
        package let worker: String
        package let tokens: Int
        /// A worker in its first round since joining; it counts from its second round on.
        package let isObserving: Bool

        package init(worker: String, tokens: Int, isObserving: Bool) {
            self.worker = worker
            self.tokens = tokens
            self.isObserving = isObserving
        }
    }

    /// Weights in the order of `shares`; they sum to 1 over those that count.
    ///
    /// If nobody counts (all have just joined, or no tokens at all), all count alike, so that a
    /// round with contributions always has an effect.
    package static func weights(of shares: [Share], by weighting: Weighting) -> [Double] {
        let mass = shares.map { share -> Double in
            if share.isObserving { return 0 }
            return weighting == .tokens ? Double(share.tokens) : 1
        }
        let total = mass.reduce(0, +)
        guard total > 0 else {
            if weighting == .tokens, shares.contains(where: { $0.tokens > 0 }) {
                let tokens = Double(shares.map(\.tokens).reduce(0, +))
                return shares.map { Double($0.tokens) / tokens }
            }
            return shares.map { _ in 1 / Double(shares.count) }
        }
        return mass.map { $0 / total }
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
