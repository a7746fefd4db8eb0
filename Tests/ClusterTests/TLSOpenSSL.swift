import Foundation
import NIOCore

/// The `openssl` command line, as a peer that shares no code with ours.
enum OpenSSL {
    struct Outcome: Sendable {
        let status: Int32
        /// Standard output and standard error.
        let output: Data

        var text: String { String(decoding: output, as: UTF8.self) }

        func contains(_ bytes: ByteBuffer) -> Bool {
            output.range(of: Data(bytes.readableBytesView)) != nil
        }
    }

    /// Runs `openssl` with `arguments`, gives it `input`, and waits for its end, which is forced
    /// after `seconds` with status 124; by SIGKILL, if `isKilled`.
    static func run(
        _ arguments: [String], input: ByteBuffer = ByteBuffer(), seconds: Int = 20,
        isKilled: Bool = false
    ) async throws -> Outcome {
        let folder = FileManager.default.temporaryDirectory
        let path = folder.appendingPathComponent("martlet-\(UUID().uuidString)")
        let (inputURL, outputURL) = (
            path.appendingPathExtension("in"), path.appendingPathExtension("out")
        )
        defer {
            try? FileManager.default.removeItem(at: inputURL)
            try? FileManager.default.removeItem(at: outputURL)
        }
        try Data(input.readableBytesView).write(to: inputURL)
        try Data().write(to: outputURL)
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments =
            ["timeout", "-s", isKilled ? "KILL" : "TERM", "\(seconds)", "openssl"]
            + arguments
        let output = try FileHandle(forWritingTo: outputURL)
        process.standardInput = try FileHandle(forReadingFrom: inputURL)
        process.standardOutput = output
        process.standardError = output
        try await withCheckedThrowingContinuation {
            (continuation: CheckedContinuation<Void, any Error>) in
            process.terminationHandler = { _ in continuation.resume() }
            do { try process.run() } catch { continuation.resume(throwing: error) }
        }
        return Outcome(
            status: process.terminationStatus, output: try Data(contentsOf: outputURL))
    }

    /// Connects to `port`, sends `input`, and stays until the other side closes.
    static func connect(
        port: Int, _ arguments: [String], input: ByteBuffer = ByteBuffer(), seconds: Int = 20,
        isKilled: Bool = false
    ) async throws -> Outcome {
        let fixed = ["s_client", "-connect", "127.0.0.1:\(port)", "-ign_eof"]
        return try await run(fixed + arguments, input: input, seconds: seconds, isKilled: isKilled)
    }
}
