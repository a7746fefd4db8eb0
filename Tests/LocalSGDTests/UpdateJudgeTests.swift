import FoundationEssentials
import LocalSGD
import Testing

@Suite("A worker's verdicts on its own updates")
struct UpdateJudgeTests {
    private static func settings(_ weighting: Weighting = .relative) -> RunSettings {
        var settings = RunSettings()
        settings.rounds.weighting = weighting
        settings.penalty.detector.warmup = 5
        return settings
    }

    /// Norms of two modules that vary a little.
    private static func usual(_ round: Int) -> [Double] {
        [1 + 0.01 * Double(round % 3), 20 + 0.1 * Double(round % 4)]
    }

    private static func trained(_ settings: RunSettings) -> UpdateJudge {
        var judge = UpdateJudge(settings, modules: 2)
        for round in 0..<20 {
            let verdicts = judge.verdicts(round: round, norms: usual(round), steps: 4)
            #expect(verdicts == [.sound, .sound])
        }
        return judge
    }

    @Test("Each module is judged by its own past; a repeated question gets the same answer")
    func perModule() {
        var judge = Self.trained(Self.settings())
        #expect(judge.verdicts(round: 20, norms: [9, 20], steps: 4) == [.anomaly, .sound])
        let before = judge
        #expect(judge.verdicts(round: 20, norms: [1, 900], steps: 4) == [.anomaly, .sound])
        #expect(judge == before)
        // Four times the steps make a norm twice as large, and that is no anomaly.
        #expect(judge.verdicts(round: 21, norms: [2, 40], steps: 16) == [.sound, .sound])
    }

    @Test("With weighting dips a worker is judged as a whole")
    func whole() {
        var judge = Self.trained(Self.settings(.dips))
        #expect(judge.verdicts(round: 20, norms: [9, 20], steps: 4) == [.anomaly, .anomaly])
        var other = Self.trained(Self.settings(.dips))
        #expect(other.verdicts(round: 20, norms: [2, 20], steps: 4) == [.sound, .sound])
    }

    /// Ten modules after rounds enough to judge; those of `flagged` are out of line.
    private static func verdicts(
        _ scope: VerdictScope, flagged: Int
    ) -> (judge: UpdateJudge, before: UpdateJudge, verdicts: [Verdict]) {
        var settings = settings()
        settings.penalty.verdict = scope
        var judge = UpdateJudge(settings, modules: 10)
        func norms(_ round: Int) -> [Double] {
            (0..<10).map { 1 + Double($0) + 0.01 * Double((round + $0) % 3) }
        }
        for round in 0..<20 { _ = judge.verdicts(round: round, norms: norms(round), steps: 4) }
        let before = judge
        let odd = norms(20).enumerated().map { $0.offset < flagged ? 50 * $0.element : $0.element }
        let verdicts = judge.verdicts(round: 20, norms: odd, steps: 4)
        return (judge, before, verdicts)
    }

    @Test("Verdicts for the worker: up to 20 % of flagged modules stay alone, more take all along")
    func perWorker() {
        let all = [Verdict](repeating: .anomaly, count: 10)
        for flagged in 0...10 {
            let alone = (0..<10).map { $0 < flagged ? Verdict.anomaly : .sound }
            #expect(Self.verdicts(.module, flagged: flagged).verdicts == alone)
            let worker = Self.verdicts(.worker, flagged: flagged)
            #expect(worker.verdicts == (flagged > 2 ? all : alone), "\(flagged) flagged")
        }
    }

    @Test("What a worker's verdict keeps back leaves no trace in the detectors of sound modules")
    func noTrace() {
        // Three of ten are flagged, so seven usual samples are kept back with them.
        let worker = Self.verdicts(.worker, flagged: 3)
        #expect(worker.judge.detectors[3...] == worker.before.detectors[3...])
        #expect(worker.judge.detectors[0] != worker.before.detectors[0])
        let alone = Self.verdicts(.worker, flagged: 2)
        #expect(alone.judge.detectors[2...] != alone.before.detectors[2...])
    }

    @Test("Stored and read again it judges alike; what earlier builds stored judges modules")
    func codable() throws {
        let judge = Self.verdicts(.worker, flagged: 3).judge
        let json = try JSONEncoder().encode(judge)
        #expect(try JSONDecoder().decode(UpdateJudge.self, from: json) == judge)
        let text = String(decoding: json, as: UTF8.self)
        let older = text.replacing(#""scope":"worker","#, with: "")
            .replacing(#","scope":"worker""#, with: "")
        #expect(!older.contains("scope"))
        let read = try JSONDecoder().decode(UpdateJudge.self, from: Data(older.utf8))
        #expect(read.fits(Self.verdicts(.module, flagged: 0).judge))
        #expect(!read.fits(judge))
    }

    @Test("Without steps there is nothing to judge; switched off, nothing is flagged")
    func exceptions() {
        var judge = Self.trained(Self.settings())
        let before = judge
        #expect(judge.verdicts(round: 20, norms: [0, 0], steps: 0) == [.empty, .empty])
        #expect(judge == before)
        var settings = Self.settings()
        settings.penalty.detectsAnomalies = false
        var off = Self.trained(settings)
        #expect(off.verdicts(round: 20, norms: [1e9, 1e9], steps: 4) == [.sound, .sound])
    }
}
