import Dispatch
import Logging
import Roles
import Storage
import Synchronization

/// Writes a worker's time line while the worker goes on, on a queue of its own.
final class TimelineWriter: Sendable {
    private struct State {
        var events: TraceEvents
        /// Not any more once it is complete or could not be written.
        var isOpen = true
    }

    private let path: String
    private let logger: Logger
    private let file: GrowingFile
    private let queue = DispatchQueue(label: "timeline")
    private let state: Mutex<State>

    /// Begins the file at `path` for the worker called `name`; one that is there is replaced.
    init(
        _ path: String, name: String, spansMax: Int = TraceEvents.spansMax, logger: Logger
    ) throws(StorageError) {
        self.path = path
        self.logger = logger
        let events = TraceEvents(spansMax: spansMax)
        file = try GrowingFile(replacing: path)
        try file.append(events.opening(name))
        state = Mutex(State(events: events))
    }

    /// Has `span` written soon, and returns at once.
    func record(_ span: Span) {
        queue.async { [self] in
            state.withLock { state in
                guard state.isOpen, !state.events.isFull else { return }
                append(state.events.text(of: span), &state)
                if state.events.isFull {
                    logger.warning("\(path) is full: what the worker does from now on is not in it")
                }
            }
        }
    }

    /// Completes the file.
    func finish() {
        queue.sync {
            state.withLock { state in
                guard state.isOpen else { return }
                append(state.events.closing, &state)
                state.isOpen = false
            }
        }
    }

    /// Training goes on without a time line.
    private func append(_ text: [UInt8], _ state: inout State) {
        do { try file.append(text) } catch {
            logger.warning("no more time line: \(error)")
            state.isOpen = false
        }
    }
}
