import Foundation
import UnixSignals

/// Why a process is asked to end.
enum StopRequest: Sendable, Equatable {
    /// Ctrl-C, `kill`, a closed terminal.
    case signal
    /// The lifeline ended: whoever started this process is gone, or lets go of it.
    case lifeline
}

/// The requests to end this process.
///
/// The first should lead to an orderly end, the second to a quick one.
enum StopRequests {
    /// Starts listening, once per process: from here on signals no longer end it by themselves.
    ///
    /// - Parameter lifeline: whether the end of standard input is a request too. `martlet up` holds
    ///   the other end of it open, so that not even its sudden death leaves a process behind.
    static func listen(lifeline: Bool) async -> AsyncStream<StopRequest> {
        let (stream, continuation) = AsyncStream<StopRequest>.makeStream()
        let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm, .sighup)
        let listening = Task {
            for await _ in signals { continuation.yield(.signal) }
        }
        continuation.onTermination = { _ in listening.cancel() }
        if lifeline {
            // Reading blocks, so it has a thread of its own; it lasts as long as the process.
            Thread.detachNewThread {
                while let data = try? FileHandle.standardInput.read(upToCount: 4096), !data.isEmpty
                {
                    continue
                }
                continuation.yield(.lifeline)
            }
        }
        return stream
    }
}
