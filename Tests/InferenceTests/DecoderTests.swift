import Inference
import MoE
import Tensors
import Testing

@Suite struct DecoderTests {
    private let configuration: ModelConfiguration = {
        var configuration = ModelConfiguration(
            vocabularySize: 83, hiddenSize: 56, layers: 3, heads: 6, keyValueHeads: 2,
            headWidth: 10, experts: 9, expertsPerToken: 3, expertHiddenSize: 37, positionsMax: 64)
        configuration.sharedExpertHiddenSize = 29
        configuration.initializerRange = 0.2
        return configuration
    }()

    private func tokens(_ count: Int, seed: Int) -> [Int32] {
        (0..<count).map { Int32(($0 * 37 + seed * 11 + $0 * $0 * seed) % 83) }
    }

    /// One row [V] of logits [M,V].
    private func row(_ logits: FloatBuffer, _ index: Int) -> [Float] {
        logits[index * 83..<(index + 1) * 83].array
    }

    private func expectEqual(
        _ found: [Float], _ expected: [Float], sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let scale = expected.map(abs).max() ?? 0
        let distance = zip(found, expected).map { abs($0 - $1) }.max() ?? .infinity
        #expect(distance <= 1e-5 * scale, "\(distance)", sourceLocation: sourceLocation)
    }

    /// The prompt's length cut into chunks in several ways, then token by token.
    @Test(arguments: [1, 3, 8, 64])
    func agreesWithTheTransformer(chunk: Int) {
        let parameters = configuration.initialParameters(seed: 1)
        let tokens = tokens(20, seed: 1)
        let transformer = Transformer<Float>(configuration: configuration, batch: 1, sequence: 20)
        let expected = transformer.logits(of: parameters, tokens: tokens)
        let decoder = Decoder(
            configuration: configuration, parameters: parameters, capacity: 20, chunk: chunk)
        expectEqual(row(decoder.decode(Array(tokens[..<11])), 0), row(expected, 10))
        for position in 11..<20 {
            expectEqual(row(decoder.decode([tokens[position]]), 0), row(expected, position))
        }
        #expect(decoder.length == 20)
    }

    @Test func sequencesSideBySide() {
        let parameters = configuration.initialParameters(seed: 2)
        let rows = [tokens(9, seed: 1), tokens(9, seed: 5), tokens(9, seed: 6)]
        let transformer = Transformer<Float>(configuration: configuration, batch: 3, sequence: 9)
        let expected = transformer.logits(of: parameters, tokens: rows.flatMap { $0 })
        let decoder = Decoder(
            configuration: configuration, parameters: parameters, batch: 3, capacity: 12, chunk: 4)
        var logits = decoder.decode(rows.flatMap { $0[..<7] })
        for sequence in 0..<3 {
            expectEqual(row(logits, sequence), row(expected, sequence * 9 + 6))
        }
        for position in 7..<9 {
            logits = decoder.decode(rows.map { $0[position] })
            for sequence in 0..<3 {
                expectEqual(row(logits, sequence), row(expected, sequence * 9 + position))
            }
        }
    }

    @Test func resetForgets() {
        let parameters = configuration.initialParameters(seed: 3)
        let decoder = Decoder(configuration: configuration, parameters: parameters, capacity: 8)
        let fresh = decoder.decode([1, 2, 3]).array
        #expect(decoder.decode([1, 2, 3]).array != fresh)
        decoder.reset()
        #expect(decoder.length == 0)
        #expect(decoder.decode([1, 2, 3]).array == fresh)
    }

    @Test func activityIsCountedAnew() {
        let parameters = configuration.initialParameters(seed: 3)
        let decoder = Decoder(configuration: configuration, parameters: parameters, capacity: 8)
        _ = decoder.decode([1, 2, 3])
        #expect(decoder.activity.tokens == 3 * 3 && decoder.activity.rowsPerToken == 3)
        decoder.forgetActivity()
        #expect(decoder.activity == ExpertActivity() && decoder.length == 3)
        _ = decoder.decode([4])
        #expect(decoder.activity.passes == 3 && decoder.activity.experts == 3 * 3)
    }

    @Test func moreThanTheCacheHolds() async {
        await #expect(processExitsWith: .failure) {
            let configuration = ModelConfiguration(
                vocabularySize: 4, hiddenSize: 2, layers: 1, heads: 1, keyValueHeads: 1,
                headWidth: 2, experts: 1, expertsPerToken: 1, expertHiddenSize: 1, positionsMax: 4)
            let decoder = Decoder(
                configuration: configuration,
                parameters: configuration.initialParameters(seed: 1), capacity: 2)
            _ = decoder.decode([0, 1, 2])
        }
    }
}
