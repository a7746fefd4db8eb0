internal import Synchronization

/// A whole cluster in one thread, under virtual time.
///
/// Every task and actor started below ``run(limit:_:)`` runs on this executor, one job at a time,
/// in an order drawn from the seed; when no job is ready, time jumps to the next timer. The same
/// seed gives the same history.
///
/// It holds only for code that starts no unstructured tasks, reads no other clock and does not
/// depend on the order of hashed collections.
package final class Simulation: TaskExecutor, ClusterClock, Sendable {
    private struct Timer {
        let at: Duration
        let id: UInt64
        let fire: @Sendable () -> Void
    }

    private struct State {
        var ready: [UnownedJob] = []
        /// Ascending by time, then by id.
        var timers: [Timer] = []
        var now: Duration = .zero
        var nextTimer: UInt64 = 1
        var generator: SeededGenerator
        var digest: UInt64 = 0xcbf2_9ce4_8422_2325
        var lines: [String] = []
        var lineCount = 0
    }

    /// Lines of history kept for people; the digest covers all of them.
    package static let linesMax = 20_000

    private let state: Mutex<State>

    package init(seed: UInt64) {
        state = Mutex(State(generator: SeededGenerator(seed: seed)))
    }

    // MARK: Time

    package var now: Duration { state.withLock { $0.now } }

    package func sleep(for duration: Duration) async throws {
        let box = Sleeper()
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                guard box.start(continuation) else { return }
                schedule(after: duration) { box.finish(.success(())) }
            }
        } onCancel: {
            box.finish(.failure(CancellationError()))
        }
    }

    /// Calls `fire` on the simulation's thread once `delay` has passed.
    package func schedule(after delay: Duration, _ fire: @escaping @Sendable () -> Void) {
        state.withLock { state in
            let timer = Timer(
                at: state.now + max(delay, .zero), id: state.nextTimer, fire: fire)
            state.nextTimer += 1
            let place = state.timers.firstIndex { timer.at < $0.at } ?? state.timers.endIndex
            state.timers.insert(timer, at: place)
        }
    }

    // MARK: Chance and history

    /// Draws from the simulation's one generator.
    package func draw<Value: Sendable>(
        _ body: (inout SeededGenerator) -> Value
    ) -> Value {
        state.withLock { body(&$0.generator) }
    }

    /// Adds a line, stamped with microseconds, to the history.
    package func record(_ line: @autoclosure () -> String) {
        let text = line()
        state.withLock { state in
            let time = state.now.components
            let microseconds = time.seconds * 1_000_000 + time.attoseconds / 1_000_000_000_000
            let stamped = "\(microseconds) \(text)"
            for byte in stamped.utf8 {
                state.digest = (state.digest ^ UInt64(byte)) &* 0x0000_0100_0000_01b3
            }
            state.lineCount += 1
            if state.lines.count < Simulation.linesMax { state.lines.append(stamped) }
        }
    }

    /// Stands for the whole history: equal histories have equal digests.
    package var digest: UInt64 { state.withLock { $0.digest } }
    package var history: [String] { state.withLock { $0.lines } }
    package var lineCount: Int { state.withLock { $0.lineCount } }

    // MARK: Running

    package func enqueue(_ job: consuming ExecutorJob) {
        let unowned = UnownedJob(job)
        state.withLock { $0.ready.append(unowned) }
    }

    /// Runs `body` and everything it starts until it returns.
    ///
    /// Fails if it takes longer than `limit` of virtual time, or waits for something that can't
    /// happen any more.
    package func run(
        limit: Duration, _ body: @escaping @Sendable () async throws -> Void
    ) throws {
        let outcome = Outcome()
        Task(executorPreference: self) {
            do {
                try await body()
                outcome.set(.success(()))
            } catch {
                outcome.set(.failure(error))
            }
        }
        while outcome.result == nil {
            if let job = nextJob() {
                unsafe job.runSynchronously(on: asUnownedTaskExecutor())
            } else if !fireNextTimer(before: limit) {
                throw ClusterError(
                    .deadlineExceeded, "the simulation stands still or exceeds \(limit) at \(now)")
            }
        }
        drain()
        try outcome.result?.get()
    }

    /// Runs what cancelled tasks still have to do.
    private func drain() {
        while let job = nextJob() { unsafe job.runSynchronously(on: asUnownedTaskExecutor()) }
    }

    private func nextJob() -> UnownedJob? {
        state.withLock { state in
            guard !state.ready.isEmpty else { return nil }
            let index =
                state.ready.count == 1
                ? 0 : Int(state.generator.next() % UInt64(state.ready.count))
            return state.ready.remove(at: index)
        }
    }

    private func fireNextTimer(before limit: Duration) -> Bool {
        let timer = state.withLock { state -> Timer? in
            guard let first = state.timers.first, first.at <= limit else { return nil }
            state.now = max(state.now, first.at)
            return state.timers.removeFirst()
        }
        timer?.fire()
        return timer != nil
    }
}

/// One sleeping task: woken by its timer or by cancellation, whichever is first.
private final class Sleeper: Sendable {
    private enum State {
        case new
        case waiting(CheckedContinuation<Void, any Error>)
        case finished
    }

    private let state = Mutex(State.new)

    /// Whether the timer is still wanted; if not, the task has been woken already.
    func start(_ continuation: CheckedContinuation<Void, any Error>) -> Bool {
        let isNew = state.withLock { state in
            guard case .new = state else { return false }
            state = .waiting(continuation)
            return true
        }
        if !isNew { continuation.resume(throwing: CancellationError()) }
        return isNew
    }

    func finish(_ result: Result<Void, any Error>) {
        let continuation = state.withLock { state -> CheckedContinuation<Void, any Error>? in
            defer { state = .finished }
            if case .waiting(let continuation) = state { return continuation }
            return nil
        }
        continuation?.resume(with: result)
    }
}

/// How the root task ended.
private final class Outcome: Sendable {
    private let stored = Mutex<Result<Void, any Error>?>(nil)
    var result: Result<Void, any Error>? { stored.withLock { $0 } }
    func set(_ result: Result<Void, any Error>) { stored.withLock { $0 = result } }
}
