import Foundation
import FoundationXML
import Roles
import Testing

@testable import martlet

/// What is said of a time line, of workers whose every span is known.
@Suite("Time lines, measured and drawn")
struct TimelineTests {
    /// A worker by a script, in whole milliseconds.
    struct Script {
        var now = 0
        var spans: [Span] = []
        var round = 0

        /// Something that takes `ms` from `after` on, or from now on; only the latter takes time.
        mutating func add(
            _ activity: Span.Activity, _ ms: Int, after: Int? = nil, round: Int? = nil,
            module: Int? = nil, steps: Int? = nil
        ) {
            let began = after ?? now
            spans.append(
                Span(
                    activity, round: round ?? self.round, module: module, steps: steps,
                    began: .milliseconds(began), ended: .milliseconds(began + ms)))
            if after == nil { now += ms }
        }

        /// Two rounds of warm-up.
        static var warm: Script {
            var script = Script()
            for round in 0...1 {
                script.round = round
                script.add(.warmupStep, 900)
                script.add(.closeRound, 500, steps: 1)
            }
            script.round = 2
            return script
        }

        /// Four steps of 100 ms, and then 110 ms of synchronising.
        mutating func waitingRound(first: Int = 100) {
            add(.step, first)
            for _ in 0..<3 { add(.step, 100) }
            add(.closeRound, 10, steps: 4)
            add(.norms, 10)
            add(.encode, 10, module: 0)
            add(.push, 20, module: 0)
            add(.pull, 40, module: 0)
            add(.adopt, 10, module: 0)
            add(.ask, 10)
            round += 1
        }

        /// The same beside a step ahead that takes 120 ms, with `rest` ms in which nothing is done
        /// and then a pull waited for as long.
        mutating func aheadRound(isFirst: Bool, rest: Int = 0) {
            for _ in 0..<(isFirst ? 4 : 3) { add(.step, 100) }
            add(.closeRound, 10, steps: 4)
            let began = now
            add(.push, 60, after: began, module: 0)
            add(.pull, 30, after: began + 70, module: 0)
            add(.stepAhead, 120, round: round + 1)
            now += rest
            if rest > 0 { add(.pull, rest, module: 1) }
            round += 1
        }
    }

    private static func report(
        _ script: Script, rounds: ClosedRange<Int>? = nil
    ) throws -> TimelineReport {
        let timeline = Timeline(name: "w", spans: script.spans.sorted { $0.ended < $1.ended })
        return try #require(TimelineReport(timeline, rounds: rounds))
    }

    private static func isNear(_ value: Double?, _ expected: Double) -> Bool {
        abs((value ?? .nan) - expected) < 1e-9
    }

    @Test("A worker that waits pays all of the time in which it takes no step")
    func waiting() throws {
        var script = Script.warm
        for _ in 0..<5 { script.waitingRound() }
        let report = try Self.report(script)
        // Of the rounds 2 to 6 the first has the warm-up's synchronising in it.
        #expect((report.firstRound, report.lastRound) == (3, 6))
        #expect((report.rounds, report.steps, report.voidSteps) == (4, 16, 0))
        #expect(Self.isNear(report.seconds, 2.04))
        #expect(Self.isNear(report.stepMsMean, 100) && Self.isNear(report.stepMsMedian, 100))
        #expect((report.aloneSteps, report.besideSteps) == (16, 0))
        #expect(report.besideStepMsMean == nil && report.besideRatio == nil)
        #expect(Self.isNear(report.pausedShare, 110 / 510))
        let expected = ["closing": 20, "pushing": 30, "pulling": 50, "asking": 10]
        #expect(Set(report.pausedShareBy.keys) == Set(expected.keys))
        for (pause, ms) in expected {
            #expect(Self.isNear(report.pausedShareBy[pause], Double(ms) / 510), "\(pause)")
        }
        #expect(Self.isNear(report.costPercent, 27.5))
        #expect(report.text.contains("cost      27.50 % of the step time"))
    }

    /// By the median of steps alone, a short one would look like time won.
    @Test("Steps that differ cost nothing by themselves")
    func unevenSteps() throws {
        var script = Script.warm
        for _ in 0..<5 { script.waitingRound(first: 60) }
        let report = try Self.report(script)
        #expect(Self.isNear(report.aloneStepMsMean, 90) && Self.isNear(report.stepMsMedian, 100))
        #expect(Self.isNear(report.costPercent, 100 * 110 / 360))
    }

