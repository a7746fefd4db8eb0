import LocalSGD
import Tensors
import Testing

@Suite("Delayed Nesterov")
struct DelayedNesterovTests {
    private func settings(
        lr: Double, momentum: Double, nesterov: Bool = true, clip: Double = 0
    ) -> OuterSettings {
        var settings = OuterSettings()
        settings.learningRate = lr
        settings.momentum = momentum
        settings.nesterov = nesterov
        settings.clipNorm = clip
        return settings
    }

    /// The formulas for one number in fp64: where it ends and its momentum.
    private func reference(
        _ gradients: [Double], period: Int, lr: Double, beta: Double, momentum: Double = 0
    ) -> (global: Double, momentum: Double) {
        var (global, m, sum, count) = (0.0, momentum, 0.0, 0)
        let n = Double(period)
        for g in gradients {
            sum += g
            count += 1
            if count == period {
                m = beta * m + sum / n
                global -= lr * (beta * m + g / n)
                sum = 0
                count = 0
            } else {
                global -= lr * g / n
            }
        }
        return (global, m)
    }

    private func run(
        _ gradients: [Double], workers: Int, settings: OuterSettings, momentum: Float = 0,
        method: DelayedNesterov.Method = .delayed
    ) -> DelayedNesterov.State {
        let optimizer = DelayedNesterov(settings, method: method)
        var state = DelayedNesterov.State(
            global: FloatBuffer([0]), momentum: FloatBuffer([momentum]), workers: workers)
        for gradient in gradients {
            state =
                optimizer.push(
                    state, update: DoubleBuffer([gradient]), factor: 1, workers: workers
                ).state
        }
        return state
    }

    private static let gradients = [0.3, -0.7, 1.1, 0.2]

    /// The formulas hold to 1e-12 in fp64.
    ///
    /// Production computes in fp64, too, but keeps what it has between two pushes in fp32: each of
    /// four pushes rounds global parameters below 1 by up to 2^-25, which makes 1.2e-7, and so 2e-7
    /// is what it is held to.
    @Test("T11: four pushes end at -.52605 with momentum .585")
    func t11Identity() {
        let exact = reference(Self.gradients, period: 4, lr: 0.7, beta: 0.9, momentum: 0.4)
        #expect(abs(exact.global + 0.52605) < 1e-12)
        #expect(abs(exact.momentum - 0.585) < 1e-12)
        let state = run(
            Self.gradients, workers: 4, settings: settings(lr: 0.7, momentum: 0.9), momentum: 0.4)
        #expect(abs(Double(state.global[0]) - exact.global) < 2e-7)
        #expect(abs(Double(state.momentum[0]) - exact.momentum) < 1e-7)
        #expect(state.pending[0] == 0)
        #expect(state.count == 0)
    }

    @Test("T11: pushes at the full rate before a step on the mean would end at -1.01605")
    func t11FullRate() {
        let (lr, beta, momentum) = (0.7, 0.9, 0.4)
        let early = Self.gradients.dropLast()
        let mean = Self.gradients.reduce(0, +) / 4
        let step = lr * (beta * (beta * momentum + mean) + mean)
        let wrong = -early.reduce(0) { $0 + lr * $1 } - step
        #expect(abs(wrong + 1.01605) < 1e-12)
        // Each of the three goes a quarter of that far, and the last takes no step on the whole
        // mean again.
        let outer = settings(lr: lr, momentum: beta)
        let before = run(Array(early), workers: 4, settings: outer, momentum: 0.4)
        #expect(abs(Double(before.global[0]) + 0.1225) < 2e-7)
        let after = run(Self.gradients, workers: 4, settings: outer, momentum: 0.4)
        #expect(Double(after.global[0]) - wrong > 0.48)
    }

    @Test("T11: that is one Nesterov step on the mean of the four")
    func t11OneStep() {
        let outer = settings(lr: 0.7, momentum: 0.9)
        let state = run(Self.gradients, workers: 4, settings: outer, momentum: 0.4)
        let mean = Self.gradients.reduce(0, +) / 4
        let once = OuterOptimizer(outer).step(
            global: FloatBuffer([0]), momentum: FloatBuffer([0.4]), mean: DoubleBuffer([mean]))
        #expect(abs(state.global[0] - once.global[0]) < 2e-7)
        #expect(abs(state.momentum[0] - once.momentum[0]) < 1e-7)
        // Also without Nesterov.
        let plain = settings(lr: 0.7, momentum: 0.9, nesterov: false)
        let slow = OuterOptimizer(plain).step(
            global: FloatBuffer([0]), momentum: FloatBuffer([0.4]), mean: DoubleBuffer([mean]))
        let fast = run(Self.gradients, workers: 4, settings: plain, momentum: 0.4)
        #expect(abs(fast.global[0] - slow.global[0]) < 2e-7)
        #expect(abs(fast.momentum[0] - slow.momentum[0]) < 1e-7)
    }

