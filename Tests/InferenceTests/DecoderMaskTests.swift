import Inference
import MoE
import Tensors
import Testing

/// What a decoder does, and does not do, for slots that masks close.
@Suite("Decoding with masks")
struct DecoderMaskTests {
    private static let V = 83

    /// Three layers with a shared expert, or without one.
    private static func configuration(shared: Int = 29) -> ModelConfiguration {
        var configuration = ModelConfiguration(
            vocabularySize: V, hiddenSize: 56, layers: 3, heads: 6, keyValueHeads: 2,
            headWidth: 10, experts: 9, expertsPerToken: 3, expertHiddenSize: 37, positionsMax: 64)
        configuration.sharedExpertHiddenSize = shared
        configuration.initializerRange = 0.2
        configuration.masksExperts = true
        return configuration
    }

    /// Fresh weights, but for mask routers that close some slots and leave others.
    private static func parameters(_ configuration: ModelConfiguration) -> FloatBuffer {
        let parameters = configuration.initialParameters(seed: 5)
        for tensor in configuration.layout.tensors
        where tensor.name.hasSuffix(".mask_router.weight") {
            for (index, place) in tensor.range.enumerated() {
                parameters[place] = Float((index * index + 37 * index) % 101) / 101 - 0.5
            }
        }
        return parameters
    }

    private static func tokens(_ count: Int, seed: Int) -> [Int32] {
        (0..<count).map { Int32(($0 * 37 + seed * 11 + $0 * $0 * seed) % V) }
    }

    private static func decoder(
        _ parameters: FloatBuffer, _ configuration: ModelConfiguration, batch: Int = 1
    ) -> Decoder<Float> {
        Decoder(
            configuration: configuration, parameters: parameters, batch: batch, capacity: 12,
            chunk: 4)
    }

    /// The tensors of routed experts, of one layer and one expert if they are given.
    private static func experts(
        _ configuration: ModelConfiguration, layer: Int? = nil, expert: Int? = nil
    ) -> [ParameterLayout.Tensor] {
        let layer = layer.map { "layers.\($0).mlp" } ?? ""
        let expert = expert.map { "\($0)." } ?? ""
        return configuration.layout.tensors.filter {
            $0.name.contains("\(layer).experts.\(expert)")
        }
    }

    private static func expectEqual(
        _ found: [Float], _ expected: [Float], sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let scale = expected.map(abs).max() ?? 0
        let distance = zip(found, expected).map { abs($0 - $1) }.max() ?? .infinity
        #expect(distance <= 1e-5 * scale, "\(distance)", sourceLocation: sourceLocation)
    }

    /// What sequences [B,9] give at their last position: 7 tokens at once, then two by themselves.
    private static func decode(_ decoder: Decoder<Float>, _ rows: [[Int32]]) -> [Float] {
        _ = decoder.decode(rows.flatMap { $0[..<7] })
        _ = decoder.decode(rows.map { $0[7] })
        return decoder.decode(rows.map { $0[8] }).array
    }

    private static func transform(
        _ parameters: FloatBuffer, _ configuration: ModelConfiguration, _ rows: [[Int32]],
        _ masking: Masking
    ) -> [Float] {
        let transformer = Transformer<Float>(
            configuration: configuration, batch: rows.count, sequence: 9)
        let logits = transformer.logits(
            of: parameters, tokens: rows.flatMap { $0 }, masking: masking)
        return rows.indices.flatMap { row in
            logits[(row * 9 + 8) * V..<(row * 9 + 9) * V].array
        }
    }

    @Test(
        "A decoder closes the slots that the transformer closes, for sequences side by side",
        arguments: [0, 29])
    func agreesWithTheTransformer(shared: Int) {
        let configuration = Self.configuration(shared: shared)
        let parameters = Self.parameters(configuration)
        let rows = [1, 5, 6].map { Self.tokens(9, seed: $0) }
        let decoder = Self.decoder(parameters, configuration, batch: 3)
        let found = Self.decode(decoder, rows)
        Self.expectEqual(
            found, Self.transform(parameters, configuration, rows, Masking(.skipping)))
        let activity = decoder.activity
        #expect(activity.tokens == 3 * 3 * 9 && activity.invalid == 0)
        #expect(activity.rowsPerToken > 0.5 && activity.rowsPerToken < 2.5)
        decoder.reset()
        decoder.masking = .off
        #expect(Self.decode(decoder, rows) != found)
    }

    /// What other families do in their own way.
    enum Family: CaseIterable {
        case qwen2, olmoe, mixtral, deepseek

        var configuration: ModelConfiguration {
            var model = DecoderMaskTests.configuration(shared: self == .qwen2 ? 29 : 0)
            switch self {
            case .qwen2:
                model.family = .qwen2
                model.normalizesQueriesAndKeys = false
                model.biasesQueriesKeysAndValues = true
            case .olmoe:
                model.family = .olmoe
                model.normalizesAcrossHeads = true
                model.hiddenSize = model.heads * model.headWidth
            case .mixtral:
                model.family = .mixtral
                model.normalizesQueriesAndKeys = false
            case .deepseek:
                model.family = .deepseek
                model.latentAttention = LatentAttention(
                    queryRank: 5, keyValueRank: 8, plainWidth: 6, rotatedWidth: 4, valueWidth: 5)
                model.keyValueHeads = model.heads
                model.normalizesQueriesAndKeys = false
                model.normalizesTopK = false
                model.routingGroups = 3
                model.routingGroupsChosen = 2
                model.routedScalingFactor = 2.5
                model.gatesSharedExpert = false
                model.sharedExpertHiddenSize = 2 * model.expertHiddenSize
                model.denseLayers = [0]
                model.denseHiddenSize = 40
            }
            return model
        }
    }

