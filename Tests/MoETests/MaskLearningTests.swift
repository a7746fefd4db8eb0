import MoE
import Tensors
import Testing

/// What masks learn: BEAM's test 13.
@Suite("BEAM 13: masks that are learnt")
struct MaskLearningTests {
    private static let (batch, sequence) = (8, 16)

    private static var configuration: ModelConfiguration {
        var configuration = ModelConfiguration(
            vocabularySize: 32, hiddenSize: 32, layers: 1, heads: 4, keyValueHeads: 2,
            headWidth: 8, experts: 6, expertsPerToken: 4, expertHiddenSize: 16, positionsMax: 64)
        configuration.masksExperts = true
        return configuration
    }

    /// Text with something to learn: each token but some follows from the one before.
    private static func tokens(_ numbers: inout TestNumbers) -> [Int32] {
        (0..<batch).flatMap { _ -> [Int32] in
            var token = Int32(numbers.bits() % 32)
            return (0...sequence).map { _ in
                let found = token
                token =
                    numbers.bits() % 8 == 0
                    ? Int32(numbers.bits() % 32) : (found * 5 + 3) % 32
                return found
            }
        }
    }

    /// AdamW without decay, steps counted from 1.
    private struct Adam {
        let first: FloatBuffer
        let second: FloatBuffer
        var steps = 0

        init(count: Int) {
            first = FloatBuffer(count: count)
            second = FloatBuffer(count: count)
        }

        mutating func step(_ parameters: FloatBuffer, _ gradients: FloatBuffer, rate: Float) {
            steps += 1
            func power(_ base: Float) -> Float { (0..<steps).reduce(1) { sum, _ in sum * base } }
            parameters.applyAdamW(
                gradients: gradients, firstMoment: first, secondMoment: second,
                step: AdamWStep(
                    learningRate: rate, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0,
                    correction1: 1 - power(0.9), correction2: 1 - power(0.95)))
        }
    }

    /// Live experts of a token at each step of a run; `prepare` sees the parameters first.
    private static func run(
        seed: UInt64, steps: Int, warmed: Int = 150, masking: (Int) -> Masking,
        prepare: (FloatBuffer, ModelConfiguration) -> Void = { _, _ in },
        report: (LossReport) -> Void = { _ in }
    ) -> [Double] {
        let configuration = configuration
        let transformer = Transformer<Float>(
            configuration: configuration, batch: batch, sequence: sequence)
        let parameters = configuration.initialParameters(seed: seed)
        prepare(parameters, configuration)
        let gradients = FloatBuffer(count: parameters.count)
        var numbers = TestNumbers(seed: seed)
        var optimizer = Adam(count: parameters.count)
        for _ in 0..<warmed {
            _ = transformer.gradients(
                of: parameters, tokens: tokens(&numbers), into: gradients)
            optimizer.step(parameters, gradients, rate: 3e-3)
        }
        optimizer = Adam(count: parameters.count)
        return (0..<steps).map { step in
            let found = transformer.gradients(
                of: parameters, tokens: tokens(&numbers), masking: masking(step),
                into: gradients)
            report(found)
            optimizer.step(parameters, gradients, rate: 3e-3)
            return Double(found.masks[0].live) / Double(found.masks[0].tokens)
        }
    }

    private static func training(_ coefficient: Double, bias: Double = 0) -> Masking {
        var masking = Masking(.training)
        masking.coefficient = coefficient
        masking.bias = bias
        return masking
    }

    @Test("One step closes most masks at once; a bias, or a delay, softens it")
    func knifeEdge() {
        let plain = Self.run(seed: 1, steps: 2) { _ in Self.training(1) }
        #expect(plain[0] == 4)
        #expect(plain[1] < 2)
        let biased = Self.run(seed: 1, steps: 2) { _ in Self.training(1, bias: 1) }
        #expect(biased == [4, 4])
        let delayed = Self.run(seed: 1, steps: 60) { Self.training($0 < 40 ? 0 : 1) }
        // After the first step in which it is felt.
        #expect(delayed[41] > plain[1])
    }

    /// Without it, task gradients alone close slots that a small model does without.
    @Test("The larger the regulariser's weight, the fewer experts are left")
    func coefficients() {
        let coefficients = [0, 0.1, 3]
        let left = coefficients.map { coefficient in
            let runs = (1...3 as ClosedRange<UInt64>).map { seed in
                Self.run(seed: seed, steps: 200) { step in
                    Self.training(step < 40 ? 0 : coefficient)
                }.suffix(20).reduce(0, +) / 20
            }
            return runs.reduce(0, +) / 3
        }
        #expect(left[0] > left[1])
        #expect(left[1] > left[2])
        #expect(left[2] < 0.5 * left[0])
    }
}
