import Foundation
import LocalSGD
import NIOCore
import Tensors
import Testing

@testable import Codec

/// Payloads read by a program that knows nothing but `docs/wire.md`.
@Suite struct PythonPeerTests {
    @Test(arguments: [1, 64, 300, 4096])
    func topKIsWhatThePageSays(_ kept: Int) throws {
        let count = 4096 * 12 + 777
        var numbers = Numbers(seed: UInt64(kept))
        let update = numbers.steep(count)
        // Rows of different size, one of them of zeros.
        for row in 0..<12 {
            update[row * 4096..<(row + 1) * 4096].scale(by: row == 5 ? 0 : Float(1 << row))
        }
        let codec = Codec.topK(kept: kept)
        let payload = try codec.encode(.gradient(update))
        let folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("martlet-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let (bytes, values) = (
            folder.appendingPathComponent("payload"), folder.appendingPathComponent("values")
        )
        try Data(payload.bytes).write(to: bytes)
        let said = try codec.decode(payload, count: count).array
        try Data(
            said.flatMap { number in
                (0..<4).map { UInt8(truncatingIfNeeded: number.bitPattern >> (8 * $0)) }
            }
        )
        .write(to: values)
        try python("Tests/Peers/topk_payload.py", bytes.path, values.path)
    }

    /// Runs a script of ours with the interpreter that `make test` sets up.
    private func python(_ script: String, _ arguments: String...) throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        let interpreter = root.appendingPathComponent(".venv/bin/python")
        try #require(
            FileManager.default.isExecutableFile(atPath: interpreter.path),
            "no Python packages yet: run `make test`, which installs them")
        let process = Process()
        process.executableURL = interpreter
        process.arguments = [root.appendingPathComponent(script).path] + arguments
        let output = Pipe()
        process.standardError = output
        try process.run()
        let text = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0, "\(String(decoding: text, as: UTF8.self))")
    }
}
