import LocalSGD
import Tensors
import Testing

@Suite("Inner optimizer")
struct InnerOptimizerTests {
    private var settings: InnerSettings {
        var settings = InnerSettings()
        settings.learningRate = 0.1
        settings.warmupSteps = 0
        settings.finalFraction = 1
        settings.beta1 = 0.9
        settings.beta2 = 0.99
        settings.weightDecay = 0.01
        settings.clipNorm = 0
        return settings
    }

    @Test("AdamW follows the textbook formula in fp64 to fp32 accuracy")
    func adamW() {
        var optimizer = InnerOptimizer(settings, count: 2, totalSteps: 10)
        let parameters = FloatBuffer([1, -2])
        var p = [1.0, -2.0]
        var m = [0.0, 0.0]
        var v = [0.0, 0.0]
        for step in 1...20 {
            let gradient = [0.3 * Double(step % 3) - 0.2, 1 / Double(step)]
            optimizer.step(
                parameters, gradients: FloatBuffer(gradient.map { Float($0) }), scheduleStep: step)
            for i in 0..<2 {
                m[i] = 0.9 * m[i] + 0.1 * gradient[i]
                v[i] = 0.99 * v[i] + 0.01 * gradient[i] * gradient[i]
                var correction1 = 1.0
                var correction2 = 1.0
                for _ in 0..<step {
                    correction1 *= 0.9
                    correction2 *= 0.99
                }
                let mhat = m[i] / (1 - correction1)
                let vhat = v[i] / (1 - correction2)
                p[i] -= 0.1 * (mhat / (vhat.squareRoot() + 1e-8) + 0.01 * p[i])
            }
        }
        for i in 0..<2 { #expect(abs(Double(parameters[i]) - p[i]) < 2e-6) }
    }

    @Test("Stepping a vector in one piece or in two gives the same bits")
    func splitting() {
        var generator = TestGenerator(state: 3)
        let start = (0..<1001).map { _ in generator.float() }
        let whole = FloatBuffer(start)
        let parts = FloatBuffer(start)
        var one = InnerOptimizer(settings, count: 1001, totalSteps: 10)
        var left = InnerOptimizer(settings, count: 500, totalSteps: 10)
        var right = InnerOptimizer(settings, count: 501, totalSteps: 10)
        for step in 0..<5 {
            let gradients = FloatBuffer((0..<1001).map { _ in generator.float() })
            one.step(whole, gradients: gradients, scheduleStep: step)
            left.step(parts[0..<500], gradients: gradients[0..<500], scheduleStep: step)
            right.step(parts[500..<1001], gradients: gradients[500..<1001], scheduleStep: step)
        }
        #expect(whole.array == parts.array)
    }

    @Test("Clipping scales to the bound and leaves smaller gradients alone")
    func clip() {
        var settings = settings
        settings.clipNorm = 1
        let optimizer = InnerOptimizer(settings, count: 2, totalSteps: 1)
        let large = FloatBuffer([3, 4])
        #expect(optimizer.clip(large) == 5)
        #expect(abs(large.sumOfSquares - 1) < 1e-6)
        let small = FloatBuffer([0.3, 0.4])
        _ = optimizer.clip(small)
        #expect(small.array == [0.3, 0.4])
    }

    @Test("The learning rate rises, falls along a cosine and ends at its fraction")
    func schedule() {
        var settings = settings
        settings.learningRate = 1
        settings.warmupSteps = 10
        settings.finalFraction = 0.2
        let schedule = LearningRateSchedule(settings, totalSteps: 110)
        #expect(schedule.rate(atStep: 0) == 0.1)
        #expect(schedule.rate(atStep: 9) == 1)
        #expect(abs(schedule.rate(atStep: 60) - 0.6) < 1e-6)
        #expect(abs(schedule.rate(atStep: 35) - 0.882_842_7) < 1e-6)
        #expect(abs(schedule.rate(atStep: 110) - 0.2) < 1e-6)
        #expect(abs(schedule.rate(atStep: 5000) - 0.2) < 1e-6)
    }

    @Test("A late joiner's learning rate rises again from its own start")
    func lateJoiner() {
        var settings = settings
        settings.rejoinSteps = 4
        let schedule = LearningRateSchedule(settings, totalSteps: 100)
        let full = schedule.rate(atStep: 50)
        #expect(abs(schedule.rate(atStep: 50, sinceEmpty: 0) - full / 4) < 1e-7)
        #expect(schedule.rate(atStep: 50, sinceEmpty: 4) == full)
    }
}
