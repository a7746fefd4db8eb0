import ArgumentParser
import Status
import Storage

struct TimelineCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "timeline",
        abstract: "Tells from a worker's time line what synchronising costs, and draws it.",
        discussion: """
            The file comes from `martlet worker --timeline FILE` or `martlet up --timeline \
            FOLDER`; Perfetto and chrome://tracing open it too. Counted are whole rounds behind the \
            warm-up; those in which the worker measured held-out loss, kept its state or joined \
            again are left out.

            The cost of synchronising is how much longer a step takes, rounds taken as a whole, \
            than the median of those steps during which the worker did nothing else.
            """)

    @Argument(help: ArgumentHelp("The time line.", valueName: "file"))
    var file: String

    @Option(
        help: ArgumentHelp(
            "Where to draw --rounds, or else two from the middle; a file there is replaced.",
            valueName: "file"))
    var svg: String?

    @Option(help: ArgumentHelp("Only these rounds.", valueName: "a-b"))
    var rounds: RoundRange?

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        let timeline = try Timeline(file: file)
        guard let report = TimelineReport(timeline, rounds: rounds?.range) else {
            throw CommandError(
                .badData,
                "\(file) has no whole round behind the warm-up without measuring or saving"
                    + (rounds == nil ? "" : " among those asked for"))
        }
        if let svg {
            let drawing = try TimelineDrawing(timeline, rounds: rounds?.range)
            try AtomicFile.write(Array(drawing.svg.utf8), to: svg)
        }
        Terminal.printLine(json ? try report.jsonLine() : report.text)
    }
}

/// Rounds from one to another, as `4-7` or `4` on the command line.
struct RoundRange: ExpressibleByArgument, Sendable, Equatable {
    var range: ClosedRange<Int>

    init?(argument: String) {
        let ends = argument.split(separator: "-", omittingEmptySubsequences: false).map {
            $0.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
                ? Int($0) : nil
        }
        guard (1...2).contains(ends.count), let first = ends[0], let last = ends[ends.count - 1],
            first <= last
        else { return nil }
        range = first...last
    }
}

extension TimelineReport {
    /// The figures for a person.
    var text: String {
        let pauses = Pause.allCases.compactMap { pause in
            pausedShareBy[pause.rawValue].map { "\(pause.rawValue) \(Self.percent($0))" }
        }
        var lines = [
            "\(worker), rounds \(firstRound) to \(lastRound): \(rounds) with \(steps) steps in "
                + Figures.duration(seconds),
            "  step      mean \(Self.ms(stepMsMean)), median \(Self.ms(stepMsMedian))",
            "  alone     mean \(Self.ms(aloneStepMsMean)) (\(aloneSteps) steps)",
            "  beside    mean \(Self.ms(besideStepMsMean)) (\(besideSteps) steps beside"
                + " something else), \(Self.times(besideRatio)) times as long",
            "  no step   \(Self.percent(pausedShare)) of the time"
                + (pauses.isEmpty ? "" : ": " + pauses.joined(separator: ", ")),
            "  cost      \(Self.cost(costPercent)) of the step time for synchronising",
        ]
        if voidSteps > 0 { lines.append("  void      \(voidSteps) steps ahead of a plan") }
        if roundsLeftOut > 0 {
            lines.append("  left out  \(roundsLeftOut) rounds with measuring, saving or joining")
        }
        if isCut { lines.append("  The file was full before the worker was done.") }
        return lines.joined(separator: "\n")
    }

    static func ms(_ value: Double?) -> String {
        value.map { Figures.fixed($0, digits: 1) + " ms" } ?? "-"
    }

    static func percent(_ share: Double) -> String { Figures.percent(share, digits: 2) }

    static func cost(_ percent: Double?) -> String {
        percent.map { Figures.fixed($0, digits: 2) + " %" } ?? "-"
    }

    static func times(_ ratio: Double?) -> String {
        ratio.map { Figures.fixed($0, digits: 3) } ?? "-"
    }
}
