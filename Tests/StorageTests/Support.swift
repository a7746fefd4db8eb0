import Foundation
import Storage
import Tensors

/// A new empty folder, removed with all it holds when the test is over.
final class TemporaryFolder: Sendable {
    let path: String

    init() throws {
        path = NSTemporaryDirectory() + "/martlet-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// The path of `name` in the folder.
    func path(_ name: String) -> String { "\(path)/\(name)" }

    /// Writes a file, with the folders above it, and returns its path.
    @discardableResult
    func write(_ bytes: [UInt8], to name: String) throws -> String {
        let file = path(name)
        try FileManager.default.createDirectory(
            atPath: (file as NSString).deletingLastPathComponent,
            withIntermediateDirectories: true)
        try Data(bytes).write(to: URL(fileURLWithPath: file))
        return file
    }

    @discardableResult
    func write(_ text: String, to name: String) throws -> String {
        try write(Array(text.utf8), to: name)
    }

    func names() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: path).sorted()
    }
}

func bytes(at path: String) throws -> [UInt8] {
    Array(try Data(contentsOf: URL(fileURLWithPath: path)))
}

/// The path of a file that `Tests/Fixtures/make_tokenizers.py` made.
func tokenizerFixture(_ name: String) -> String {
    let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent()
    return tests.appendingPathComponent("Fixtures/tokenizers/\(name)").path
}

/// Xorshift64*: small, seeded, the same everywhere.
struct Generator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 | 1 }

    mutating func next() -> UInt64 {
        state ^= state >> 12
        state ^= state << 25
        state ^= state >> 27
        return state &* 0x2545_f491_4f6c_dd1d
    }
}

/// `count` numbers, none special.
func randomBuffer(_ count: Int, seed: UInt64) -> FloatBuffer {
    var generator = Generator(seed: seed)
    return FloatBuffer((0..<count).map { _ in Float.random(in: -1...1, using: &generator) })
}

/// The code with which `body` throws a ``StorageError``; nil where it does not throw.
func code(_ body: () throws -> Void) throws -> StorageError.Code? {
    do {
        try body()
        return nil
    } catch let error as StorageError {
        return error.code
    }
}

/// A model of three modules and a few dozen numbers.
let smallLayout = ParameterLayout(modules: [
    ("embedding", [("model.embed_tokens.weight", [5, 4])]),
    (
        "layers.0",
        [
            ("model.layers.0.input_layernorm.weight", [4]),
            ("model.layers.0.mlp.experts.0.up_proj.weight", [3, 4]),
        ]
    ),
    ("head", [("model.norm.weight", [4]), ("lm_head.weight", [5, 4])]),
])

let smallDocuments = CheckpointDocuments(
    configuration: Array(#"{"model_type": "qwen3_moe", "hidden_size": 4}"#.utf8),
    contextLength: 256)

let smallParameters = randomBuffer(smallLayout.count, seed: 1)
let smallMomentum = randomBuffer(smallLayout.count, seed: 2)
let smallRun = Array(#"{"round": 7, "epoch": 1}"#.utf8)

/// Writes a checkpoint of the small model to `path`.
func writeSmallCheckpoint(
    to path: String, parameters: FloatBuffer = smallParameters
) throws {
    let writer = try CheckpointWriter(
        path: path, layout: smallLayout, documents: smallDocuments, resume: [.outerMomentum])
    for (index, module) in smallLayout.modules.enumerated() {
        try writer.append(
            module: index, parameters: parameters[module.range],
            resume: [smallMomentum[module.range]])
    }
    _ = try writer.finish(run: smallRun)
}

/// Runs a program to its end and returns its exit status and all it printed.
@discardableResult
func run(_ program: String, _ arguments: [String]) throws -> (status: Int32, output: String) {
    let process = Process()
    let output = Pipe()
    process.executableURL = URL(fileURLWithPath: program)
    process.arguments = arguments
    process.standardOutput = output
    process.standardError = output
    try process.run()
    let printed = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return (process.terminationStatus, String(decoding: printed, as: UTF8.self))
}
