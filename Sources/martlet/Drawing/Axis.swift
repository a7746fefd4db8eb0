import Status

/// Maps numbers to pixels, with round numbers to label it with.
struct Axis: Sendable {
    /// Divisions of an axis, about.
    private static let divisions = 6.0

    private let low: Double
    private let high: Double
    let start: Double
    let end: Double
    /// Between two ticks: 1, 2 or 5 times a power of ten.
    let step: Double

    /// Reaches to round numbers on both sides, unless it `isExact`.
    init(
        from low: Double, to high: Double, pixels: ClosedRange<Double>, isExact: Bool = false
    ) {
        let span = high > low ? high - low : max(abs(low), 1)
        var step = 1e-12
        for factor in Self.cycle where step < span / Self.divisions { step *= factor }
        self.step = step
        self.low = isExact ? low : (low / step).rounded(.down) * step
        self.high = isExact ? low + span : ((low + span) / step).rounded(.up) * step
        (start, end) = (pixels.lowerBound, pixels.upperBound)
    }

    /// From 1 to 2 to 5 to 10 and so on, over 30 powers of ten.
    private static let cycle: [Double] = (0..<30).flatMap { (_: Int) -> [Double] in [2, 2.5, 2] }

    var ticks: [Double] {
        let first = (low / step - 1e-9).rounded(.up)
        let last = max((high / step + 1e-9).rounded(.down), first)
        return (0...Int(last - first)).map { (first + Double($0)) * step }
    }

    func place(_ value: Double) -> Double {
        start + (value - low) / (high - low) * (end - start)
    }

    /// A tick's number with no more digits than the ticks need.
    static func label(_ value: Double, step: Double) -> String {
        if step >= 1000 { return Figures.count(value) }
        var digits = 0
        var rest = step
        while rest < 0.999, digits < 6 {
            rest *= 10
            digits += 1
        }
        return Figures.fixed(value, digits: digits)
    }
}
