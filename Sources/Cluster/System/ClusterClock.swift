/// Time as nodes see it: durations since the node started, on a monotonic clock.
///
/// Only the composition root makes a real one; simulation brings its own.
package protocol ClusterClock: Sendable {
    /// Time since the clock's origin.
    var now: Duration { get }
    /// Waits; throws `CancellationError` when the task is cancelled first.
    func sleep(for duration: Duration) async throws
}

/// The machine's monotonic clock.
package struct MonotonicClock: ClusterClock {
    private let clock = ContinuousClock()
    private let origin: ContinuousClock.Instant

    package init() { origin = ContinuousClock().now }

    package var now: Duration { origin.duration(to: clock.now) }

    package func sleep(for duration: Duration) async throws {
        try await clock.sleep(for: duration)
    }
}
