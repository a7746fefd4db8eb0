import Status

/// A plot of lines as an SVG file: two axes with labels, a grid, a legend.
struct LinePlot: Sendable {
    /// Lines of one kind, drawn alike and named once.
    struct Series: Sendable {
        var name: String
        var lines: [[(x: Double, y: Double)]]
        var isDashed = false
    }

    var title: String
    var xLabel: String
    var yLabel: String
    var series: [Series]

    // Sizes in pixels.
    private static let (width, height) = (860.0, 480.0)
    private static let (left, right, top, bottom) = (70.0, 250.0, 40.0, 55.0)
    /// Divisions of an axis, about.
    private static let divisions = 6.0
    /// Part of the abscissa whose points do not stretch the ordinate: the first steps of training
    /// fall so far that nothing else would be seen.
    private static let fall = 0.12
    /// Distinct also for those who don't see all colours (Okabe and Ito 2008).
    private static let colours = [
        "#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999999",
    ]

    /// The whole file.
    var svg: String {
        let points = series.flatMap { $0.lines.flatMap { $0 } }
        let xMax = points.map(\.x).max() ?? 1
        let shown = points.filter { $0.x >= Self.fall * xMax && $0.y.isFinite }.map(\.y)
        let x = Axis(from: 0, to: xMax, pixels: Self.left...(Self.width - Self.right))
        let y = Axis(
            from: shown.min() ?? 0, to: shown.max() ?? 1,
            pixels: Self.top...(Self.height - Self.bottom))
        var lines = [
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 860 480\" width=\"860\""
                + " height=\"480\" font-family=\"sans-serif\" font-size=\"13\">",
            "<rect width=\"860\" height=\"480\" fill=\"#ffffff\"/>",
            text(title, x: Self.left, y: 24, "start", size: 16),
            "<clipPath id=\"area\"><rect x=\"\(n(x.start))\" y=\"\(n(y.start))\""
                + " width=\"\(n(x.end - x.start))\" height=\"\(n(y.end - y.start))\"/></clipPath>",
        ]
        lines += grid(x, y)
        for (index, one) in series.enumerated() { lines += drawn(one, index, x, y) }
        return (lines + ["</svg>", ""]).joined(separator: "\n")
    }

    // MARK: Parts

    private func grid(_ x: Axis, _ y: Axis) -> [String] {
        var lines: [String] = []
        for tick in x.ticks {
            let place = x.place(tick)
            lines.append(stroke([(place, y.start), (place, y.end)], "#dddddd"))
            lines.append(text(Self.label(tick, step: x.step), x: place, y: y.end + 18, "middle"))
        }
        for tick in y.ticks {
            let place = y.start + y.end - y.place(tick)
            lines.append(stroke([(x.start, place), (x.end, place)], "#dddddd"))
            lines.append(
                text(Self.label(tick, step: y.step), x: x.start - 8, y: place + 4, "end"))
        }
        lines.append(
            stroke([(x.start, y.start), (x.start, y.end), (x.end, y.end)], "#000000"))
        let middle = (y.start + y.end) / 2
        lines.append(text(xLabel, x: (x.start + x.end) / 2, y: Self.height - 12, "middle"))
        lines.append(
            text(
                yLabel, x: 18, y: middle, "middle",
                also: " transform=\"rotate(-90 18 \(n(middle)))\"")
        )
        return lines
    }

    private func drawn(_ one: Series, _ index: Int, _ x: Axis, _ y: Axis) -> [String] {
        let colour = Self.colours[index % Self.colours.count]
        let dashes = one.isDashed ? " stroke-dasharray=\"6 4\"" : ""
        let style = " stroke-width=\"1.8\" clip-path=\"url(#area)\"" + dashes
        var lines = one.lines.map { line in
            stroke(
                line.filter { $0.x.isFinite && $0.y.isFinite }
                    .map { (x.place($0.x), y.start + y.end - y.place($0.y)) },
                colour, style)
        }
        let (place, row) = (Self.width - Self.right + 16, Self.top + 12 + 20 * Double(index))
        lines.append(
            stroke(
                [(place, row - 4), (place + 26, row - 4)], colour,
                " stroke-width=\"1.8\"" + dashes))
        lines.append(text(one.name, x: place + 34, y: row, "start"))
        return lines
    }

    private func stroke(
        _ points: [(Double, Double)], _ colour: String, _ style: String = ""
    ) -> String {
        let path = points.map { "\(n($0.0)),\(n($0.1))" }.joined(separator: " ")
        return "<polyline points=\"\(path)\" fill=\"none\" stroke=\"\(colour)\"\(style)/>"
    }

    private func text(
        _ text: String, x: Double, y: Double, _ anchor: String, size: Int = 13,
        also attributes: String = ""
    ) -> String {
        let escaped = text.map { character in
            switch character {
            case "&": "&amp;"
            case "<": "&lt;"
            case ">": "&gt;"
            default: String(character)
            }
        }.joined()
        return "<text x=\"\(n(x))\" y=\"\(n(y))\" text-anchor=\"\(anchor)\""
            + " font-size=\"\(size)\"\(attributes)>\(escaped)</text>"
    }

    /// Pixels to a tenth.
    private func n(_ value: Double) -> String { Figures.fixed(value, digits: 1) }

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

    /// Maps numbers to pixels, with round numbers to label it with.
    struct Axis: Sendable {
        private let low: Double
        private let high: Double
        let start: Double
        let end: Double
        /// Between two ticks: 1, 2 or 5 times a power of ten.
        let step: Double

        init(from low: Double, to high: Double, pixels: ClosedRange<Double>) {
            let span = high > low ? high - low : max(abs(low), 1)
            var step = 1e-12
            for factor in Self.cycle where step < span / LinePlot.divisions { step *= factor }
            self.step = step
            self.low = (low / step).rounded(.down) * step
            self.high = ((low + span) / step).rounded(.up) * step
            (start, end) = (pixels.lowerBound, pixels.upperBound)
        }

        /// From 1 to 2 to 5 to 10 and so on, over 30 powers of ten.
        private static let cycle: [Double] = (0..<30).flatMap { (_: Int) -> [Double] in [2, 2.5, 2]
        }

        var ticks: [Double] {
            (0...Int(((high - low) / step).rounded())).map { low + Double($0) * step }
        }

        func place(_ value: Double) -> Double {
            start + (value - low) / (high - low) * (end - start)
        }
    }
}
