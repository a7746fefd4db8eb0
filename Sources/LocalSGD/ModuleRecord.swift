/// What a shard server knows of a module besides its numbers; kept in checkpoints.
package struct ModuleRecord: Sendable, Equatable, Codable {
    /// Outer steps applied, or pushes where there are no rounds.
    package var version: UInt64
    package var clip: AdaptiveClip
    /// Pushes that momentum waits for, so far and in all (``DelayedNesterov``).
    package var pushes: Int
    package var period: Int

    package init(version: UInt64, clip: AdaptiveClip, pushes: Int = 0, period: Int = 1) {
        self.version = version
        self.clip = clip
        self.pushes = pushes
        self.period = period
    }
}
