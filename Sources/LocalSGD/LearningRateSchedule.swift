/// The learning rate as a function of the inner step.
///
/// Only additions and multiplications, no library function: a shard server and a worker on
/// different machines must get the same bits.
package struct LearningRateSchedule: Sendable {
    private let settings: InnerSettings
    private let totalSteps: Int

    package init(_ settings: InnerSettings, totalSteps: Int) {
        self.settings = settings
        self.totalSteps = totalSteps
    }

    /// Linear rise over the warm-up, then half a cosine down to the final fraction.
    ///
    /// `step` counts from 0; `sinceEmpty` is the number of steps since the optimizer state was
    /// empty, if that was after the start of the run (a late joiner), and slows the rise again.
    package func rate(atStep step: Int, sinceEmpty: Int? = nil) -> Float {
        let peak = settings.learningRate
        var rate: Double
        if step < settings.warmupSteps {
            rate = peak * Double(step + 1) / Double(settings.warmupSteps)
        } else {
            let span = max(totalSteps - settings.warmupSteps, 1)
            let progress = min(Double(step - settings.warmupSteps) / Double(span), 1)
            let fraction = settings.finalFraction
            rate = peak * (fraction + (1 - fraction) * 0.5 * (1 + cosine(ofHalfTurns: progress)))
        }
        if let sinceEmpty, sinceEmpty < settings.rejoinSteps {
            rate *= Double(sinceEmpty + 1) / Double(settings.rejoinSteps)
        }
        return Float(rate)
    }
}

/// cos(pi x) for x in 0...1 by its Taylor series, accurate to 1e-15.
private func cosine(ofHalfTurns x: Double) -> Double {
    if x > 0.5 { return -cosine(ofHalfTurns: 1 - x) }
    let square = (Double.pi * x) * (Double.pi * x)
    var term = 1.0
    var sum = 1.0
    for k in 1...12 {
        term *= -square / Double((2 * k - 1) * (2 * k))
        sum += term
    }
    return sum
}

/// `base` to the power `exponent` by repeated squaring: IEEE multiplications in a fixed order.
func power(_ base: Double, _ exponent: Int) -> Double {
    var result = 1.0
    var square = base
    var rest = exponent
    while rest > 0 {
        if rest & 1 == 1 { result *= square }
        square *= square
        rest >>= 1
    }
    return result
}