    @Test("T11: the order of the pushes does not matter")
    func t11Order() {
        let first = reference(Self.gradients, period: 4, lr: 0.7, beta: 0.9, momentum: 0.4)
        for order in [[0.2, 1.1, -0.7, 0.3], [-0.7, 0.2, 0.3, 1.1], [1.1, 0.3, 0.2, -0.7]] {
            let exact = reference(order, period: 4, lr: 0.7, beta: 0.9, momentum: 0.4)
            #expect(abs(exact.global - first.global) < 1e-12)
            #expect(abs(exact.momentum - first.momentum) < 1e-12)
            let state = run(
                order, workers: 4, settings: settings(lr: 0.7, momentum: 0.9), momentum: 0.4)
            #expect(abs(Double(state.global[0]) - first.global) < 2e-7)
            #expect(abs(Double(state.momentum[0]) - first.momentum) < 1e-7)
        }
    }

    @Test("T11: four ones from rest: -1.9, and -12.1441 with plain Nesterov")
    func t11NegativeControl() {
        let outer = settings(lr: 1, momentum: 0.9)
        let delayed = run([1, 1, 1, 1], workers: 4, settings: outer)
        #expect(abs(delayed.global[0] + 1.9) < 1e-6)
        let plain = run([1, 1, 1, 1], workers: 4, settings: outer, method: .plain)
        #expect(abs(plain.global[0] + 12.1441) < 1e-5)
        // A push before the last moves by its part alone.
        let half = run([1, 1], workers: 4, settings: outer)
        #expect(half.global[0] == -0.5)
        #expect(half.momentum[0] == 0)
        #expect(half.pending[0] == 2)
        #expect(half.count == 2)
    }

    @Test("T1, T11: with one worker every push is the barrier's outer step, bit for bit")
    func t11OneWorker() {
        var generator = TestGenerator(state: 77)
        let size = 70_001
        for nesterov in [true, false] {
            let outer = settings(lr: 0.7, momentum: 0.9, nesterov: nesterov, clip: 50)
            let start = FloatBuffer((0..<size).map { _ in generator.float() })
            // Where momentum and update are both -0, their sum keeps the sign, and 0 + -0 does not.
            let rest = FloatBuffer(count: size)
            rest[0] = -0.0
            var barrier = (global: start, momentum: rest)
            var state = DelayedNesterov.State(global: start, momentum: rest, workers: 1)
            for _ in 0..<5 {
                var update = (0..<size).map { _ in Double(generator.float()) * 1.1 }
                update[0] = -0.0
                update[1] = 1e-60
                let result = OuterOptimizer(outer).step(
                    global: barrier.global, momentum: barrier.momentum, mean: DoubleBuffer(update))
                barrier = (result.global, result.momentum)
                let push = DelayedNesterov(outer).push(
                    state, update: DoubleBuffer(update), factor: 1, workers: 1)
                state = push.state
                #expect(push.isFlush)
                #expect(push.norm == result.norm)
                #expect(push.clip == result.clip)
                #expect(push.clip < 1)
                // Not arrays in the expectation: their difference takes minutes to print.
                let isEqual =
                    Self.bits(state.global) == Self.bits(barrier.global)
                    && Self.bits(state.momentum) == Self.bits(barrier.momentum)
                #expect(isEqual)
            }
        }
    }

    private static func bits(_ buffer: FloatBuffer) -> [UInt32] { buffer.array.map(\.bitPattern) }

    @Test("T1: one worker, lr 1, no momentum: the global parameters are the worker's")
    func t1OneWorker() {
        var generator = TestGenerator(state: 8)
        let anchor = (0..<4096).map { _ in generator.float() }
        let local = anchor.map { $0 * 0.37 + 0.06 * generator.float() }
        let update = DoubleBuffer(count: 4096)
        update.accumulateDifference(
            anchor: FloatBuffer(anchor), local: FloatBuffer(local), weight: 1)
        let result = DelayedNesterov(settings(lr: 1, momentum: 0)).push(
            DelayedNesterov.State(
                global: FloatBuffer(anchor), momentum: FloatBuffer(count: 4096), workers: 1),
            update: update, factor: 1, workers: 1)
        let isEqual = result.state.global.array == local
        #expect(isEqual)
    }

