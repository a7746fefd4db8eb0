import Foundation
import Testing

/// A process that a test has started; its output goes to files, so that no pipe can fill up.
final class Program: Sendable {
    enum Exit: Sendable, Equatable {
        case code(Int32)
        case signal(Int32)
    }

    /// How a process ended, and all it printed.
    struct Ending: Sendable {
        let exit: Exit
        let output: String
        let errors: String
    }

    /// A process that did not end in time; it was killed.
    struct StillRunning: Error, CustomStringConvertible {
        let description: String
    }

    private static let lookInterval: Duration = .milliseconds(20)

    private let process: Process
    private let arguments: [String]
    private let outputPath: String
    private let errorPath: String

    /// Starts `martlet`, or another program, in `folder`.
    init(_ arguments: [String], in folder: TemporaryFolder, program: String? = nil) throws {
        self.arguments = arguments
        let name = folder.path("process-" + UUID().uuidString.prefix(8))
        (outputPath, errorPath) = (name + ".out", name + ".err")
        process = Process()
        process.executableURL = URL(fileURLWithPath: try program ?? Program.martlet())
        process.arguments = arguments
        process.currentDirectoryURL = URL(fileURLWithPath: folder.path)
        // Configuration keys of whoever runs the tests are not for these processes.
        process.environment = ProcessInfo.processInfo.environment.filter {
            !$0.key.hasPrefix("MARTLET_")
        }
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = try Program.file(outputPath)
        process.standardError = try Program.file(errorPath)
        try process.run()
    }

    /// Runs `martlet`, or another program, to its end.
    static func run(
        _ arguments: [String], in folder: TemporaryFolder, program: String? = nil,
        within patience: Duration = .seconds(60)
    ) async throws -> Ending {
        let started = try Program(arguments, in: folder, program: program)
        defer { started.kill() }
        return try await started.end(within: patience)
    }

    var id: Int32 { process.processIdentifier }
    var isRunning: Bool { process.isRunning }
    var output: String { text(at: outputPath) }
    var errors: String { text(at: errorPath) }

    /// Waits for the end of the process, which must come within `patience`.
    func end(within patience: Duration = .seconds(60)) async throws -> Ending {
        let clock = ContinuousClock()
        let deadline = clock.now + patience
        while process.isRunning {
            guard clock.now < deadline else {
                kill()
                throw StillRunning(
                    description: "martlet \(arguments.joined(separator: " ")) still ran after "
                        + "\(patience); it printed:\n\(output)\n\(errors)")
            }
            try await Task.sleep(for: Program.lookInterval)
        }
        let status = process.terminationStatus
        return Ending(
            exit: process.terminationReason == .exit ? .code(status) : .signal(status),
            output: output, errors: errors)
    }

    func send(_ signal: Int32) {
        if process.isRunning { _ = Glibc.kill(process.processIdentifier, signal) }
    }

    /// Ends the process at once, if it still runs.
    func kill() { send(SIGKILL) }

    /// The program beside the test runner: both come from the same build.
    private static func martlet() throws -> String {
        let runner = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let path = URL(fileURLWithPath: runner).deletingLastPathComponent()
            .appendingPathComponent("martlet").path
        try #require(exists(path), "there is no martlet beside \(runner)")
        return path
    }

    private static func file(_ path: String) throws -> FileHandle {
        _ = FileManager.default.createFile(atPath: path, contents: nil)
        return try FileHandle(forWritingTo: URL(fileURLWithPath: path))
    }
}