    @Test("One that trains on pays for slower steps, and for closing")
    func ahead() throws {
        var script = Script.warm
        for index in 0..<5 { script.aheadRound(isFirst: index == 0) }
        let report = try Self.report(script)
        #expect((report.rounds, report.steps, report.voidSteps) == (4, 16, 0))
        #expect((report.aloneSteps, report.besideSteps) == (12, 4))
        #expect(Self.isNear(report.stepMsMean, 105) && Self.isNear(report.besideRatio, 1.2))
        #expect(Self.isNear(report.pausedShare, 10 / 430))
        #expect(report.pausedShareBy.keys.sorted() == ["closing"])
        #expect(Self.isNear(report.costPercent, 7.5))
    }

    @Test("Stalls are found, and told from pauses without a reason")
    func stalls() throws {
        var script = Script.warm
        for index in 0..<5 { script.aheadRound(isFirst: index == 0, rest: 35) }
        let report = try Self.report(script)
        #expect(report.pausedShareBy.keys.sorted() == ["closing", "other", "pulling"])
        #expect(Self.isNear(report.pausedShareBy["other"], 35 / 500))
        #expect(Self.isNear(report.pausedShareBy["pulling"], 35 / 500))
        #expect(Self.isNear(report.costPercent, 25))
    }

    @Test("Rounds with a measurement are left out, and those that are not asked for")
    func chosenRounds() throws {
        var script = Script.warm
        for index in 0..<6 {
            if index == 3 { script.add(.evaluate, 5000) }
            if index == 5 { script.add(.save, 700) }
            script.waitingRound()
        }
        let all = try Self.report(script)
        #expect((all.firstRound, all.lastRound, all.rounds, all.roundsLeftOut) == (3, 6, 3, 2))
        #expect(Self.isNear(all.costPercent, 27.5))
        let some = try Self.report(script, rounds: 4...5)
        #expect((some.firstRound, some.lastRound, some.rounds) == (4, 4, 1))
        #expect(some.roundsLeftOut == 1)
        #expect(TimelineReport(Timeline(name: "w", spans: script.spans), rounds: 5...5) == nil)
        #expect(TimelineReport(Timeline(name: "w", spans: Script.warm.spans)) == nil)
    }

    @Test("Steps that no round began with are void, and cost")
    func voidSteps() throws {
        var script = Script.warm
        for _ in 0..<3 {
            script.waitingRound()
            script.add(.stepAhead, 100)
        }
        let report = try Self.report(script)
        #expect((report.steps, report.voidSteps) == (8, 2))
        #expect(Self.isNear(report.costPercent, 52.5))
    }

    // MARK: Drawings

    /// Counts elements; fails where the text is no XML.
    private final class Reader: NSObject, XMLParserDelegate {
        var elements: [String: Int] = [:]
        var text = ""

        func parser(
            _ parser: XMLParser, didStartElement name: String, namespaceURI: String?,
            qualifiedName: String?, attributes: [String: String] = [:]
        ) { elements[name, default: 0] += 1 }

        func parser(_ parser: XMLParser, foundCharacters string: String) { text += string }
    }

    @Test("The drawing is well-formed, and has a bar for every span in its rounds")
    func drawing() throws {
        var script = Script.warm
        for index in 0..<5 { script.aheadRound(isFirst: index == 0) }
        let timeline = Timeline(name: "a<b>&\"\u{1}", spans: script.spans)
        let svg = try TimelineDrawing(timeline, rounds: 4...4).svg
        let (parser, reader) = (XMLParser(data: Data(svg.utf8)), Reader())
        parser.delegate = reader
        #expect(parser.parse(), "\(String(describing: parser.parserError))")
        // Three steps and one ahead, a closing, a push and a pull; five colours explained, with
        // the paper below.
        #expect(reader.elements["rect"] == 7 + 5 + 1)
        #expect(reader.text.contains("a<b>&\"?, round 4"))
        for lane in Lane.allCases { #expect(reader.text.contains(lane.rawValue)) }
        #expect(throws: CommandError.self) { try TimelineDrawing(timeline, rounds: 2...2) }
        #expect(throws: Never.self) { try TimelineDrawing(timeline) }
    }

    @Test("Spans that overlap are in rows of their own, as few as there can be")
    func rows() {
        var rows = LaneRows()
        func row(_ began: Int, _ ended: Int) -> Int {
            rows.row(
                of: Span(.push, began: .milliseconds(began), ended: .milliseconds(ended)))
        }
        let found: [Int] = [row(0, 10), row(5, 12), row(10, 14), row(11, 15), row(12, 16)]
        #expect(found == [0, 1, 0, 2, 1])
        #expect(rows.count == 3)
    }
}