    @Test("Many numbers at once follow the formulas of one, in every period length")
    func matchesReference() {
        let size = 100_003
        var generator = TestGenerator(state: 5)
        let updates = (0..<7).map { _ in (0..<size).map { _ in Double(generator.float()) } }
        let outer = settings(lr: 0.7, momentum: 0.9)
        var state = DelayedNesterov.State(
            global: FloatBuffer(count: size), momentum: FloatBuffer(count: size), workers: 3)
        for update in updates {
            state =
                DelayedNesterov(outer).push(
                    state, update: DoubleBuffer(update), factor: 0.5, workers: 3
                ).state
        }
        #expect(state.count == 1)
        for index in stride(from: 0, to: size, by: 997) + [size - 1] {
            let exact = reference(
                updates.map { $0[index] * 0.5 }, period: 3, lr: 0.7, beta: 0.9)
            #expect(abs(Double(state.global[index]) - exact.global) < 1e-6)
            #expect(abs(Double(state.momentum[index]) - exact.momentum) < 1e-6)
            #expect(state.pending[index] == Float(updates[6][index] * 0.5))
        }
    }

    @Test("What was pending does not matter at the start of a period, nor to plain Nesterov")
    func freshPeriod() {
        let outer = settings(lr: 1, momentum: 0.5)
        let start = DelayedNesterov.State(
            global: FloatBuffer([0]), momentum: FloatBuffer([0]), pending: FloatBuffer([99]),
            count: 0, period: 2)
        let push = DelayedNesterov(outer).push(
            start, update: DoubleBuffer([1]), factor: 1, workers: 2)
        #expect(push.state.pending[0] == 1)
        let middle = DelayedNesterov.State(
            global: FloatBuffer([0]), momentum: FloatBuffer([0]), pending: FloatBuffer([99]),
            count: 1, period: 2)
        let plain = DelayedNesterov(outer, method: .plain).push(
            middle, update: DoubleBuffer([1]), factor: 1, workers: 2)
        #expect(plain.state.global[0] == -1.5)
        #expect(plain.state.momentum[0] == 1)
        #expect(plain.state.pending[0] == 0)
    }

    @Test("The length of a period changes at its end only")
    func periods() {
        let optimizer = DelayedNesterov(settings(lr: 1, momentum: 0.9))
        var state = DelayedNesterov.State(
            global: FloatBuffer([0]), momentum: FloatBuffer([0]), workers: 3)
        var seen: [[Int]] = []
        for workers in [5, 1, 2, 9, 4, 0] {
            let result = optimizer.push(
                state, update: DoubleBuffer([1]), factor: 1, workers: workers)
            state = result.state
            seen.append([state.count, state.period, result.isFlush ? 1 : 0])
        }
        #expect(seen == [[1, 3, 0], [2, 3, 0], [0, 2, 1], [1, 2, 0], [0, 4, 1], [1, 4, 0]])
    }

    @Test("A push leaves the state it started from alone, for those who read it")
    func oldVersion() {
        let optimizer = DelayedNesterov(settings(lr: 1, momentum: 0.9))
        var state = DelayedNesterov.State(
            global: FloatBuffer([1]), momentum: FloatBuffer([2]), workers: 2)
        for _ in 0..<4 {
            let before = [state.global[0], state.momentum[0], state.pending[0]]
            let next = optimizer.push(
                state, update: DoubleBuffer([3]), factor: 1, workers: 2
            ).state
            #expect([state.global[0], state.momentum[0], state.pending[0]] == before)
            state = next
        }
    }

    @Test("The clip is on the update with its factor")
    func clip() {
        let result = DelayedNesterov(settings(lr: 1, momentum: 0, clip: 10)).push(
            DelayedNesterov.State(
                global: FloatBuffer([0, 0]), momentum: FloatBuffer([0, 0]), workers: 1),
            update: DoubleBuffer([24, 32]), factor: 0.5, workers: 1)
        #expect(result.norm == 20)
        #expect(result.clip == 10 / (20 + 1e-6))
        #expect(result.state.global.array == [Float(-12 * result.clip), Float(-16 * result.clip)])
    }
}
