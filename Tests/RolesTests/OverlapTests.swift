import Cluster
import LocalSGD
import Testing

@testable import Roles

/// Workers that train on while what they have pushed, and the next version, are on their way.
@Suite("Training while synchronising")
struct OverlapTests {
    private static func inMode(_ mode: RunMode, _ settings: RunSettings) -> RunSettings {
        switch mode {
        case .edit: settings
        case .aEdit: TimedRoundTests.timed(settings)
        case .asynchronous: FlowTests.flowing(settings)
        }
    }

    private static func ahead(_ settings: RunSettings, steps: Int = 3) -> RunSettings {
        var settings = settings
        settings.overlap.steps = steps
        return settings
    }

    /// Steps of 100 ms over lines of 120 to 240 ms, so that several steps fit in a push and a pull.
    private static let far: ClosedRange<Duration> = .milliseconds(120)...(.milliseconds(240))

    @Test("T1: one worker that does not wait is plain AdamW, bit for bit", arguments: [1, 5, 40])
    func t1(interval: Int) throws {
        var options = SimulatedCluster.Options()
        options.workers = ["w0"]
        options.faults.delay = Self.far
        options.settings = Self.ahead(
            IdentityTests.settings(
                rounds: 200 / interval, warmup: 0, interval: interval, workers: 1))
        let waiting = try SimulatedCluster(Self.waiting(options)).run()
        let outcome = try SimulatedCluster(options).run()
        let expected = IdentityTests.plain(options.settings, steps: 200, batch: 2)
        #expect(outcome.parameters == expected.parameters)
        #expect(outcome.duration < waiting.duration)
        let losses = [outcome, waiting].map { $0.record?.history.points.map(\.trainLoss) ?? [] }
        #expect(losses[0] == losses[1])
        #expect(losses[0].contains { $0 != nil })
    }

    private static func waiting(_ options: SimulatedCluster.Options) -> SimulatedCluster.Options {
        var copy = options
        copy.settings.overlap.steps = 0
        return copy
    }

