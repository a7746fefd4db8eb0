import LocalSGD
import Tensors

/// Steps as a shard server makes them of a whole module whose bound is given and not learnt.
extension OuterOptimizer {
    func step(global: FloatBuffer, momentum: FloatBuffer, mean: DoubleBuffer) -> Result {
        let norm = mean.sumOfSquares.squareRoot()
        return step(
            global: global, momentum: momentum, mean: mean, norm: norm,
            clip: Penalty.clipFactor(norm: norm, bound: settings.clipNorm),
            ranges: [0..<mean.count])
    }
}

extension DelayedNesterov {
    func push(
        _ state: State, update: DoubleBuffer, factor: Double, workers: Int
    ) -> Result {
        let norm = factor * update.sumOfSquares.squareRoot()
        return push(
            state, update: update, factor: factor, norm: norm,
            clip: Penalty.clipFactor(norm: norm, bound: settings.clipNorm), workers: workers)
    }
}
