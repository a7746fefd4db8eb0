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

    /// One step of a module from `global` [n] and `momentum` [n] along `clip` times `mean` [n],
    /// which is `norm` long, into new buffers.
    ///
    /// The clip is ``AdaptiveClip``'s. The step is on `ranges` of the module only: the rest keeps
    /// its parameters and its momentum, bit for bit.
    package func step(
        global: FloatBuffer, momentum: FloatBuffer, mean: DoubleBuffer, norm: Double, clip: Double,
        ranges: [Range<Int>]
    ) -> Result {
        let isWhole = ranges == [0..<mean.count]
        let newGlobal = isWhole ? FloatBuffer(count: mean.count) : global.duplicate()
        let newMomentum = isWhole ? FloatBuffer(count: mean.count) : momentum.duplicate()
        let step = OuterStep(
            learningRate: settings.learningRate, momentum: settings.momentum,
            nesterov: settings.nesterov, scale: clip)
        for range in ranges {
            global[range].outerStep(
                momentum: momentum[range], mean: mean[range], step: step,
                newGlobal: newGlobal[range], newMomentum: newMomentum[range])
        }
        return Result(global: newGlobal, momentum: newMomentum, norm: norm, clip: clip)
    }
}
