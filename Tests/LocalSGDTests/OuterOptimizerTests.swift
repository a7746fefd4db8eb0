import LocalSGD
import Tensors
import Testing

@Suite("Outer optimizer")
struct OuterOptimizerTests {
    /// One element, gradient given per step; returns the positions after each step.
    private func positions(
        _ gradients: [Double], learningRate: Double, momentum: Double, nesterov: Bool = true
    ) -> [Float] {
        var settings = OuterSettings()
        settings.learningRate = learningRate
        settings.momentum = momentum
        settings.nesterov = nesterov
        settings.clipNorm = 0
        let optimizer = OuterOptimizer(settings)
        var global = FloatBuffer([0])
        var buffer = FloatBuffer([0])
        return gradients.map { gradient in
            let result = optimizer.step(
                global: global, momentum: buffer, mean: DoubleBuffer([gradient]))
            global = result.global
            buffer = result.momentum
            return global[0]
        }
    }

    @Test("T4: Nesterov matches the closed form: -1.33, -3.227, -5.6343")
    func t4Nesterov() {
        let found = positions([1, 1, 1], learningRate: 0.7, momentum: 0.9)
        let expected: [Float] = [-1.33, -3.227, -5.6343]
        for (found, expected) in zip(found, expected) {
            #expect(abs(found - expected) < 2e-6)
        }
    }

    @Test("T4: without momentum and with lr 0.5 the result is the midpoint")
    func t4Lookahead() {
        // Anchor 0, local -2: the pseudo-gradient is 2, the midpoint -1.
        #expect(positions([2], learningRate: 0.5, momentum: 0) == [-1])
    }

    @Test("Plain momentum follows b = mu b + g, global -= lr b")
    func plainMomentum() {
        let found = positions([1, 1], learningRate: 1, momentum: 0.5, nesterov: false)
        #expect(found == [-1, -2.5])
    }

    @Test("T9: a mean of norm 20 is scaled by 10 / (20 + 1e-6)")
    func t9ClipAbove() {
        var settings = OuterSettings()
        settings.learningRate = 1
        settings.momentum = 0
        settings.clipNorm = 10
        let mean = DoubleBuffer([12, 16])
        let result = OuterOptimizer(settings).step(
            global: FloatBuffer([0, 0]), momentum: FloatBuffer([0, 0]), mean: mean)
        let factor = 10 / (20 + 1e-6)
        #expect(result.norm == 20)
        #expect(result.clip == factor)
        #expect(result.global.array == [Float(-12 * factor), Float(-16 * factor)])
    }

    @Test("T9: below the bound no bit changes")
    func t9ClipBelow() {
        var clipped = OuterSettings()
        clipped.clipNorm = 10
        var free = clipped
        free.clipNorm = 0
        let mean = DoubleBuffer([0.1, -0.7, 3.3])
        let global = FloatBuffer([1.5, -2.25, 0.3])
        let momentum = FloatBuffer([0.01, 0.2, -0.5])
        let one = OuterOptimizer(clipped).step(global: global, momentum: momentum, mean: mean)
        let other = OuterOptimizer(free).step(global: global, momentum: momentum, mean: mean)
        #expect(one.clip == 1)
        #expect(one.global.array == other.global.array)
        #expect(one.momentum.array == other.momentum.array)
    }

    @Test("One worker, lr 1, momentum 0: the new global parameters are the worker's, bit for bit")
    func exactDifference() {
        // Values of very different size, where an fp32 difference would round.
        var anchor: [Float] = []
        var local: [Float] = []
        var x: Float = 1.1
        for index in 0..<4096 {
            x = (x * 1.618 + 0.37).truncatingRemainder(dividingBy: 3) - 1
            anchor.append(x)
            local.append(x * 0.37 + Float(index % 97 - 48) * 1.3e-3)
        }
        let mean = DoubleBuffer(count: 4096)
        mean.accumulateDifference(
            anchor: FloatBuffer(anchor), local: FloatBuffer(local), weight: 1)
        var settings = OuterSettings()
        settings.learningRate = 1
        settings.momentum = 0
        settings.clipNorm = 0
        let result = OuterOptimizer(settings).step(
            global: FloatBuffer(anchor), momentum: FloatBuffer(count: 4096), mean: mean)
        #expect(result.global.array == local)
        // The same in fp32 arithmetic is not exact: the reason for fp64.
        #expect(zip(anchor, local).map { $0 - ($0 - $1) } != local)
    }

    @Test("T2: with lr 1 and equal weights the result is the fp64 mean, rounded once")
    func t2FederatedAverage() {
        var generator = TestGenerator(state: 7)
        let anchor = (0..<1000).map { _ in generator.float() }
        let locals = (0..<4).map { _ in anchor.map { $0 + 0.01 * generator.float() } }
        let mean = DoubleBuffer(count: 1000)
        for local in locals {
            mean.accumulateDifference(
                anchor: FloatBuffer(anchor), local: FloatBuffer(local), weight: 0.25)
        }
        var settings = OuterSettings()
        settings.learningRate = 1
        settings.momentum = 0
        settings.clipNorm = 0
        let result = OuterOptimizer(settings).step(
            global: FloatBuffer(anchor), momentum: FloatBuffer(count: 1000), mean: mean)
        let expected = (0..<1000).map { index in
            Float(locals.reduce(0) { $0 + Double($1[index]) } / 4)
        }
        #expect(result.global.array == expected)
    }
}

/// A small generator of test data.
struct TestGenerator {
    var state: UInt64

    /// A number in -1..<1.
    mutating func float() -> Float {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Float(Int64(bitPattern: state) >> 40) / Float(1 << 23)
    }
}
