/// When a worker takes its own update for an accident.
package struct DetectorSettings: Sendable, Equatable, Codable {
    /// How the moving mean and variance are kept.
    package enum Semantics: String, Sendable, Codable, CaseIterable {
        /// Without a bias towards 0, with a floor, without flagged samples.
        case corrected
        /// As EDiT's reference code computes them, for comparison with it.
        ///
        /// The mean starts at 0 and is not corrected for that, flagged samples are taken in,
        /// z-scores are kept after the update, and those of the warm-up are kept as 0. Two defects
        /// are not ported: that a flagged sample is taken in 1e6 larger than it was, which blinds
        /// the detector for a thousand rounds, and that the first sample is the 0 of a round
        /// without movement. Numbers that are not finite are flagged and left out here too.
        case reference
    }

    /// Share of a new sample in the moving mean.
    package var rate: Double = 0.02
    /// Samples before the first can be flagged; also how many z-scores the window holds.
    package var warmup: Int = 50
    /// Standard deviations above the mean that are too many, while samples vary as usual.
    package var threshold: Double = 3
    /// The standard deviation is taken for at least this fraction of the mean.
    package var floorFraction: Double = 0.02
    /// So many flags in a row mean that the scale has changed, and the detector starts afresh.
    package var resetAfter: Int = 5
    package var semantics: Semantics = .corrected

    package init() {}
}
