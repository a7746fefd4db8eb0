import MoE
import Tensors
import Testing

/// What each option does to the loss, told by changes of weights that it makes meaningless.
@Suite struct ModelOptionTests {
    private let tokens: [Int32] = [1, 5, 2, 6, 0, 3, 1, 2, 4, 4]

    private func loss(_ configuration: ModelConfiguration, _ parameters: Buffer<Double>) -> Double {
        Transformer<Double>(configuration: configuration, batch: 2, sequence: 4)
            .loss(of: parameters, tokens: tokens).meanCrossEntropy
    }

    /// The loss before and after the tensors whose names end in `suffix` are multiplied by
    /// `factor`.
    private func losses(
        _ configuration: ModelConfiguration, scaling suffix: String, by factor: Double
    ) -> (before: Double, after: Double) {
        let parameters: Buffer<Double> = configuration.testParameters(seed: 41)
        let before = loss(configuration, parameters)
        var isFound = false
        for tensor in configuration.layout.tensors where tensor.name.hasSuffix(suffix) {
            for index in tensor.range { parameters[index] *= factor }
            isFound = true
        }
        #expect(isFound, "no tensor ends in \(suffix)")
        return (before, loss(configuration, parameters))
    }

    /// The only weight of a token, renormalised, is 1 whatever the router's scale.
    @Test(arguments: [true, false])
    func topKNorm(isOn: Bool) {
        var configuration = ModelConfiguration.tiny
        configuration.expertsPerToken = 1
        configuration.normalizesTopK = isOn
        let (before, after) = losses(configuration, scaling: "mlp.gate.weight", by: 2)
        #expect((abs(before - after) < 1e-12) == isOn)
    }

    /// Normed queries do not remember the scale of their projection.
    @Test(arguments: [true, false])
    func qkNorm(isOn: Bool) {
        var configuration = ModelConfiguration.tiny
        configuration.normalizesQueriesAndKeys = isOn
        configuration.normEpsilon = 1e-12
        for suffix in ["q_proj.weight", "k_proj.weight"] {
            let (before, after) = losses(configuration, scaling: suffix, by: 3)
            #expect((abs(before - after) < 1e-6) == isOn, "\(suffix)")
        }
    }

    /// A shared expert that gives nothing is none, and one that gives something is felt.
    @Test func sharedExpert() {
        var configuration = ModelConfiguration.tiny
        configuration.sharedExpertHiddenSize = 3
        let (before, without) = losses(
            configuration, scaling: "shared_expert.down_proj.weight", by: 0)
        #expect(abs(before - without) > 1e-6)
        let parameters: Buffer<Double> = configuration.testParameters(seed: 41)
        var plain = configuration
        plain.sharedExpertHiddenSize = 0
        let copy = copyByName(parameters, from: configuration.layout, to: plain.layout)
        #expect(abs(loss(plain, copy) - without) < 1e-12)
    }

    /// A tied head is one whose weights are the embedding's.
    @Test func tiedEmbeddings() throws {
        var tied = ModelConfiguration.tiny
        tied.tiesEmbeddings = true
        let parameters: Buffer<Double> = tied.testParameters(seed: 41)
        let layout = ModelConfiguration.tiny.layout
        let copy = copyByName(parameters, from: tied.layout, to: layout)
        let embedding = try #require(layout.tensor(named: "model.embed_tokens.weight"))
        let head = try #require(layout.tensor(named: "lm_head.weight"))
        copy[head.range].copy(from: copy[embedding.range])
        #expect(abs(loss(tied, parameters) - loss(.tiny, copy)) < 1e-12)
    }

    /// The embedding of a padding token learns nothing from being an input; all else is as before.
    @Test func paddingToken() throws {
        var padded = ModelConfiguration.tiny
        padded.paddingToken = 2
        let layout = padded.layout
        let parameters: Buffer<Double> = padded.testParameters(seed: 41)
        let (plain, found) = (
            gradients(.tiny, parameters), gradients(padded, parameters)
        )
        let embedding = try #require(layout.tensor(named: "model.embed_tokens.weight")).range
        let D = padded.hiddenSize
        for index in 0..<layout.count {
            let isPadding = embedding.contains(index) && (index - embedding.lowerBound) / D == 2
            #expect(found[index] == (isPadding ? 0 : plain[index]))
        }
        #expect(plain[embedding.lowerBound + 2 * D] != 0)
    }

    private func gradients(
        _ configuration: ModelConfiguration, _ parameters: Buffer<Double>
    ) -> [Double] {
        let gradients = Buffer<Double>(count: parameters.count)
        _ = Transformer<Double>(configuration: configuration, batch: 2, sequence: 4)
            .gradients(of: parameters, tokens: tokens, into: gradients)
        return gradients.array
    }

    /// The base of the rotation matters from the second token on, and only there.
    @Test func ropeTheta() {
        let parameters: Buffer<Double> = ModelConfiguration.odd.testParameters(seed: 41)
        var other = ModelConfiguration.odd
        other.ropeTheta = 77
        func logits(_ configuration: ModelConfiguration) -> [Double] {
            Transformer<Double>(configuration: configuration, batch: 1, sequence: 3)
                .logits(of: parameters, tokens: [1, 5, 2]).array
        }
        let (first, second) = (logits(.odd), logits(other))
        let vocabulary = ModelConfiguration.odd.vocabularySize
        #expect(relativeDistance(Array(second[..<vocabulary]), Array(first[..<vocabulary])) < 1e-12)
        #expect(relativeDistance(Array(second[vocabulary...]), Array(first[vocabulary...])) > 1e-4)
    }
}
