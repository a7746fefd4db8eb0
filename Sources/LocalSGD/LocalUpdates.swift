/// How many inner steps each worker takes between two pushes where there are no rounds: in
/// proportion to its speed, so that all push about equally often (dynamic local updates, DyLU).
///
/// Speeds are moving means over the last ten pushes or so, in steps per second.
package struct LocalUpdates: Sendable, Equatable, Codable {
    /// Steps below which a push is not worth its bytes.
    package static let stepsMin = 8
    /// Share of a new speed in the moving mean: that of a mean over ten pushes.
    package static let rate = 2.0 / 11

    /// A moving mean whose first value has no more weight than the others.
    private struct Speed: Sendable, Equatable, Codable {
        var mean: Double
        var weight: Double

        mutating func takeIn(_ speed: Double) {
            weight += LocalUpdates.rate * (1 - weight)
            mean += LocalUpdates.rate / weight * (speed - mean)
        }
    }

    /// Inner steps of the fastest worker.
    package let syncInterval: Int
    /// By worker; members only, so there are no more than these.
    private var speeds: [String: Speed] = [:]

    package init(syncInterval: Int) {
        self.syncInterval = syncInterval
    }

    /// Steps until the next push of `worker`: max(8, floor(H v / max v)), or H where H is below 8.
    ///
    /// A worker whose speed is not known yet takes H.
    package func steps(of worker: String) -> Int {
        guard let speed = speeds[worker]?.mean, let fastest = speeds.values.map(\.mean).max() else {
            return syncInterval
        }
        let steps = Int((Double(syncInterval) * speed / fastest).rounded(.down))
        return max(steps, min(LocalUpdates.stepsMin, syncInterval))
    }

    /// Notes that `worker` took `steps` in `time`, which is taken as not measured if either is 0.
    package mutating func note(_ worker: String, steps: Int, in time: Duration) {
        guard steps > 0, time > .zero else { return }
        let speed = Double(steps) / time.inSeconds
        speeds[worker, default: Speed(mean: 0, weight: 0)].takeIn(speed)
    }

    /// Forgets a worker that is gone; the others may be the fastest now.
    package mutating func remove(_ worker: String) { speeds[worker] = nil }
}
