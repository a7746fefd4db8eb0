import FoundationEssentials
import Inference
import MoE
import Storage
import Tensors
import Testing

@Suite struct GenerationTests {
    private static let folder = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Fixtures/qwen3_moe")

    private func decoder(capacity: Int) throws -> Decoder<Float> {
        let json = try Data(contentsOf: Self.folder.appendingPathComponent("config.json"))
        let configuration = try ModelConfiguration(configurationJSON: json)
        let layout = configuration.layout
        let parameters = FloatBuffer(count: layout.count)
        let weights = try SafetensorsFile(
            path: Self.folder.appendingPathComponent("model.safetensors").path)
        for tensor in layout.tensors {
            try weights.read(tensor.name, into: parameters[tensor.range])
        }
        return Decoder(
            configuration: configuration, parameters: parameters, capacity: capacity, chunk: 5)
    }

    private func reference(_ name: String) throws -> [Int32] {
        try SafetensorsFile(path: Self.folder.appendingPathComponent("reference.safetensors").path)
            .values(name, of: Int64.self).array.map { Int32($0) }
    }

    /// Sixteen tokens after the first eight of the fixture, as `transformers` continues them.
    @Test func greedyAsTransformers() throws {
        var sampler = Sampler(.greedy, seed: 0, vocabulary: 320)
        var heard: [Int32] = []
        let generation = try decoder(capacity: 24).generate(
            prompt: Array(try reference("input_ids")[..<8]), tokensMax: 16, sampler: &sampler
        ) { heard.append($0) }
        #expect(generation.tokens == (try reference("greedy")))
        #expect(generation.end == .tokensMax)
        #expect(heard == generation.tokens)
    }

    @Test func endsAtAStopToken() throws {
        let expected = try reference("greedy")
        let stop = expected[5]
        let first = try #require(expected.firstIndex(of: stop))
        var sampler = Sampler(.greedy, seed: 0, vocabulary: 320)
        let generation = try decoder(capacity: 24).generate(
            prompt: Array(try reference("input_ids")[..<8]), tokensMax: 16, sampler: &sampler,
            until: [stop])
        #expect(generation.tokens == Array(expected[..<first]))
        #expect(generation.end == .stopToken(stop))
    }

    @Test func endsWhenTheCacheIsFull() throws {
        var sampler = Sampler(.greedy, seed: 0, vocabulary: 320)
        let generation = try decoder(capacity: 10).generate(
            prompt: Array(try reference("input_ids")[..<8]), tokensMax: 16, sampler: &sampler)
        #expect(generation.tokens == Array(try reference("greedy")[..<3]))
        #expect(generation.end == .capacity)
    }

    @Test func nothingAsked() throws {
        var sampler = Sampler(.greedy, seed: 0, vocabulary: 320)
        let generation = try decoder(capacity: 4).generate(
            prompt: [1], tokensMax: 0, sampler: &sampler)
        #expect(generation.tokens.isEmpty && generation.end == .tokensMax)
    }

    @Test func badPrompts() throws {
        let decoder = try decoder(capacity: 4)
        var sampler = Sampler(.greedy, seed: 0, vocabulary: 320)
        let prompts: [([Int32], InferenceError.Code)] = [
            ([], .emptyPrompt), ([1, 2, 3, 4, 5], .promptTooLong), ([320], .unknownToken),
            ([-1], .unknownToken),
        ]
        for (prompt, code) in prompts {
            let error = #expect(throws: InferenceError.self) {
                try decoder.generate(prompt: prompt, tokensMax: 1, sampler: &sampler)
            }
            #expect(error?.code == code)
        }
    }

    @Test func aListenerCanStopIt() throws {
        struct Enough: Error {}
        let decoder = try decoder(capacity: 24)
        var sampler = Sampler(.greedy, seed: 0, vocabulary: 320)
        var count = 0
        #expect(throws: Enough.self) {
            try decoder.generate(prompt: [1], tokensMax: 16, sampler: &sampler) { _ in
                count += 1
                if count == 3 { throw Enough() }
            }
        }
        #expect(count == 3)
    }
}
