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
        _ routing: RoutingMethod = .topk, tokens: Int = 3
    ) -> DecodeBenchmark.Plan {
        DecodeBenchmark.Plan(batch: 2, routing: routing, prompt: 4, tokens: tokens)
    }

    /// A model whose masks close some slots.
    private static func masked() throws -> DecodeSubject {
        var plan = plan(.beam)
        plan.live = 2
        return try DecodeSubject.fresh(DecodeBenchmarkTests.model, named: "", plan)
    }

    /// Writes the subject's model to `folder`; `maskShape` may give its mask routers another shape
    /// of as many numbers, or none, which leaves them out.
    private static func write(
        _ subject: DecodeSubject, to folder: URL, maskShape: ([Int]) -> [Int]? = { $0 }
    ) throws {
        try subject.configuration.configurationJSON()
            .write(to: folder.appendingPathComponent("config.json"))
        var tensors: [(name: String, shape: [Int], range: Range<Int>)] = []
        for tensor in subject.configuration.layout.tensors {
            let isMask = tensor.name.hasSuffix(".mask_router.weight")
            guard let shape = isMask ? maskShape(tensor.shape) : tensor.shape else { continue }
            tensors.append((tensor.name, shape, tensor.range))
        }
        var writer = try SafetensorsWriter(
            path: "\(folder.path)/\(SafetensorsFolder.singleName)",
            header: SafetensorsHeader(tensors: tensors.map { ($0.name, .float32, $0.shape) }))
        for tensor in tensors { try writer.append(subject.parameters[tensor.range]) }
        _ = try writer.finish()
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
            let fresh = try Self.masked()
            try Self.write(fresh, to: folder)
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

    @Test("Masks that are missing, of another shape, or without numbers are refused by their name")
    func brokenMasks() throws {
        let subject = try Self.masked()
        let name = "model.layers.1.mlp.mask_router.weight"
        func refusal(_ maskShape: ([Int]) -> [Int]?) throws -> StorageError? {
            var found: StorageError?
            try Self.withFolder { folder in
                try Self.write(subject, to: folder, maskShape: maskShape)
                found = #expect(throws: StorageError.self) {
                    try DecodeSubject.saved(folder.path, text: nil, Self.plan(.beam))
                }
            }
            #expect(found?.message.contains("\"\(name)\"") == true)
            #expect(found?.message.contains("\n") == false)
            return found
        }
        let missing = try refusal { _ in nil }
        #expect(missing?.code == .mismatch)
        #expect(missing?.message.contains("\"expert_masks\": true in config.json") == true)
        let turned = try refusal { $0.reversed() }
        #expect(turned?.code == .mismatch)
        #expect(turned?.message.contains("[32, 8], and this model has [8, 32]") == true)
        let mask = try #require(subject.configuration.layout.tensor(named: name))
        subject.parameters[mask.range.lowerBound + 3] = .nan
        let broken = try refusal { $0 }
        #expect(broken?.code == .corrupt)
        #expect(broken?.message.contains("not finite: element 3 is nan") == true)
    }

    @Test("What is measured with mask logits that are no numbers is not told")
    func masksWithoutNumbers() throws {
        let subject = try Self.masked()
        let name = "model.layers.1.mlp.mask_router.weight"
        let mask = try #require(subject.configuration.layout.tensor(named: name))
        func result() -> DecodeBenchmark.Result {
            DecodeBenchmark(Self.plan(.beam), subject: subject).run()
        }
        try result().checkMasks(of: "m")
        subject.parameters[mask.range].fill(.nan)
        let broken = result()
        // Three steps of two tokens, each of which has chosen four experts.
        #expect(broken.beam?.activity.invalid == 3 * 2 * 4)
        let error = #expect(throws: CommandError.self) { try broken.checkMasks(of: "m") }
        #expect(error?.status == .badData)
        #expect(error?.message.hasPrefix("24 mask logits of m are not numbers") == true)
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