    @Test("So does a decoder of every family", arguments: Family.allCases)
    func everyFamily(family: Family) throws {
        let configuration = family.configuration
        try configuration.validate()
        let parameters = Self.parameters(configuration)
        let rows = [1, 5].map { Self.tokens(9, seed: $0) }
        let decoder = Self.decoder(parameters, configuration, batch: 2)
        let found = Self.decode(decoder, rows)
        Self.expectEqual(
            found, Self.transform(parameters, configuration, rows, Masking(.skipping)))
        let activity = decoder.activity
        #expect(activity.tokens == configuration.expertLayers.count * 2 * 9)
        #expect(activity.rowsPerToken > 0 && activity.rowsPerToken < 3 && activity.invalid == 0)
        decoder.reset()
        decoder.masking = .off
        #expect(Self.decode(decoder, rows) != found)
    }

    @Test(
        "Where whole batches are masked no expert is read, and the rest of the model speaks",
        arguments: [0, 29])
    func wholeBatchMasked(shared: Int) {
        let configuration = Self.configuration(shared: shared)
        let parameters = Self.parameters(configuration)
        var masking = Masking(.skipping)
        masking.threshold = 1e3
        let rows = [1, 5].map { Self.tokens(9, seed: $0) }
        let expected = Self.transform(parameters, configuration, rows, masking)
        for tensor in Self.experts(configuration) { parameters[tensor.range].fill(.nan) }
        let decoder = Self.decoder(parameters, configuration, batch: 2)
        decoder.masking = masking
        let found = Self.decode(decoder, rows)
        #expect(found.allSatisfy { $0.isFinite })
        Self.expectEqual(found, expected)
        let activity = decoder.activity
        #expect(activity.rows == 0 && activity.experts == 0 && activity.invalid == 0)
        #expect(activity.tokens == 3 * 2 * 9 && activity.empty == activity.tokens)
        decoder.reset()
        decoder.masking.threshold = 0
        #expect(!Self.decode(decoder, rows).allSatisfy { $0.isFinite }, "open slots are read")
    }

    @Test("Nothing is generated by masks that are no numbers, unless nobody looks at them")
    func brokenMasks() throws {
        let configuration = Self.configuration()
        let parameters = Self.parameters(configuration)
        var sampler = Sampler(.greedy, seed: 1, vocabulary: Self.V)
        let prompt = Self.tokens(4, seed: 3)
        let whole = try Self.decoder(parameters, configuration).generate(
            prompt: prompt, tokensMax: 5, sampler: &sampler)
        #expect(whole.tokens.count == 5)

        let tensor = try #require(
            configuration.layout.tensors.last { $0.name.hasSuffix(".mask_router.weight") })
        parameters[tensor.range].fill(.nan)
        let decoder = Self.decoder(parameters, configuration)
        let error = #expect(throws: InferenceError.self) {
            try decoder.generate(prompt: prompt, tokensMax: 5, sampler: &sampler)
        }
        #expect(error?.code == .invalidMask)
        #expect(error?.message.contains("12 mask logits are not numbers") == true)
        // What was found before is no fault of what comes now.
        decoder.masking = .off
        #expect(
            try decoder.generate(prompt: prompt, tokensMax: 5, sampler: &sampler).tokens.count
                == 5)
    }

    @Test("Exactly the experts that have rows are read", arguments: [false, true])
    func expertsWithRows(isMasked: Bool) {
        let configuration = Self.configuration()
        let parameters = Self.parameters(configuration)
        // A single token leaves most experts without a row.
        func decode(_ parameters: FloatBuffer) -> (logits: [Float], activity: ExpertActivity) {
            let decoder = Self.decoder(parameters, configuration)
            if !isMasked { decoder.masking = .off }
            let logits = decoder.decode([7]).array
            return (logits, decoder.activity)
        }
        let (expected, activity) = decode(parameters)
        let count = activity.experts
        #expect(isMasked ? (1..<9).contains(count) : count == 9)
        var read = 0
        for layer in 0..<configuration.layers {
            for expert in 0..<configuration.experts {
                let poisoned = parameters.duplicate()
                for tensor in Self.experts(configuration, layer: layer, expert: expert) {
                    poisoned[tensor.range].fill(.nan)
                }
                let found = decode(poisoned).logits
                let isRead = !found.allSatisfy(\.isFinite)
                #expect(isRead || found == expected, "layer \(layer), expert \(expert)")
                read += isRead ? 1 : 0
            }
        }
        #expect(read == count)
    }

    @Test("The threshold may change while a decoder runs: the higher, the fewer slots are live")
    func threshold() {
        let configuration = Self.configuration()
        let decoder = Self.decoder(Self.parameters(configuration), configuration)
        let rows = [Self.tokens(9, seed: 1)]
        let live = [-1e3, -1, 0, 1, 1e3].map { threshold -> Double in
            decoder.reset()
            decoder.forgetActivity()
            decoder.masking.threshold = threshold
            _ = Self.decode(decoder, rows)
            return decoder.activity.rowsPerToken
        }
        #expect(live.first == 3 && live.last == 0)
        #expect(zip(live, live.dropFirst()).allSatisfy { $0 > $1 }, "\(live)")
    }
}
