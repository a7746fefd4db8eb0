import MoE
import Tensors
import Testing

@Suite struct TrainingTests {
    /// The loss of a fixed model on fixed tokens.
    ///
    /// It may change only on purpose: a refactor keeps it.
    @Test func goldenLoss() {
        let configuration = ModelConfiguration.odd
        var numbers = TestNumbers(seed: 31)
        let tokens = numbers.tokens(2 * 17, vocabulary: configuration.vocabularySize)
        let parameters = configuration.initialParameters(seed: 42)
        let double = Transformer<Double>(configuration: configuration, batch: 2, sequence: 16)
        let report = double.loss(of: parameters.converted(to: Double.self), tokens: tokens)
        #expect(
            abs(report.meanCrossEntropy - 4.412_447_401_319_850_5) < 1e-11,
            "\(report.meanCrossEntropy)")
        #expect(
            abs(report.loadBalancing - 3.028_721_918_750_986_4) < 1e-11, "\(report.loadBalancing)")
        let float = Transformer<Float>(configuration: configuration, batch: 2, sequence: 16)
        let fast = float.loss(of: parameters, tokens: tokens)
        #expect(abs(fast.meanCrossEntropy - report.meanCrossEntropy) < 1e-5)
    }

    /// A fresh model knows nothing: its loss is that of a uniform guess.
    @Test func aFreshModelGuesses() {
        let configuration = ModelConfiguration.odd
        var numbers = TestNumbers(seed: 32)
        let transformer = Transformer<Float>(configuration: configuration, batch: 4, sequence: 32)
        let loss = transformer.loss(
            of: configuration.initialParameters(seed: 1),
            tokens: numbers.tokens(4 * 33, vocabulary: configuration.vocabularySize))
        #expect(abs(loss.meanCrossEntropy - 4.4188) < 0.05, "\(loss.meanCrossEntropy)")
    }

    @Test func lossFallsOnARepeatedBatch() {
        let configuration = ModelConfiguration.odd
        var numbers = TestNumbers(seed: 33)
        let tokens = numbers.tokens(2 * 17, vocabulary: configuration.vocabularySize)
        let parameters = configuration.initialParameters(seed: 7)
        let gradients = FloatBuffer(count: parameters.count)
        let transformer = Transformer<Float>(configuration: configuration, batch: 2, sequence: 16)
        var losses: [Double] = []
        for _ in 0..<60 {
            let report = transformer.gradients(of: parameters, tokens: tokens, into: gradients)
            losses.append(report.meanCrossEntropy)
            parameters.applySGD(gradients: gradients, learningRate: 0.5)
        }
        #expect(losses[59] < losses[0] / 2, "\(losses[0]) fell to \(losses[59])")
    }

    @Test func aPlanRemembersNothing() {
        let configuration = ModelConfiguration.odd
        var numbers = TestNumbers(seed: 34)
        let first = numbers.tokens(2 * 9, vocabulary: configuration.vocabularySize)
        let other = numbers.tokens(2 * 9, vocabulary: configuration.vocabularySize)
        let parameters = configuration.initialParameters(seed: 7)
        let transformer = Transformer<Float>(configuration: configuration, batch: 2, sequence: 8)
        let fresh = FloatBuffer(count: parameters.count)
        let reused = FloatBuffer(count: parameters.count)
        let report = transformer.gradients(of: parameters, tokens: first, into: fresh)
        _ = transformer.gradients(of: parameters, tokens: other, into: reused)
        #expect(transformer.gradients(of: parameters, tokens: first, into: reused) == report)
        let isEqual = fresh.array == reused.array
        #expect(isEqual)
    }
}
