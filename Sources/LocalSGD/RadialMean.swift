/// A mean of updates that keeps their length: the mean norm along the mean direction, merged as in
/// Decoupled DiLoCo (RDA).
///
///     (sum w ||v|| / sum w) unit(sum w v / ||v||)
///
/// Updates of different workers are nearly orthogonal, so a plain mean of K shrinks by sqrt(K), and
/// the outer learning rate would have to follow the number of workers. This mean does not shrink.
/// Where the directions cancel there is no mean direction, and it is the plain mean.
package struct RadialMean: Sendable, Equatable {
    /// The length of the mean of unit vectors below which they are said to cancel.
    package static let directionMin = 1e-6

    /// Factors on the updates in the sum of their directions, and in their plain mean.
    ///
    /// Who weighs nothing or has no norm has a factor of 0 and is not asked for.
    package let directions: [Double]
    package let plain: [Double]
    /// The mean norm, and the part of the weights that has a direction.
    private let length: Double
    private let share: Double

    /// For updates with these norms and weights, all finite and not negative.
    ///
    /// Updates of norm 0 count for the mean length.
    package init(norms: [Double], weights: [Double]) {
        precondition(norms.count == weights.count)
        let total = weights.reduce(0, +)
        let counts = zip(norms, weights).map { $0 > 0 && $1 > 0 }
        let shares = zip(weights, counts).map { $1 ? $0 / total : 0 }
        plain = shares
        share = shares.reduce(0, +)
        length = zip(shares, norms).reduce(0) { $0 + $1.0 * $1.1 }
        // One alone has its own direction; it is left as it is, without a division by its norm.
        let isAlone = counts.filter { $0 }.count <= 1
        directions = zip(shares, norms).map { isAlone || $0 == 0 ? 0 : $0 / $1 }
    }

    /// Whether there are directions to add up; otherwise it is the plain mean.
    package var hasDirections: Bool { directions.contains { $0 > 0 } }

    /// What the sum of the directions, of L2 norm `norm`, is to be scaled by; nil where they cancel
    /// and it is the plain mean instead.
    package func scale(ofDirection norm: Double) -> Double? {
        norm > RadialMean.directionMin * share ? length / norm : nil
    }
}
