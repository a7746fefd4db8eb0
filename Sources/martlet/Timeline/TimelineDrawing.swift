import Roles
import Status

/// Some rounds of a worker as an SVG file: what it did when, in rows under each other, over an axis
/// of time.
struct TimelineDrawing {
    /// Rounds that are drawn unless others are wanted.
    private static let roundsUsual = 2
    /// Spans in a drawing, at most.
    private static let spansMax = 20_000

    /// What a colour stands for.
    private struct Shade {
        var activities: [Span.Activity]
        var name: String
        var fill: String
        /// Of numbers on it.
        var ink = "#ffffff"
    }

    private static let shades = [
        Shade(activities: [.warmupStep, .step], name: "step", fill: Svg.colours[1]),
        Shade(activities: [.stepAhead], name: "step ahead", fill: Svg.colours[6], ink: "#000000"),
        Shade(activities: [.closeRound, .norms], name: "closing", fill: Svg.colours[0]),
        Shade(activities: [.encode], name: "encoding", fill: Svg.colours[5], ink: "#000000"),
        Shade(activities: [.push], name: "pushing", fill: Svg.colours[2]),
        Shade(activities: [.pull], name: "pulling", fill: Svg.colours[3]),
        Shade(activities: [.adopt], name: "taking in", fill: Svg.colours[4], ink: "#000000"),
        Shade(
            activities: [.ask, .join, .fetch], name: "asking", fill: Svg.colours[7],
            ink: "#000000"),
        Shade(activities: [.rest, .grace], name: "resting", fill: "#dddddd", ink: "#000000"),
        Shade(
            activities: [.evaluate, .save], name: "measuring, saving", fill: "#f0e442",
            ink: "#000000"),
    ]

    // Sizes in pixels.
    private static let width = 1100.0
    private static let (left, right, top, bottom) = (100.0, 20.0, 92.0, 48.0)
    private static let (rowHeight, barHeight, laneGap) = (22.0, 18.0, 12.0)
    private static let legendWidth = 108.0
    /// A span is never drawn narrower: it would not be seen.
    private static let barWidthMin = 0.6
    /// Least width of a bar with the number of its module on it.
    private static let numberWidth = 14.0

    private let title: String
    private let rounds: [MeasuredRound]
    /// For each lane its spans with their rows.
    private let lanes: [(lane: Lane, bars: [(span: Span, row: Int)], rows: Int)]

    /// Draws the rounds among `wanted`, or some from the middle.
    ///
    /// Throws where there is nothing to draw, or too much.
    init(
        _ timeline: Timeline, rounds wanted: ClosedRange<Int>? = nil, title: String? = nil
    ) throws(CommandError) {
        let all = MeasuredRound.all(in: timeline.spans)
        rounds =
            wanted.map { wanted in all.filter { wanted.contains($0.number) } }
            ?? Self.middle(of: all)
        guard let first = rounds.first, let last = rounds.last else {
            throw CommandError(.badData, "there is no such whole round behind the warm-up to draw")
        }
        let shown = timeline.spans.filter { $0.began < last.ended && $0.ended > first.began }
        guard shown.count <= Self.spansMax else {
            throw CommandError(
                .usage,
                "rounds \(first.number) to \(last.number) have \(shown.count) spans, more "
                    + "than the \(Self.spansMax) of a drawing; say --rounds")
        }
        let numbers =
            first.number == last.number
            ? "round \(first.number)" : "rounds \(first.number) to \(last.number)"
        self.title = "\(title ?? timeline.name), \(numbers)"
        lanes = Lane.allCases.map { lane in
            var rows = LaneRows()
            let bars = shown.filter { $0.activity.lane == lane }.sorted { $0.ended < $1.ended }
                .map { (span: $0, row: rows.row(of: $0)) }
            return (lane, bars, max(rows.count, 1))
        }
    }

