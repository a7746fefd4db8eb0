/// A plot of lines as an SVG file: two axes with labels, a grid, a legend.
struct LinePlot: Sendable {
    /// Lines of one kind, drawn alike and named once.
    struct Series: Sendable {
        var name: String
        var lines: [[(x: Double, y: Double)]]
        var isDashed = false
        /// Whether every point is marked.
        var isMarked = false
    }

    var title: String
    var xLabel: String
    var yLabel: String
    var series: [Series]

    // Sizes in pixels.
    private static let (width, height) = (860.0, 480.0)
    private static let (left, right, top, bottom) = (70.0, 250.0, 40.0, 55.0)
    /// Part of the abscissa whose points do not stretch the ordinate: the first steps of training
    /// fall so far that nothing else would be seen.
    private static let fall = 0.12

    /// The whole file.
    var svg: String {
        let points = series.flatMap { $0.lines.flatMap { $0 } }
        let xMax = points.map(\.x).max() ?? 1
        let shown = points.filter { $0.x >= Self.fall * xMax && $0.y.isFinite }.map(\.y)
        let x = Axis(from: 0, to: xMax, pixels: Self.left...(Self.width - Self.right))
        let y = Axis(
            from: shown.min() ?? 0, to: shown.max() ?? 1,
            pixels: Self.top...(Self.height - Self.bottom))
        var elements = [
            Svg.text(title, x: Self.left, y: 24, "start", size: 16),
            "<clipPath id=\"area\">"
                + Svg.box(
                    x: x.start, y: y.start, width: x.end - x.start, height: y.end - y.start, "")
                + "</clipPath>",
        ]
        elements += grid(x, y)
        for (index, one) in series.enumerated() { elements += drawn(one, index, x, y) }
        return Svg.document(width: Int(Self.width), height: Int(Self.height), elements)
    }

    // MARK: Parts

    private func grid(_ x: Axis, _ y: Axis) -> [String] {
        var lines: [String] = []
        for tick in x.ticks {
            let place = x.place(tick)
            lines.append(Svg.line([(place, y.start), (place, y.end)], "#dddddd"))
            lines.append(
                Svg.text(Axis.label(tick, step: x.step), x: place, y: y.end + 18, "middle"))
        }
        for tick in y.ticks {
            let place = y.start + y.end - y.place(tick)
            lines.append(Svg.line([(x.start, place), (x.end, place)], "#dddddd"))
            lines.append(
                Svg.text(Axis.label(tick, step: y.step), x: x.start - 8, y: place + 4, "end"))
        }
        lines.append(
            Svg.line([(x.start, y.start), (x.start, y.end), (x.end, y.end)], "#000000"))
        let middle = (y.start + y.end) / 2
        lines.append(Svg.text(xLabel, x: (x.start + x.end) / 2, y: Self.height - 12, "middle"))
        lines.append(
            Svg.text(
                yLabel, x: 18, y: middle, "middle",
                also: " transform=\"rotate(-90 18 \(Svg.number(middle)))\"")
        )
        return lines
    }

    private func drawn(_ one: Series, _ index: Int, _ x: Axis, _ y: Axis) -> [String] {
        let colour = Svg.colours[index % Svg.colours.count]
        let dashes = one.isDashed ? " stroke-dasharray=\"6 4\"" : ""
        let style = " stroke-width=\"1.8\" clip-path=\"url(#area)\"" + dashes
        var lines = one.lines.map { line in
            Svg.line(
                line.filter { $0.x.isFinite && $0.y.isFinite }
                    .map { (x.place($0.x), y.start + y.end - y.place($0.y)) },
                colour, style)
        }
        if one.isMarked {
            lines += one.lines.flatMap { $0 }.map { point in
                Svg.dot(x: x.place(point.x), y: y.start + y.end - y.place(point.y), colour)
            }
        }
        let (place, row) = (Self.width - Self.right + 16, Self.top + 12 + 20 * Double(index))
        lines.append(
            Svg.line(
                [(place, row - 4), (place + 26, row - 4)], colour,
                " stroke-width=\"1.8\"" + dashes))
        lines.append(Svg.text(one.name, x: place + 34, y: row, "start"))
        return lines
    }
}
