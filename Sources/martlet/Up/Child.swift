import Cluster
import Foundation

/// How a process ended.
enum ChildExit: Sendable, Equatable {
    case code(Int32)
    case signal(Int32)

    var isOrderly: Bool { self == .code(0) }

    var description: String {
        switch self {
        case .code(let code): "ended with exit code \(code)"
        case .signal(let signal): "was killed by signal \(signal)"
        }
    }
}

/// A process of this very program, in a process group of its own, so that the terminal's Ctrl-C
/// reaches only the parent.
///
/// Its standard input is a pipe whose other end the parent holds: when that closes, for whatever
/// reason, the child stops.
struct Child: Sendable {
    let node: NodeID
    /// Path of the file that takes its output.
    let log: String
    private let process: Process
    private let lifeline: FileHandle

    /// Starts `martlet` with the given arguments.
    ///
    /// - Parameter whenEnded: called once, when the process has ended and has been reaped.
    static func start(
        _ node: NodeID, arguments: [String], environment: [String: String], log: String,
        whenEnded: @escaping @Sendable (ChildExit) -> Void
    ) throws -> Child {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: try executable())
        process.arguments = arguments
        process.environment = environment
        let pipe = Pipe()
        process.standardInput = pipe
        let output = try open(log: log)
        process.standardOutput = output
        process.standardError = output
        process.terminationHandler = { process in
            let status = process.terminationStatus
            whenEnded(process.terminationReason == .exit ? .code(status) : .signal(status))
        }
        do {
            try process.run()
        } catch {
            throw CommandError(.system, "cannot start \(node.title): \(error)".onOneLine)
        }
        try? output.close()
        return Child(
            node: node, log: log, process: process, lifeline: pipe.fileHandleForWriting)
    }

    /// Lets go: the child stops in good order.
    func release() { try? lifeline.close() }

    /// Ends the child at once, if it still runs.
    func kill() {
        if process.isRunning { Glibc.kill(process.processIdentifier, SIGKILL) }
    }

    private static func executable() throws -> String {
        do {
            return try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        } catch {
            throw CommandError(.system, "cannot find this program's own file in /proc/self/exe")
        }
    }

    /// Opens a log for appending: a resumed run goes on in the same file.
    private static func open(log: String) throws -> FileHandle {
        if !FileManager.default.fileExists(atPath: log) {
            _ = FileManager.default.createFile(atPath: log, contents: nil)
        }
        guard let handle = FileHandle(forWritingAtPath: log) else {
            throw CommandError(.cannotCreate, "cannot write the log \(log)")
        }
        _ = try? handle.seekToEnd()
        return handle
    }
}
