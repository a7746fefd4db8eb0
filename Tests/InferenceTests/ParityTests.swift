import FoundationEssentials
import Inference
import MoE
import Storage
import Tensors
import Testing

/// Decoding the checkpoints in Tests/Fixtures against what `transformers` makes of them.
@Suite struct ParityTests {
    static let fixtures = [
        "qwen3_moe", "qwen2_moe", "olmoe", "mixtral", "deepseek_v2", "qwen3_yarn",
        "qwen3_sparse", "qwen2_dense", "olmoe_biased", "mixtral_wide", "deepseek_grouped",
        "deepseek_lite",
    ]

    /// Sixteen tokens after the first eight, the likeliest each time.
    @Test(arguments: fixtures)
    func greedyContinuation(name: String) throws {
        let fixture = try DecodedFixture(name)
        let expected = try fixture.reference.values("greedy", of: Int64.self).array.map {
            Int32($0)
        }
        let decoder = fixture.decoder(batch: 1, capacity: 8 + expected.count, chunk: 5)
        var sampler = Sampler(
            try Sampling(temperature: 0), seed: 1,
            vocabulary: fixture.configuration.vocabularySize)
        let found = try decoder.generate(
            prompt: Array(fixture.tokens[..<8]), tokensMax: expected.count, sampler: &sampler)
        #expect(found.tokens == expected)
    }

    /// Logits of all sequences side by side, from a cache that grew in chunks and by single tokens.
    @Test(arguments: fixtures)
    func logitsOverTheCache(name: String) throws {
        let fixture = try DecodedFixture(name)
        let (T, V) = (fixture.length, fixture.configuration.vocabularySize)
        let decoder = fixture.decoder(batch: fixture.batch, capacity: T, chunk: 4)
        let expected = try fixture.reference.floats("logits").array
        var position = T - 9
        var logits = decoder.decode(fixture.part(0..<position))
        while true {
            for sequence in 0..<fixture.batch {
                let row = (sequence * T + position - 1) * V
                let reference = expected[row..<row + V]
                let found = logits[sequence * V..<(sequence + 1) * V].array
                let scale = reference.map(abs).max() ?? 0
                let distance = zip(found, reference).map { abs($0 - $1) }.max() ?? .infinity
                #expect(distance < 1e-5 * scale, "token \(position - 1) differs by \(distance)")
            }
            guard position < T else { return }
            logits = decoder.decode(fixture.part(position..<position + 1))
            position += 1
        }
    }
}

/// A checkpoint, its tokens [B,T] and the reference's results.
private struct DecodedFixture {
    let configuration: ModelConfiguration
    let parameters: FloatBuffer
    let reference: SafetensorsFile
    let tokens: [Int32]
    let batch: Int

    init(_ name: String) throws {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("Fixtures/\(name)")
        configuration = try ModelConfiguration(
            configurationJSON: Data(contentsOf: folder.appendingPathComponent("config.json")))
        let layout = configuration.layout
        parameters = FloatBuffer(count: layout.count)
        let weights = try SafetensorsFolder(path: folder.path)
        for tensor in layout.tensors {
            try weights.file(holding: tensor.name).read(
                tensor.name, into: parameters[tensor.range])
        }
        reference = try SafetensorsFile(
            path: folder.appendingPathComponent("reference.safetensors").path)
        tokens = try reference.values("input_ids", of: Int64.self).array.map { Int32($0) }
        batch = try reference.tensor(named: "input_ids").shape[0]
    }

    var length: Int { tokens.count / batch }

    /// The tokens of all sequences at `positions`.
    func part(_ positions: Range<Int>) -> [Int32] {
        (0..<batch).flatMap { sequence in
            positions.map { tokens[sequence * length + $0] }
        }
    }

    func decoder(batch: Int, capacity: Int, chunk: Int) -> Inference.Decoder<Float> {
        Inference.Decoder(
            configuration: configuration, parameters: parameters, batch: batch,
            capacity: capacity, chunk: chunk)
    }
}
