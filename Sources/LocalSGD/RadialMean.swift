package import Tensors

/// A mean of updates that keeps their length: the mean norm along the mean direction, merged as in
/// Decoupled DiLoCo (RDA).
///
///     (sum w ||v|| / sum w) unit(sum w v / ||v||)
///
/// Updates of different workers are nearly orthogonal, so a plain mean of K shrinks by sqrt(K), and
/// the outer learning rate would have to follow the number of workers. This mean does not shrink.
/// Where the directions cancel there is no mean direction, and it is the plain mean.
package enum RadialMean {
    /// The length of the mean of unit vectors below which they are said to cancel.
    package static let directionMin = 1e-6

    /// The mean of updates of `count` numbers with these norms and weights.
    ///
    /// `accumulate` adds the update at an index, times a factor, to a sum; indices come ascending,
    /// once or twice each. All norms and weights must be finite and not negative. Updates of weight
    /// 0 are never asked for; of norm 0 they count for the mean length, and if there are no others
    /// the result is 0.
    package static func merge(
        count: Int, norms: [Double], weights: [Double],
        accumulate: (_ index: Int, _ factor: Double, _ sum: DoubleBuffer) -> Void
    ) -> DoubleBuffer {
        precondition(norms.count == weights.count)
        let sum = DoubleBuffer(count: count)
        let total = weights.reduce(0, +)
        guard total > 0 else { return sum }
        let counted = norms.indices.filter { norms[$0] > 0 && weights[$0] > 0 }
        let share = counted.reduce(0) { $0 + weights[$1] } / total
        // One alone has its own direction; it is left as it is, without a division by its norm.
        if counted.count > 1 {
            for index in counted { accumulate(index, weights[index] / total / norms[index], sum) }
            let direction = sum.sumOfSquares.squareRoot()
            if direction > directionMin * share {
                let length = counted.reduce(0) { $0 + weights[$1] * norms[$1] } / total
                sum.scale(by: length / direction)
                return sum
            }
            sum.clear()
        }
        for index in counted { accumulate(index, weights[index] / total, sum) }
        return sum
    }
}
