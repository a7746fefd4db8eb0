package import Tensors

/// The optimizer at a shard server: Nesterov SGD on the mean pseudo-gradient of a module.
///
///     b = mu b + g        global -= lr (g + mu b)
///
/// State is fp32, arithmetic fp64: with one worker, lr 1 and mu 0 the new global parameters are the
/// worker's own, bit for bit.
package struct OuterOptimizer: Sendable {
    package let settings: OuterSettings

    package init(_ settings: OuterSettings) {
        self.settings = settings
    }

    /// What a step made and how large it was.
    package struct Result: Sendable {
        package let global: FloatBuffer
        package let momentum: FloatBuffer
        /// L2 norm of the mean pseudo-gradient before clipping.
        package let norm: Double
        /// The clip: 1 when the norm was within bounds.
        package let clip: Double
    }

    /// One step of a module from `global` [n] and `momentum` [n] along `mean` [n], into new
    /// buffers.
    package func step(global: FloatBuffer, momentum: FloatBuffer, mean: DoubleBuffer) -> Result {
        let norm = mean.sumOfSquares.squareRoot()
        let clip = Penalty.clipFactor(norm: norm, bound: settings.clipNorm)
        let stepped = global.outerStep(
            momentum: momentum, mean: mean,
            step: OuterStep(
                learningRate: settings.learningRate, momentum: settings.momentum,
                nesterov: settings.nesterov, scale: clip))
        return Result(global: stepped.global, momentum: stepped.momentum, norm: norm, clip: clip)
    }
}
