/// Decides from the rhythm of a peer's signs of life when it must be taken for dead.
///
/// The deadline adapts: mean gap plus a few deviations, within bounds, so that a peer on a slow or
/// jittery link is given more time than one next door. Time is an argument; nothing here waits.
package struct FailureDetector: Sendable {
    /// No peer is suspected sooner, however regular it is.
    package static let deadlineMin: Duration = .seconds(3)
    /// No silence is forgiven longer.
    package static let deadlineMax: Duration = .seconds(30)
    /// Deviations above the mean gap at which silence becomes suspicious.
    private static let deviations = 6.0
    /// Weight of the newest gap in the running mean and variance.
    private static let newestWeight = 0.1

    private var last: Duration
    private var mean: Double
    private var variance = 0.0

    /// Starts watching at `now` a peer that should be heard every `interval`.
    package init(interval: Duration, at now: Duration) {
        last = now
        mean = FailureDetector.seconds(interval)
    }

    /// Notes a sign of life.
    package mutating func hear(at now: Duration) {
        let gap = FailureDetector.seconds(now - last)
        last = max(last, now)
        let difference = gap - mean
        mean += FailureDetector.newestWeight * difference
        variance =
            (1 - FailureDetector.newestWeight)
            * (variance + FailureDetector.newestWeight * difference * difference)
    }

    /// Silence that is still forgiven.
    package var deadline: Duration {
        let adaptive = mean + FailureDetector.deviations * variance.squareRoot()
        return min(
            max(.seconds(adaptive), FailureDetector.deadlineMin), FailureDetector.deadlineMax)
    }

    package func isSilent(at now: Duration) -> Bool { now - last > deadline }

    private static func seconds(_ duration: Duration) -> Double {
        Double(duration.components.seconds) + Double(duration.components.attoseconds) * 1e-18
    }
}
