import Foundation
import MoE
import Storage
import Tensors
import Testing

@testable import martlet

/// Models and prompts that `martlet bench decode` takes from files.
@Suite("Decoding a checkpoint, measured")
struct DecodeSubjectTests {
    private static func withFolder(_ body: (URL) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("martlet-decode-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try body(folder)
    }

    private static func fixture(_ name: String) -> String {
        DecodeBenchmarkTests.fixtures.appendingPathComponent(name).path
    }

    private static func plan(
        _ routing: Routing = .topk, tokens: Int = 3
    ) -> DecodeBenchmark.Plan {
        DecodeBenchmark.Plan(batch: 2, routing: routing, prompt: 4, tokens: tokens)
    }

    @Test("Prompts are pieces of the text at equal distances")
    func promptsOfText() throws {
        try Self.withFolder { folder in
            let text = (0..<40).map { "word \($0 * $0) follows" }.joined(separator: ", ")
            let path = folder.appendingPathComponent("text").path
            try Data(text.utf8).write(to: URL(fileURLWithPath: path))
            let model = Self.fixture("qwen3_moe")
            let plan = Self.plan()
            let subject = try DecodeSubject.saved(model, text: path, plan)
            let ids = try Tokenizer(path: "\(model)/\(Tokenizer.fileName)").encode(text)
            let half = ids.count / 2
            #expect(subject.prompts == Array(ids[..<4]) + Array(ids[half..<half + 4]))
            #expect(subject.prompts[..<4] != subject.prompts[4...])

            let report = DecodeReport(
                plan, subject, DecodeBenchmark(plan, subject: subject).run())
            #expect(report.model == model && report.activePerToken == 2)
            #expect(report.distinctExperts >= 2 && report.distinctExperts <= 4)
        }
    }

    @Test("Without a text, prompts are random tokens that the model has")
    func randomPrompts() throws {
        let subject = try DecodeSubject.saved(Self.fixture("qwen2_dense"), text: nil, Self.plan())
        let vocabulary = subject.configuration.vocabularySize
        #expect(subject.prompts.count == 8 && Set(subject.prompts).count > 2)
        #expect(subject.prompts.allSatisfy { $0 >= 0 && Int($0) < vocabulary })
    }

    @Test("Masks of a checkpoint close what they close")
    func savedMasks() throws {
        try Self.withFolder { folder in
            var random = Self.plan(.beam)
            random.live = 2
            let fresh = try DecodeSubject.fresh(DecodeBenchmarkTests.model, named: "", random)
            let layout = fresh.configuration.layout
            try fresh.configuration.configurationJSON()
                .write(to: folder.appendingPathComponent("config.json"))
            var writer = try SafetensorsWriter(
                path: "\(folder.path)/\(SafetensorsFolder.singleName)",
                header: SafetensorsHeader(
                    tensors: layout.tensors.map { ($0.name, .float32, $0.shape) }))
            for tensor in layout.tensors { try writer.append(fresh.parameters[tensor.range]) }
            _ = try writer.finish()

            let plan = Self.plan(.beam)
            let subject = try DecodeSubject.saved(folder.path, text: nil, plan)
            #expect(subject.configuration == fresh.configuration)
            #expect(subject.prompts == fresh.prompts)
            let result = DecodeBenchmark(plan, subject: subject).run()
            let beam = try #require(result.beam)
            // Logits around 0, without a bias.
            #expect(beam.activity.rowsPerToken > 0.5 && beam.activity.rowsPerToken < 3.5)
            #expect(result.topk.activity.rowsPerToken == 4 && result.bias == 0)
        }
    }

    @Test("A model without masks is not decoded with them")
    func noMasks() {
        let path = Self.fixture("qwen3_moe")
        let error = #expect(throws: CommandError.self) {
            try DecodeSubject.saved(path, text: nil, Self.plan(.beam))
        }
        #expect(error?.status == .badData)
        #expect(error?.message.hasPrefix("\(path) has no expert masks") == true)
        #expect(error?.message.contains("\n") == false)
    }

    @Test("More tokens than the model takes are refused with both numbers")
    func tooManyTokens() throws {
        let path = Self.fixture("qwen3_moe")
        // 256 positions: 4 + 204 + 2 * 26 are four too many, and four steps fewer half a turn.
        let error = #expect(throws: CommandError.self) {
            try DecodeSubject.saved(path, text: nil, Self.plan(tokens: 204))
        }
        #expect(error?.status == .usage)
        #expect(error?.message.contains("make 260 tokens") == true)
        #expect(error?.message.contains("takes 256") == true)
        _ = try DecodeSubject.saved(path, text: nil, Self.plan(tokens: 200))
    }

    @Test("A text of too few tokens is refused, and one without a tokenizer")
    func uselessTexts() throws {
        try Self.withFolder { folder in
            let path = folder.appendingPathComponent("text").path
            try Data("a".utf8).write(to: URL(fileURLWithPath: path))
            let error = #expect(throws: CommandError.self) {
                try DecodeSubject.saved(Self.fixture("qwen3_moe"), text: path, Self.plan())
            }
            #expect(error?.status == .badData)
            #expect(error?.message.contains("has 1 tokens, and 2 prompts of 4 need 8") == true)
            let other = #expect(throws: StorageError.self) {
                try DecodeSubject.saved(Self.fixture("qwen2_dense"), text: path, Self.plan())
            }
            #expect(other?.code == .missing)
        }
    }
}
