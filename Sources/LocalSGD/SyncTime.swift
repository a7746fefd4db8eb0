/// How long a round by time lasts, for the worker that trains in it and for the coordinator that
/// closes it.
///
///     opened --sync time--> enough steps? --yes--> every worker stops
///                             ^        |
///                             +-- no --+  extended, never begun again
///
/// A worker that trains on stops at once, with the step under way left to the next round; one that
/// waits stops at its next step boundary.
///
/// Only durations are told, no times of day: each worker measures them on its own monotonic clock.
package struct SyncTime: Sendable, Equatable, Codable {
    /// What a worker that comes late into a round has at least.
    package static let least: Duration = .milliseconds(1)
    /// Sync times that a round may last in all; then it closes with the steps there are.
    package static let extensionsMax = 10

    /// From a worker's start of the round until it stops.
    package var duration: Duration
    /// Steps that all workers together must have taken before the round closes.
    package var stepsMin: Int

    package init(duration: Duration, stepsMin: Int = 1) {
        self.duration = duration
        self.stepsMin = stepsMin
    }

    /// What is left for a worker that has trained for `elapsed`; it stops when that is not above
    /// zero.
    ///
    /// `extra` is what the round has been extended by.
    package func left(after elapsed: Duration, extra: Duration = .zero) -> Duration {
        duration + extra - elapsed
    }

    /// By how much a round is extended at `elapsed` since its opening, when all workers together
    /// have taken `steps`; nothing if it closes.
    ///
    /// What is missing is expected at the pace so far: for a tenth of the sync time at least, for a
    /// whole one at most or while nobody has taken a step.
    package func timeMissing(at elapsed: Duration, steps: Int) -> Duration? {
        guard steps < stepsMin, elapsed < duration * SyncTime.extensionsMax else { return nil }
        guard steps > 0 else { return duration }
        let missing = Double(stepsMin - steps) / Double(steps)
        return min(max(elapsed * min(missing, 1e6), duration / 10), duration)
    }
}
