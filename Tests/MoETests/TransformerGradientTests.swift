import MoE
import Tensors
import Testing

/// The gradient of every parameter of a two-layer model against central differences, in fp64.
@Suite struct TransformerGradientTests {
    enum Variant: CaseIterable {
        case plain, withoutTopKNorm, withoutQKNorm, sharedExpert, tied, everything

        var configuration: ModelConfiguration {
            var configuration = ModelConfiguration.tiny
            switch self {
            case .plain: break
            case .withoutTopKNorm: configuration.normalizesTopK = false
            case .withoutQKNorm: configuration.normalizesQueriesAndKeys = false
            case .sharedExpert: configuration.sharedExpertHiddenSize = 3
            case .tied: configuration.tiesEmbeddings = true
            case .everything:
                configuration.normalizesTopK = false
                configuration.normalizesQueriesAndKeys = false
                configuration.sharedExpertHiddenSize = 3
                configuration.tiesEmbeddings = true
            }
            return configuration
        }
    }

    @Test(arguments: Variant.allCases)
    func everyParameter(variant: Variant) {
        let configuration = variant.configuration
        var numbers = TestNumbers(seed: 5)
        let tokens = numbers.tokens(2 * 5, vocabulary: configuration.vocabularySize)
        expectGradients(configuration, batch: 2, sequence: 4, tokens: tokens)
    }

    @Test(arguments: ModelVariant.allCases)
    func everyParameterOfEveryFamily(variant: ModelVariant) throws {
        let configuration = variant.applied(to: .tiny)
        try configuration.validate()
        var numbers = TestNumbers(seed: 6)
        let tokens = numbers.tokens(2 * 5, vocabulary: configuration.vocabularySize)
        expectGradients(configuration, batch: 2, sequence: 4, tokens: tokens)
    }

    @Test func ignoredTargets() {
        let report = expectGradients(.tiny, batch: 1, sequence: 4, tokens: [1, 5, 3, -1, -1])
        #expect(report.tokens == 2)
    }

    @Test func expertsWithoutTokensGetNoGradient() throws {
        var configuration = ModelConfiguration.tiny
        configuration.experts = 6
        configuration.expertsPerToken = 1
        // One choice, renormalised, would have weight 1 whatever the logits.
        configuration.normalizesTopK = false
        let report = expectGradients(
            configuration, batch: 1, sequence: 3, tokens: [1, 2, 3, 4])
        #expect(report.expertTokens.allSatisfy { $0.reduce(0, +) == 3 })
        let parameters: Buffer<Double> = configuration.testParameters(seed: 3)
        let gradients = Buffer<Double>(count: parameters.count)
        let transformer = Transformer<Double>(configuration: configuration, batch: 1, sequence: 3)
        let counts = transformer.gradients(
            of: parameters, tokens: [1, 2, 3, 4], into: gradients
        ).expertTokens
        let layout = configuration.layout
        for (layer, tokens) in counts.enumerated() {
            for (expert, count) in tokens.enumerated() {
                let name = "model.layers.\(layer).mlp.experts.\(expert).down_proj.weight"
                let tensor = try #require(layout.tensor(named: name))
                let isZero = gradients[tensor.range].array.allSatisfy { $0 == 0 }
                #expect(isZero == (count == 0), "\(name) with \(count) tokens")
            }
        }
    }

    @Test func allTargetsIgnored() {
        var configuration = ModelConfiguration.tiny
        configuration.loadBalancingCoefficient = 0
        let parameters: Buffer<Double> = configuration.testParameters(seed: 3)
        let gradients = Buffer<Double>(Array(repeating: 7, count: parameters.count))
        let transformer = Transformer<Double>(configuration: configuration, batch: 2, sequence: 1)
        let report = transformer.gradients(
            of: parameters, tokens: [1, -1, 2, -1], into: gradients)
        #expect(report.tokens == 0 && report.meanCrossEntropy == 0)
        #expect(gradients.array.allSatisfy { $0 == 0 })
    }

    /// Compares every parameter's gradient; differences of step 5e-6 are good to about 1e-7 here.
    @discardableResult
    private func expectGradients(
        _ configuration: ModelConfiguration, batch: Int, sequence: Int, tokens: [Int32]
    ) -> LossReport {
        let parameters: Buffer<Double> = configuration.testParameters(seed: 3)
        let gradients = Buffer<Double>(Array(repeating: .nan, count: parameters.count))
        let transformer = Transformer<Double>(
            configuration: configuration, batch: batch, sequence: sequence)
        let report = transformer.gradients(of: parameters, tokens: tokens, into: gradients)
        func total() -> Double {
            transformer.loss(of: parameters, tokens: tokens)
                .total(loadBalancingCoefficient: configuration.loadBalancingCoefficient)
        }
        #expect(report == transformer.loss(of: parameters, tokens: tokens))
        let step = 5e-6
        for tensor in configuration.layout.tensors {
            let numeric = tensor.range.map { index in
                let value = parameters[index]
                parameters[index] = value + step
                let above = total()
                parameters[index] = value - step
                let below = total()
                parameters[index] = value
                return (above - below) / (2 * step)
            }
            let distance = relativeDistance(gradients[tensor.range].array, numeric)
            #expect(distance < 1e-6, "\(tensor.name) differs by \(distance)")
        }
        return report
    }
}