    @Test(
        "At speeds 1:2:4 nobody idles, although rounds are short and lines long",
        arguments: [RunMode.aEdit, .asynchronous])
    func nobodyIdles(mode: RunMode) throws {
        var options = SimulatedCluster.Options()
        options.settings = Self.inMode(
            mode, SimulationTests.settings(rounds: 40, warmup: 1))
        options.settings.observation.evaluateEvery = 0
        options.settings.observation.checkpointEvery = 0
        options.settings.rounds.syncInterval = 8
        options.settings.rounds.syncSeconds = 1.55
        options.faults.delay = .milliseconds(5)...(.milliseconds(15))
        options.stepTimes = ["w0": .milliseconds(400), "w1": .milliseconds(200)]
        func share(_ steps: Int) throws -> Double {
            options.settings.overlap.steps = steps
            let outcome = try SimulatedCluster(options).run()
            #expect(outcome.phase == .finished)
            let points = outcome.record?.history.points ?? []
            let (first, last) = (try #require(points.first), try #require(points.last))
            // In a second the three take 2.5, 5 and 10 steps of 2 sequences of 4 tokens.
            return Double(last.tokens - first.tokens) / (last.seconds - first.seconds)
                / (17.5 * 8)
        }
        let waiting = try share(0)
        let ahead = try share(8)
        #expect(waiting < 0.95)
        #expect(ahead > 0.97)
    }

    @Test("Steps ahead are those of the next plan only if its lease begins with their sequences")
    func begins() {
        // Of sequences 10 to 30 the last round used 8, and steps of 2 went on with three more.
        let stepping = {
            var stepping = Stepping()
            stepping.lease = Lease(runs: [10..<30])
            stepping.used = 8
            stepping.taken.steps = 3
            return stepping
        }()
        func begins(_ runs: [Range<UInt64>], steps: Int = 4, syncTime: Duration? = nil) -> Bool {
            stepping.begins(
                RoundPlan(
                    round: 2, kind: .local, baseVersion: 2, steps: steps, scheduleStep: 8,
                    lease: Lease(runs: runs), evaluation: nil, savesState: false,
                    syncTime: syncTime), batch: 2)
        }
        #expect(begins([18..<26]))
        #expect(begins([18..<24, 40..<42]))
        #expect(!begins([19..<27]))
        #expect(!begins([18..<23, 40..<43]))
        #expect(!begins([]))
        // A plan of fewer steps has none for the third; one by time takes as many as there are.
        #expect(!begins([18..<22], steps: 2))
        #expect(!begins([18..<24], steps: 2))
        #expect(begins([18..<24], steps: 2, syncTime: .seconds(1)))
    }

    @Test("A new version moves the parameters by what it adds, and the steps since stay")
    func rebase() throws {
        for mode in RunMode.allCases {
            var options = SimulatedCluster.Options()
            options.settings = Self.ahead(
                Self.inMode(mode, SimulationTests.settings(rounds: 24)))
            options.faults.delay = Self.far
            options.limit = .seconds(3600)
            let outcome = try SimulatedCluster(options).run()
            #expect(outcome.phase == .finished, "\(mode)")
            let losses = outcome.record?.history.points.compactMap(\.heldOutLoss) ?? []
            #expect((losses.last ?? 99) < 0.5 * (losses.first ?? 0), "\(mode)")
            SimulationTests.expectClosedAccounts(outcome, 0)
        }
    }

    @Test("Halfway between both the run learns as well, and elsewhere")
    func alpha() throws {
        var options = SimulatedCluster.Options()
        options.settings = Self.ahead(TimedRoundTests.timed(SimulationTests.settings(rounds: 24)))
        options.faults.delay = Self.far
        let rebased = try SimulatedCluster(options).run()
        options.settings.overlap.mix = .alpha
        let mixed = try SimulatedCluster(options).run()
        #expect(mixed.phase == .finished)
        #expect(mixed.parameters != rebased.parameters)
        let losses = mixed.record?.history.points.compactMap(\.heldOutLoss) ?? []
        #expect((losses.last ?? 99) < 0.5 * (losses.first ?? 0))
        SimulationTests.expectClosedAccounts(mixed, 0)
    }

    @Test("Numbers that are not finite are dropped together with the steps taken from them")
    func poisoned() throws {
        for mode in RunMode.allCases {
            var options = SimulatedCluster.Options()
            options.settings = Self.ahead(
                Self.inMode(mode, SimulationTests.settings(rounds: 10)))
            options.faults.delay = Self.far
            options.poison = 17
            options.limit = .seconds(3600)
            let outcome = try SimulatedCluster(options).run()
            #expect(outcome.phase == .finished, "\(mode)")
            #expect(outcome.parameters.allSatisfy { $0.isFinite }, "\(mode)")
            #expect(outcome.record?.history.missedContributions == 1, "\(mode)")
            SimulationTests.expectClosedAccounts(outcome, 0)
        }
    }

    /// An outlier leads so far away that steps from there are outliers, too.
    @Test("An update that is an anomaly takes the steps along that were taken from it")
    func anomalous() throws {
        var options = SimulatedCluster.Options()
        options.workers = ["w0"]
        options.settings = Self.ahead(PenaltyRunTests.settings(rounds: 10))
        options.settings.rounds.minimumWorkers = 1
        options.faults.delay = Self.far
        // Eight sequences make a round, so number 50 is in the seventh.
        options.outlier = 50
        options.limit = .seconds(3600)
        let outcome = try SimulatedCluster(options).run()
        #expect(outcome.phase == .finished)
        #expect(outcome.record?.history.missedContributions == 1)
        #expect(outcome.parameters.allSatisfy { abs($0) <= 1 })
        SimulationTests.expectClosedAccounts(outcome, 0)
    }

    @Test(
        "T16: seeds of delay, loss, duplication and a killed worker end with closed accounts",
        arguments: RunMode.allCases)
    func t16(mode: RunMode) throws {
        for seed in 1...20 as ClosedRange<UInt64> {
            var options = SimulationTests.faultyOptions(seed)
            options.settings = Self.ahead(Self.inMode(mode, options.settings))
            let outcome: SimulatedCluster.Outcome
            do {
                outcome = try SimulatedCluster(options).run(SimulationTests.faultyIncidents(seed))
            } catch {
                Issue.record("seed \(seed), \(mode) does not come to an end: \(error)")
                continue
            }
            #expect(outcome.phase == .finished, "seed \(seed) ends as \(outcome.phase)")
            #expect(outcome.parameters.allSatisfy { $0.isFinite }, "seed \(seed)")
            SimulationTests.expectClosedAccounts(outcome, seed)
        }
    }
}
