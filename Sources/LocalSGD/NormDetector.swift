/// Anomaly elimination, the first part of the pseudo-gradient penalty: a worker's own judgement of
/// whether the norm of its update is out of line with its past.
///
/// One detector per worker and module (or one per worker, for penalty `dips`). It is kept by the
/// worker, asked before error feedback sees the update, and fresh in every incarnation. Large norms
/// alone are anomalies; small ones never are.
///
///     warming up --warmup samples--> judging --resetAfter flags in a row--> warming up
package struct NormDetector: Sendable, Equatable, Codable {
    /// No update of fp32 parameters has a larger norm, and its square is still finite.
    package static let sampleMax = 1e100

    package let settings: DetectorSettings
    /// Samples taken in since the start or the last reset.
    package private(set) var count = 0
    /// Moving mean of the samples.
    package private(set) var mean = 0.0
    /// Moving variance of the samples around that mean.
    package private(set) var variance = 0.0
    /// What the weights of all samples so far add up to, if they begin with `rate`.
    ///
    /// It rises to 1; dividing by it takes out the bias towards the mean's first value.
    private var weight = 0.0
    /// The latest z-scores, `settings.warmup` of them at most, oldest first.
    private var window: [Double] = []
    /// Flags since the last sample that was not flagged.
    private var flagsInRow = 0

    package init(_ settings: DetectorSettings = DetectorSettings()) {
        self.settings = settings
    }

    /// What is judged: the norm of an update without the growth that comes from more steps.
    ///
    /// A random walk of `steps` steps is sqrt(steps) long; so a fast worker is no anomaly.
    package static func sample(norm: Double, steps: Int) -> Double {
        norm / Double(max(steps, 1)).squareRoot()
    }

    /// Whether `x` is an anomaly; it is taken into the history unless it is.
    ///
    /// What is no norm (negative, infinite, NaN, above ``sampleMax``) is always one. It says
    /// nothing about the scale of norms, so it does not count towards a reset.
    package mutating func judge(_ x: Double) -> Bool {
        guard x >= 0, x <= NormDetector.sampleMax else { return true }
        let isAnomalous = count >= settings.warmup && zScore(x) > threshold
        switch settings.semantics {
        case .corrected:
            if isAnomalous {
                noteFlag()
            } else {
                takeIn(x)
            }
        case .reference: takeInAsReference(x)
        }
        return isAnomalous
    }

    /// Standard deviations above the mean at which a sample is flagged now; it rises while samples
    /// vary more than they used to.
    package var threshold: Double {
        guard count >= settings.warmup, window.count >= max(settings.warmup, 2) else {
            return settings.threshold
        }
        let center = window.reduce(0, +) / Double(window.count)
        let squares = window.reduce(0) { $0 + ($1 - center) * ($1 - center) }
        let deviation = (squares / Double(window.count - 1)).squareRoot()
        return settings.threshold * max(1, deviation)
    }

    /// How many standard deviations `x` is above the mean; 0 while all samples were 0, which give
    /// nothing to compare with.
    package func zScore(_ x: Double) -> Double {
        var deviation = variance.squareRoot()
        if settings.semantics == .corrected {
            deviation = max(deviation, settings.floorFraction * mean)
        }
        return deviation > 0 ? (x - mean) / deviation : 0
    }

    private mutating func noteFlag() {
        flagsInRow += 1
        if flagsInRow >= settings.resetAfter, settings.resetAfter > 0 {
            self = NormDetector(settings)
        }
    }

    private mutating func takeIn(_ x: Double) {
        // Only z-scores that were tested: those of the first few samples have no meaning yet.
        if count >= settings.warmup { remember(zScore(x)) }
        flagsInRow = 0
        count += 1
        weight += settings.rate * (1 - weight)
        // With the rate divided by the sum of all weights, mean and variance are those of the
        // samples weighted by age; the first sample is its own mean.
        let rate = weight > 0 ? settings.rate / weight : 0
        let distance = x - mean
        mean += rate * distance
        variance = (1 - rate) * (variance + rate * distance * distance)
    }

    private mutating func takeInAsReference(_ x: Double) {
        count += 1
        let before = mean
        mean += settings.rate * (x - mean)
        variance = (1 - settings.rate) * (variance + settings.rate * (x - before) * (x - mean))
        remember(count >= max(settings.warmup, 2) ? zScore(x) : 0)
    }

    private mutating func remember(_ zScore: Double) {
        window.append(zScore)
        if window.count > settings.warmup { window.removeFirst(window.count - settings.warmup) }
    }
}
