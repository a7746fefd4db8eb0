import Foundation
import Inference
import MoE
import Storage
import Tensors
import Testing

@testable import martlet

/// `--routing` and `--threshold`, of commands that run a saved model.
@Suite("Routing by top-k or with masks")
struct RoutingTests {
    private static let plain = DecodeBenchmarkTests.fixtures
        .appendingPathComponent("qwen3_moe").path
    private static let folder = NSTemporaryDirectory() + "martlet-routing-"

    /// Calls `body` with the fixture's model once more, with mask routers of small weights of
    /// either sign; `spoil` may change its numbers.
    private static func withMasks(
        spoil: (FloatBuffer, ParameterLayout) -> Void = { _, _ in },
        _ body: (_ folder: String) throws -> Void
    ) throws {
        let path = folder + UUID().uuidString
        defer { try? FileManager.default.removeItem(atPath: path) }
        let checkpoint = try CheckpointStore.resolve(plain)
        var configuration = try ModelConfiguration(
            configurationJSON: Data(checkpoint.configuration))
        let bare = FloatBuffer(count: configuration.layout.count)
        try checkpoint.loadParameters(layout: configuration.layout, into: bare)
        let layout = configuration.layout
        configuration.masksExperts = true
        let masked = FloatBuffer(count: configuration.layout.count)
        for tensor in configuration.layout.tensors {
            if let source = layout.tensor(named: tensor.name) {
                masked[tensor.range].copy(from: bare[source.range])
            } else {
                let width = configuration.hiddenSize
                for index in 0..<tensor.range.count {
                    let isFirst = (index / width + index) % 3 == 0
                    masked[tensor.range][index] = isFirst ? 0.5 : -0.25
                }
            }
        }
        spoil(masked, configuration.layout)
        let tokenizer = try Data(
            contentsOf: URL(fileURLWithPath: "\(plain)/\(Tokenizer.fileName)"))
        try ModelFolder.write(
            masked, layout: configuration.layout,
            documents: [
                ("config.json", Array(try configuration.configurationJSON())),
                (Tokenizer.fileName, Array(tokenizer)),
            ], to: path)
        try body(path)
    }

    private func generate(
        _ model: String, _ routing: RoutingMethod? = nil, threshold: Double = 0.5
    ) throws -> GenerationResult {
        try TextGeneration.run(
            GenerationRequest(
                model: model, prompt: "the quick brown", tokensMax: 12, temperature: 0,
                routing: RoutingRequest(routing: routing, threshold: threshold))
        ) { _ in }
    }

    @Test("Masks are used where a model has them, unless top-k is asked for")
    func generation() throws {
        let plain = try generate(Self.plain)
        #expect(plain.activePerToken == 2)
        #expect(try generate(Self.plain, .topk).text == plain.text)
        try Self.withMasks { folder in
            let topk = try generate(folder, .topk)
            #expect(topk.text == plain.text && topk.activePerToken == 2)
            let beam = try generate(folder)
            #expect(beam.activePerToken > 0 && beam.activePerToken < 2)
            #expect(try generate(folder, .beam).activePerToken == beam.activePerToken)
        }
    }

    @Test("The threshold is adjusted at run time, from all experts to none")
    func thresholds() throws {
        try Self.withMasks { folder in
            let plain = try generate(Self.plain)
            let all = try generate(folder, threshold: 1e-300)
            #expect(all.activePerToken == 2 && all.text == plain.text)
            var last = all.activePerToken
            for threshold in [0.25, 0.5, 0.75] {
                let active = try generate(folder, threshold: threshold).activePerToken
                #expect(active < last)
                last = active
            }
            #expect(try generate(folder, threshold: 1 - 1e-15).activePerToken == 0)
        }
    }

    @Test("A model without masks can't be run with them")
    func noMasks() {
        let error = #expect(throws: CommandError.self) { try generate(Self.plain, .beam) }
        #expect(error?.status == .badData)
        #expect(error?.message.contains("has no expert masks") == true)
    }

    /// Finite weights, as no others are read, of which the masks' input overflows.
    private static func overflow(_ parameters: FloatBuffer, _ layout: ParameterLayout) {
        for tensor in layout.tensors
        where tensor.name.hasSuffix(".post_attention_layernorm.weight") {
            parameters[tensor.range].fill(.greatestFiniteMagnitude)
        }
    }

    @Test("Mask logits that are no numbers end a generation and an evaluation, and none is written")
    func brokenMasks() throws {
        try Self.withMasks(spoil: Self.overflow) { folder in
            let generation = #expect(throws: InferenceError.self) { try generate(folder) }
            #expect(generation?.code == .invalidMask)
            let dump = "\(folder)/dump"
            let error = #expect(throws: CommandError.self) { try evaluate(folder, dump: dump) }
            #expect(error?.status == .badData)
            #expect(error?.message.contains("mask logits of \(folder) are not numbers") == true)
            #expect(error?.message.contains("--routing topk") == true)
            #expect(!FileManager.default.fileExists(atPath: dump))
        }
    }

    private func evaluate(
        _ model: String, _ routing: RoutingMethod? = nil, threshold: Double = 0.5, dump: String
    ) throws -> EvaluationResult {
        let ids = Self.folder + UUID().uuidString
        defer { try? FileManager.default.removeItem(atPath: ids) }
        try Data("[[1, 2, 3, 4, 5, 6, 7, 8]]".utf8).write(to: URL(fileURLWithPath: ids))
        return try ModelEvaluation.run(
            EvaluationRequest(
                model: model, ids: ids, dump: dump,
                routing: RoutingRequest(routing: routing, threshold: threshold)))
    }

    @Test("An evaluation is of the masked model, and says what masks decide by")
    func evaluation() throws {
        try Self.withMasks { folder in
            let plain = try evaluate(Self.plain, dump: "\(folder)/plain")
            let topk = try evaluate(folder, .topk, dump: "\(folder)/topk")
            #expect(topk.loss == plain.loss && topk.activePerToken == 2)
            let beam = try evaluate(folder, dump: "\(folder)/beam")
            #expect(beam.loss != plain.loss && beam.activePerToken < 2)
            let all = try evaluate(folder, threshold: 1e-300, dump: "\(folder)/all")
            #expect(all.loss == plain.loss && all.activePerToken == 2)

            let (masked, bare) = (
                try SafetensorsFile(path: "\(folder)/all"),
                try SafetensorsFile(path: "\(folder)/plain")
            )
            let logits = try masked.floats("router_logits_1").array
            #expect(logits == (try bare.floats("router_logits_1").array))
            let masks = try masked.floats("mask_logits_1").array
            #expect(masks.count == logits.count && masks != logits)
            // Both have a loss and the gradient of each tensor, which are two more with masks.
            #expect(all.tensors == plain.tensors + 4)
        }
    }
}
