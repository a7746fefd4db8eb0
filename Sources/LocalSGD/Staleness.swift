/// What a push counts for that starts from an old version, without rounds.
package enum Staleness {
    /// Versions per live worker that a push may be behind.
    package static let versionsPerWorkerMax = 4
    /// No push moves a module further than this many average ones.
    package static let shareMax = 2.0

    /// The oldest base that is still applied, in versions behind, with `workers` live workers.
    package static func bound(
        workers: Int, perWorker: Int = Staleness.versionsPerWorkerMax
    ) -> Int { perWorker * max(workers, 1) }

    /// The factor on a push that is `staleness` versions behind and has `weight` among the last
    /// pushes of `workers` live workers; nothing if it is too old to be applied.
    ///
    ///     min(1, 1 / sqrt(1 + staleness)) clamp(workers weight, 0, 2)
    ///
    /// An average worker's second factor is 1. The first is cheap insurance; what cures momentum of
    /// staleness is ``DelayedNesterov``.
    package static func factor(
        staleness: Int, weight: Double, workers: Int,
        perWorker: Int = Staleness.versionsPerWorkerMax
    ) -> Double? {
        guard staleness <= bound(workers: workers, perWorker: perWorker) else { return nil }
        let share = Double(max(workers, 1)) * weight
        guard share > 0 else { return 0 }
        return min(1, 1 / Double(1 + max(staleness, 0)).squareRoot()) * min(share, shareMax)
    }
}
