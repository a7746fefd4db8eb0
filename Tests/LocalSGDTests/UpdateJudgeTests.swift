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
