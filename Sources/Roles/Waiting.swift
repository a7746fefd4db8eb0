internal import Cluster
internal import LocalSGD
internal import Synchronization

/// Calls that wait for something to change, each up to its own time.
///
/// Their actor wakes them when something has changed, and on its ticks those whose time is up; a
/// cancelled call wakes by itself.
final class Waiters: Sendable {
    private struct Waiter {
        let until: Duration
        let continuation: CheckedContinuation<Void, Never>
    }

    private struct State {
        var next: UInt64 = 0
        /// By number, so that they are woken in the order in which they came.
        var waiting: [UInt64: Waiter] = [:]
        /// Cancelled before they began to wait.
        var cancelled: Set<UInt64> = []
    }

    private let state = Mutex(State())

    /// Waits to be woken, or for `until` to pass and be noticed, or for cancellation.
    func wait(until: Duration) async {
        let number = state.withLock { state in
            state.next += 1
            return state.next
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isCancelled = state.withLock { state in
                    if state.cancelled.remove(number) != nil { return true }
                    state.waiting[number] = Waiter(until: until, continuation: continuation)
                    return false
                }
                if isCancelled { continuation.resume() }
            }
        } onCancel: {
            let waiter = state.withLock { state -> Waiter? in
                if let waiter = state.waiting.removeValue(forKey: number) { return waiter }
                state.cancelled.insert(number)
                return nil
            }
            waiter?.continuation.resume()
        }
        // A cancellation that came after the wake-up has left its mark.
        state.withLock { _ = $0.cancelled.remove(number) }
    }

    func wakeAll() { wake { _ in true } }

    func wakeExpired(at now: Duration) { wake { $0.until <= now } }

    private func wake(where isDue: (Waiter) -> Bool) {
        let due = state.withLock { state in
            let numbers = state.waiting.filter { isDue($0.value) }.keys.sorted()
            return numbers.compactMap { state.waiting.removeValue(forKey: $0) }
        }
        for waiter in due { waiter.continuation.resume() }
    }
}

/// How long orders between coordinator and shard servers are repeated before they are given up.
///
/// A run can't go on without them, so this is generous: several times the longest call.
let orderPatience: Duration = .seconds(300)

/// Repeats a call that failed for a reason that may pass, with growing rests, until it succeeds or
/// `patience` is over.
///
/// Only for calls that may be repeated.
func retrying<Value: Sendable>(
    on clock: any ClusterClock, patience: Duration = orderPatience,
    _ call: @Sendable () async throws -> Value
) async throws -> Value {
    let started = clock.now
    var pause = WorkerState.restMin
    while true {
        do {
            return try await call()
        } catch let error as ClusterError where error.mayPass && clock.now - started < patience {
            try await clock.sleep(for: pause)
            pause = min(pause * 2, WorkerState.restMax)
        }
    }
}

/// Does `body` for 0..<`count`, begun in that order, at most `width` of them at a time; returns
/// what each gave, in order.
///
/// The first failure ends the others.
func inOrder<Value: Sendable>(
    _ count: Int, atOnce width: Int, _ body: @escaping @Sendable (Int) async throws -> Value
) async throws -> [Value] {
    try await withThrowingTaskGroup(of: (Int, Value).self) { group in
        var results = [Value?](repeating: nil, count: count)
        for index in 0..<count {
            if index >= width, let (done, value) = try await group.next() { results[done] = value }
            group.addTask { (index, try await body(index)) }
        }
        for try await (done, value) in group { results[done] = value }
        return results.compactMap { $0 }
    }
}

extension ClusterError {
    /// Whether trying again is pointless: who we are is the problem.
    var isFinal: Bool { code == .refused || code == .identity }

    /// Whether the same call may succeed a little later.
    var mayPass: Bool {
        switch code {
        case .connectionLost, .unreachable, .deadlineExceeded, .overloaded, .remoteFailure: true
        case .refused, .forbidden, .protocolViolation, .identity, .address, .cancelled: false
        }
    }
}