    /// Some rounds from the middle, undisturbed ones if there are.
    private static func middle(of all: [MeasuredRound]) -> [MeasuredRound] {
        let count = min(roundsUsual, all.count)
        let starts = (0...(all.count - count)).sorted {
            abs(2 * $0 + count - all.count) < abs(2 * $1 + count - all.count)
        }
        let calm = starts.first { !all[$0..<$0 + count].contains(where: \.isDisturbed) }
        return (calm ?? starts.first).map { Array(all[$0..<$0 + count]) } ?? []
    }

    /// The whole file.
    var svg: String {
        guard let first = rounds.first, let last = rounds.last else { return "" }
        let heights = lanes.map { Double($0.rows) * Self.rowHeight + Self.laneGap }
        let end = Self.top + heights.reduce(0, +)
        let x = Axis(
            from: 0, to: 1000 * (last.ended - first.began).seconds,
            pixels: Self.left...(Self.width - Self.right), isExact: true)
        var elements = [Svg.text(title, x: Self.left, y: 24, "start", size: 16)] + legend
        elements += grid(x, since: first.began, to: end)
        var y = Self.top
        for ((lane, bars, rows), height) in zip(lanes, heights) {
            let middle = y + Double(rows) * Self.rowHeight / 2
            elements.append(Svg.text(lane.rawValue, x: Self.left - 10, y: middle + 4, "end"))
            elements += bars.flatMap { bar($0.span, x, since: first.began, y, row: $0.row) }
            y += height
        }
        return Svg.document(
            width: Int(Self.width), height: Int(end + Self.bottom), elements)
    }

    // MARK: Parts

    private var legend: [String] {
        let present = Set(lanes.flatMap { $0.bars.map(\.span.activity) })
        let shades = Self.shades.filter { !present.isDisjoint(with: $0.activities) }
        return shades.enumerated().flatMap { index, shade in
            let place = Self.left + Double(index) * Self.legendWidth
            return [
                Svg.box(x: place, y: 40, width: 14, height: 14, " fill=\"\(shade.fill)\""),
                Svg.text(shade.name, x: place + 20, y: 52, "start"),
            ]
        }
    }

    /// The axis, and a line with a name where a round begins.
    private func grid(_ x: Axis, since origin: Duration, to end: Double) -> [String] {
        var elements: [String] = []
        for tick in x.ticks {
            let place = x.place(tick)
            elements.append(Svg.line([(place, Self.top), (place, end)], "#dddddd"))
            let label = Figures.fixed(tick, digits: x.step < 1 ? 3 : 0)
            elements.append(Svg.text(label, x: place, y: end + 18, "middle"))
        }
        elements.append(Svg.line([(x.start, end), (x.end, end)], "#000000"))
        elements.append(Svg.text("ms", x: (x.start + x.end) / 2, y: end + 38, "middle"))
        for round in rounds {
            let place = x.place(1000 * (round.began - origin).seconds)
            elements.append(
                Svg.line(
                    [(place, Self.top - 16), (place, end)], "#000000", " stroke-dasharray=\"4 3\""))
            elements.append(
                Svg.text("round \(round.number)", x: place + 4, y: Self.top - 8, "start", size: 12))
        }
        return elements
    }

    private func bar(
        _ span: Span, _ x: Axis, since origin: Duration, _ y: Double, row: Int
    ) -> [String] {
        guard let shade = Self.shades.first(where: { $0.activities.contains(span.activity) })
        else { return [] }
        let began = max(x.place(1000 * (span.began - origin).seconds), x.start)
        let ended = min(x.place(1000 * (span.ended - origin).seconds), x.end)
        let width = max(ended - began, Self.barWidthMin)
        let top = y + Double(row) * Self.rowHeight
        let edge = width > 3 ? " stroke=\"#ffffff\" stroke-width=\"0.5\"" : ""
        var elements = [
            Svg.box(
                x: began, y: top, width: width, height: Self.barHeight,
                " fill=\"\(shade.fill)\"" + edge)
        ]
        if let module = span.module, width >= Self.numberWidth {
            elements.append(
                Svg.text(
                    "\(module)", x: began + width / 2, y: top + 13, "middle", size: 11,
                    also: " fill=\"\(shade.ink)\""))
        }
        return elements
    }
}
