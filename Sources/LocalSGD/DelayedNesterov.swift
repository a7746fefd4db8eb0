package import Tensors

/// The optimizer at a shard server without rounds: Nesterov SGD whose momentum waits until as many
/// pushes have come as make a round.
///
/// Momentum that moved with every single push would be stale, and amplify each push for itself:
/// four equal ones go 12.1 steps far where their mean would go 1.9. So pushes are applied at once,
/// each for its part, but momentum moves by their mean when the last of a period has come:
///
///     each push    B += g            global -= lr g / N
///     the N-th     B += g            m = mu m + B / N
///                                    global -= lr (mu m + g / N)            B = 0
///
/// N pushes move the global parameters by one outer step on their mean. State is fp32, arithmetic
/// fp64; with N = 1 every push is a step of ``OuterOptimizer``, bit for bit.
package struct DelayedNesterov: Sendable {
    /// When momentum moves.
    package enum Method: String, Sendable, Codable, CaseIterable {
        /// Once per period.
        case delayed
        /// With every push in full, which diverges: what delayed Nesterov is measured against.
        case plain
    }

    /// What a module is besides its version.
    package struct State: Sendable {
        package let global: FloatBuffer
        package let momentum: FloatBuffer
        /// Sum of the period's pushes so far (B), all 0 at its start.
        package let pending: FloatBuffer
        /// Pushes in `pending` (t), below `period`.
        package let count: Int
        /// Pushes of the period under way (N), at least 1.
        package let period: Int

        package init(
            global: FloatBuffer, momentum: FloatBuffer, pending: FloatBuffer, count: Int,
            period: Int
        ) {
            precondition(momentum.count == global.count && pending.count == global.count)
            precondition(count >= 0 && count < period, "push \(count) of a period of \(period)")
            self.global = global
            self.momentum = momentum
            self.pending = pending
            self.count = count
            self.period = period
        }

        /// At the start of a period of `workers` pushes.
        package init(global: FloatBuffer, momentum: FloatBuffer, workers: Int) {
            self.init(
                global: global, momentum: momentum, pending: FloatBuffer(count: global.count),
                count: 0, period: max(workers, 1))
        }
    }

    /// What a push made and how large it was.
    package struct Result: Sendable {
        package let state: State
        /// L2 norm of the update, its factor included, before clipping.
        package let norm: Double
        /// The clip: 1 when the norm was within bounds.
        package let clip: Double
        /// Whether momentum moved.
        package let isFlush: Bool
    }

    package let settings: OuterSettings
    package let method: Method

    package init(_ settings: OuterSettings, method: Method = .delayed) {
        self.settings = settings
        self.method = method
    }

    /// One push of `factor` times `update` [n] (``Staleness``), which is `norm` long with its
    /// factor, times `clip` (``AdaptiveClip``), into new buffers where anything changes.
    ///
    /// `workers` live workers make the length of the next period; the one under way keeps its own.
    package func push(
        _ state: State, update: DoubleBuffer, factor: Double, norm: Double, clip: Double,
        workers: Int
    ) -> Result {
        let size = state.global.count
        let isPlain = method == .plain
        let begins = isPlain || state.count == 0
        let flushes = isPlain || state.count + 1 == state.period
        let global = FloatBuffer(count: size)
        // Who is not written stays as it is, and needs no memory of its own.
        let momentum = flushes ? FloatBuffer(count: size) : state.momentum
        let pending = flushes && state.count == 0 ? state.pending : FloatBuffer(count: size)
        state.global.delayedStep(
            momentum: state.momentum, pending: state.pending, update: update,
            step: DelayedStep(
                outer: OuterStep(
                    learningRate: settings.learningRate, momentum: settings.momentum,
                    nesterov: settings.nesterov, scale: factor * clip),
                period: isPlain ? 1 : state.period, begins: begins, flushes: flushes),
            newGlobal: global, newMomentum: momentum, newPending: pending)
        let next = State(
            global: global, momentum: momentum, pending: pending,
            count: flushes ? 0 : state.count + 1,
            period: flushes ? max(workers, 1) : state.period)
        return Result(state: next, norm: norm, clip: clip, isFlush: flushes)
    }
}
