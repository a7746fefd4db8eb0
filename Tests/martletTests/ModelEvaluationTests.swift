import Foundation
import Storage
import Tensors
import Testing

@testable import martlet

@Suite struct ModelEvaluationTests {
    private let folder: URL
    private static let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("Fixtures")

    init() throws {
        folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("martlet-eval-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    private func path(_ name: String) -> String { folder.appendingPathComponent(name).path }

    private func request(_ model: String, ids: String) throws -> EvaluationRequest {
        try Data(ids.utf8).write(to: URL(fileURLWithPath: path("ids.json")))
        return EvaluationRequest(
            model: Self.fixtures.appendingPathComponent(model).path, ids: path("ids.json"),
            dump: path("dump.safetensors"))
    }

    /// A Hugging Face folder in several files, with dense layers, under the names it was read by.
    @Test func theDumpHoldsWhatTransformersComputes() throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        let model = "qwen2_dense"
        let reference = try SafetensorsFile(
            path: Self.fixtures.appendingPathComponent("\(model)/reference.safetensors").path)
        let ids = try reference.values("input_ids", of: Int64.self).array
        let length = ids.count / 2
        let result = try ModelEvaluation.run(
            request(model, ids: "[\(Array(ids[..<length])), \(Array(ids[length...]))]"))
        #expect(result.sequences == 2 && result.targets == 2 * (length - 1))
        let loss = Double(try reference.floats("loss")[0])
        #expect(abs(result.loss / loss - 1) < 1e-6)
        let dump = try SafetensorsFile(path: path("dump.safetensors"))
        #expect(dump.header.tensors.count == result.tensors)
        let names = ["logits", "loss", "hidden_0", "hidden_1", "hidden_2", "router_logits_0"]
        for name in names { try expectEqual(dump, name, reference, name) }
        let gradients = try SafetensorsFile(
            path: Self.fixtures.appendingPathComponent("\(model)/grads/model.safetensors").path)
        for tensor in gradients.header.tensors {
            try expectEqual(dump, "grad.\(tensor.name)", gradients, tensor.name)
        }
        #expect(result.tensors == names.count + gradients.header.tensors.count)
    }

    @Test func bf16IsNearFp32AndNotIt() throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        var request = try request("qwen3_moe", ids: "[[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]]")
        let exact = try ModelEvaluation.run(request)
        request.precision = .bf16
        request.dump = path("half.safetensors")
        let rounded = try ModelEvaluation.run(request)
        #expect(rounded.loss != exact.loss && abs(rounded.loss / exact.loss - 1) < 0.02)
        #expect(rounded.tensors == exact.tensors)
    }

    /// From several files to one folder that gives the same numbers.
    @Test func whatIsSavedIsTheSameModel() throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        var request = try request("qwen2_dense", ids: "[[1, 2, 3], [4, 5, 6]]")
        request.save = path("saved")
        let first = try ModelEvaluation.run(request)
        request.model = path("saved")
        request.dump = path("again.safetensors")
        request.save = nil
        #expect(try ModelEvaluation.run(request).loss == first.loss)
        let dumps = try ["dump", "again"].map {
            try Data(contentsOf: URL(fileURLWithPath: path("\($0).safetensors")))
        }
        #expect(dumps[0] == dumps[1])
        request.dump = path("third.safetensors")
        request.save = path("saved")
        let error = #expect(throws: CommandError.self) { try ModelEvaluation.run(request) }
        #expect(error?.status == .cannotCreate)
    }

    private func expectEqual(
        _ found: SafetensorsFile, _ name: String, _ expected: SafetensorsFile, _ source: String
    ) throws {
        let reference = try expected.floats(source).array
        #expect(try found.tensor(named: name).shape == expected.tensor(named: source).shape)
        let scale = reference.map(abs).max() ?? 0
        let distance = zip(try found.floats(name).array, reference).map { abs($0 - $1) }.max() ?? 1
        #expect(distance <= 1e-5 * scale, "\(name) differs by \(distance)")
    }

    /// The text of the file of ids, and what is said of it behind the file's name.
    static let mistakes: [(ids: String, message: String)] = [
        ("{}", ": allowed is an array of token ids, or of arrays of them"),
        ("[]", " has 0 tokens; at least 2 are needed"),
        ("[[]]", ": sequence 0 has 0 tokens; at least 2 are needed"),
        ("[1]", " has 1 tokens; at least 2 are needed"),
        ("[1, -1]", ", token 1: allowed is an id from 0 to 47"),
        ("[1, 48]", ", token 1: allowed is an id from 0 to 47"),
        ("[1, 1.5]", ", token 1: allowed is an id from 0 to 47"),
        ("[1, \"1\"]", ", token 1: allowed is an id from 0 to 47"),
        ("[[1, 2], [3, null]]", ": sequence 1, token 1: allowed is an id from 0 to 47"),
        ("[[1, 2], 3]", ": sequence 1 has 0 tokens; at least 2 are needed"),
        (
            "[[1, 2], [3, 4, 5]]",
            ": sequence 1 has 3 tokens and sequence 0 has 2; all must be equally long"
        ),
        (
            "[\(Array(repeating: "1", count: 65).joined(separator: ","))]",
            " has 65 tokens; the model takes 64 (max_position_embeddings)"
        ),
    ]

    @Test func tooManyTokensAreRefused() throws {
        let pairs = Array(repeating: "[1,2]", count: TokenRows.tokensMax / 2 + 1)
        try expectMistake("[\(pairs.joined(separator: ","))]", " has more than 16384 tokens")
    }

    @Test(arguments: mistakes)
    func eachMistakeIsNamed(ids: String, message: String) throws {
        try expectMistake(ids, message)
    }

    private func expectMistake(_ ids: String, _ message: String) throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        let request = try request("qwen2_dense", ids: ids)
        let error = #expect(throws: CommandError.self) { try ModelEvaluation.run(request) }
        #expect(error == CommandError(.badData, request.ids + message))
        #expect(!FileManager.default.fileExists(atPath: request.dump))
    }

    @Test func whatIsThereIsNotOverwritten() throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        let request = try request("qwen2_dense", ids: "[1, 2]")
        try Data("mine".utf8).write(to: URL(fileURLWithPath: request.dump))
        let error = #expect(throws: StorageError.self) { try ModelEvaluation.run(request) }
        #expect(error?.code == .unwritable)
        #expect(try Data(contentsOf: URL(fileURLWithPath: request.dump)) == Data("mine".utf8))
    }
}
