import Cluster
import LocalSGD
import Roles
import Synchronization
import Tensors
import Testing

@Suite("The penalty in a running cluster")
struct PenaltyRunTests {
    /// Plain SGD without a clip, so that an outlier among the sequences is one among the updates;
    /// detectors that know after four rounds.
    static func settings(rounds: Int) -> RunSettings {
        var settings = SimulationTests.settings(rounds: rounds, warmup: 0)
        settings.inner.method = .sgd
        settings.inner.clipNorm = 0
        settings.inner.learningRate = 0.01
        settings.penalty.detector.warmup = 4
        settings.penalty.detector.threshold = 6
        settings.observation.evaluateEvery = 0
        settings.observation.checkpointEvery = 1
        return settings
    }

    @Test(
        "An update out of line with a worker's past stays away from the mean; its data is used up")
    func flagged() throws {
        var options = SimulatedCluster.Options()
        options.settings = Self.settings(rounds: 14)
        options.outlier = 200
        func run(detects: Bool) throws -> ([ShardState.MergePlan], SimulatedCluster.Outcome) {
            options.settings.penalty.detectsAnomalies = detects
            options.settings.rounds.weighting = .uniform
            let cluster = SimulatedCluster(options)
            let outcome = try cluster.run()
            #expect(outcome.phase == .finished)
            SimulationTests.expectClosedAccounts(outcome, 0)
            return (TimedRoundTests.merges(cluster), outcome)
        }
        let (plans, outcome) = try run(detects: true)
        // 24 sequences make a round, so number 200 is in the ninth.
        let hit = plans.filter { $0.opening.round == 8 }
        #expect(hit.count == 4)
        for plan in hit {
            #expect(plan.weights.filter { $0.weight == 0 }.count == 1)
            #expect(abs(plan.weights.reduce(0) { $0 + $1.weight } - 1) < 1e-12)
        }
        #expect(outcome.record?.history.missedContributions == 1)
        #expect(plans.filter { $0.opening.round != 8 }.allSatisfy { $0.weights.count == 3 })
        let (unguarded, _) = try run(detects: false)
        #expect(unguarded.allSatisfy { $0.weights.allSatisfy { $0.weight > 0 } })
    }

    @Test(
        "One module out of line stays away alone; with verdict worker, or dips, it takes all along",
        arguments: [
            (Weighting.relative, VerdictScope.module, [1]),
            (Weighting.relative, VerdictScope.worker, [0, 1, 2, 3]),
            (Weighting.dips, VerdictScope.module, [0, 1, 2, 3]),
        ])
    func scopes(weighting: Weighting, verdict: VerdictScope, expected: [Int]) throws {
        var options = SimulatedCluster.Options()
        options.settings = Self.settings(rounds: 12)
        options.settings.rounds.weighting = weighting
        options.settings.penalty.verdict = verdict
        options.outlier = 200
        options.outlierModule = 1
        let cluster = SimulatedCluster(options)
        let outcome = try cluster.run()
        #expect(outcome.phase == .finished)
        // Number 200 is the second worker's in the ninth round.
        let plans = TimedRoundTests.merges(cluster)
        #expect(plans.count == 48)
        for plan in plans {
            let silent = plan.weights.filter { $0.weight == 0 }.map(\.key.worker)
            let isHit = plan.opening.round == 8 && expected.contains(plan.module)
            #expect(silent == (isHit ? ["w1"] : []), "\(plan.module) in \(plan.opening.round)")
            #expect(abs(plan.weights.reduce(0) { $0 + $1.weight } - 1) < 1e-12)
        }
        let missed = outcome.record?.history.missedContributions
        #expect(missed == (expected.count == 4 ? 1 : 0))
        SimulationTests.expectClosedAccounts(outcome, 0)
    }

    @Test("With weighting dips workers count by their data alone")
    func dips() throws {
        var options = SimulatedCluster.Options()
        options.settings = TimedRoundTests.timed(Self.settings(rounds: 10))
        options.settings.penalty.detectsAnomalies = false
        options.settings.rounds.weighting = .dips
        options.stepTimes = ["w0": .milliseconds(200)]
        let cluster = SimulatedCluster(options)
        #expect(try cluster.run().phase == .finished)
        let closings = TimedRoundTests.closings(cluster)
        let plans = TimedRoundTests.merges(cluster).filter { $0.opening.round < 8 }
        #expect(plans.count == 32)
        for plan in plans {
            let closing = closings.first { $0.round == plan.opening.round }
            #expect(closing?.steps == ["w0": 2, "w1": 4, "w2": 4])
            for (found, weight) in zip(plan.weights.map(\.weight), [0.2, 0.4, 0.4]) {
                #expect(abs(found - weight) < 1e-12)
            }
        }
    }

    @Test("T7: if all are anomalous no parameter and no momentum moves, and the worker goes back")
    func rollback() throws {
        var options = SimulatedCluster.Options()
        options.workers = ["w0"]
        options.settings = Self.settings(rounds: 10)
        options.settings.rounds.minimumWorkers = 1
        // Eight sequences make a round of one worker, so number 50 is in the seventh.
        options.outlier = 50
        options.inspects = true
        let cluster = SimulatedCluster(options)
        let outcome = try cluster.run()
        #expect(outcome.phase == .finished)
        #expect(outcome.record?.history.missedContributions == 1)
        let plans = TimedRoundTests.merges(cluster).filter { $0.opening.round == 6 }
        #expect(plans.count == 4 && plans.allSatisfy { $0.weights.isEmpty })
        let (before, after, later) = cluster.checkpoints.withLock { ($0[6], $0[7], $0[8]) }
        #expect(before?.parameters == after?.parameters)
        #expect(before?.momentum == after?.momentum)
        #expect(before?.record?.modules.map(\.clip) == after?.record?.modules.map(\.clip))
        #expect(before?.momentum != later?.momentum)
        // The outlier had led the worker far away.
        let replica = cluster.replicas.withLock { $0["w0/7"] }
        #expect(replica != nil && replica == before?.parameters)
    }

    @Test("An expert is weighed by the tokens that it saw, and stays as it is where it saw none")
    func experts() throws {
        var options = SimulatedCluster.Options()
        options.workers = ["w0", "w1"]
        options.layout = QuadraticObjective.expertLayout
        options.settings = Self.settings(rounds: 6)
        options.settings.rounds.minimumWorkers = 2
        options.settings.rounds.syncInterval = 1
        let cluster = SimulatedCluster(options)
        #expect(try cluster.run().phase == .finished)
        // Sequences 0 and 1 are one worker's, 2 and 3 the other's: only 0 is for expert 1.
        let layers = TimedRoundTests.merges(cluster).filter { $0.module == 1 }
        #expect(layers.count == 6)
        for plan in layers {
            #expect(plan.weights.map(\.weight) == [0.5, 0.5])
            #expect(plan.experts == [[1.0 / 3, 2.0 / 3], [1, 0]])
        }
        // With one sequence each, every second round has nothing for expert 1.
        options.settings.rounds.batchSize = 1
        let second = SimulatedCluster(options)
        #expect(try second.run().phase == .finished)
        let expert = 82..<104
        func kept(_ version: UInt64) -> SimulatedCluster.Outcome? {
            second.checkpoints.withLock { $0[version] }
        }
        let (first, between, last) = (kept(1), kept(2), kept(3))
        #expect(first?.parameters[expert] == between?.parameters[expert])
        #expect(first?.momentum[expert] == between?.momentum[expert])
        #expect(first?.momentum[expert].contains { $0 != 0 } == true)
        #expect(between?.parameters[expert] != last?.parameters[expert])
        #expect(first?.parameters[60..<82] != between?.parameters[60..<82])
    }

    @Test(
        "T19: resumed in the middle of learning its clip, a run has the same bits",
        arguments: [RunMode.edit, .aEdit], [3, 7, 13])
    func t19(mode: RunMode, stopAfter: Int) throws {
        var options = SimulatedCluster.Options()
        options.settings = SimulationTests.settings(rounds: 18)
        options.settings.observation.evaluateEvery = 0
        options.settings.observation.checkpointEvery = stopAfter
        options.settings.penalty.detector.warmup = 3
        options.settings.penalty.clip.firstRound = 2
        options.settings.penalty.clip.lastRound = 9
        options.settings.penalty.clip.factor = 0.5
        if mode == .aEdit { options.settings = TimedRoundTests.timed(options.settings) }
        let first = SimulatedCluster(options)
        let whole = try first.run()
        let checkpoint = try #require(
            first.checkpoints.withLock { $0[UInt64(stopAfter)] })
        options.origin = SimulatedCluster.origin(from: checkpoint)
        let second = SimulatedCluster(options)
        second.saved.withLock { $0 = first.saved.withLock { $0 } }
        let outcome = try second.run()
        #expect(outcome.parameters == whole.parameters)
        #expect(outcome.momentum == whole.momentum)
        #expect(outcome.record?.modules == whole.record?.modules)
        #expect(outcome.record?.modules.allSatisfy { $0.clip.bound != nil } == true)
    }

    @Test(
        "T20: replicas are one in the warm-up, and the first update after it has only its steps",
        arguments: [RunMode.edit, .aEdit, .asynchronous], ["raw", "bf16"])
    func t20(mode: RunMode, codec: String) throws {
        var options = SimulatedCluster.Options()
        options.settings = IdentityTests.settings(rounds: 24, warmup: 20, interval: 4, workers: 3)
        options.settings.observation.checkpointEvery = 1
        if mode == .aEdit { options.settings = TimedRoundTests.timed(options.settings) }
        options.settings.mode = mode
        // The raw codec sends where an update ends; any other one depends on where it begins.
        options.settings.codec = codec
        options.workers = ["w0", "w1", "w2"]
        options.inspects = true
        options.keepsTimelines = true
        options.notesGradients = true
        let cluster = SimulatedCluster(options)
        #expect(try cluster.run().phase == .finished)
        for version in 1..<20 {
            let moments = cluster.saved.withLock { saved in
                options.workers.compactMap { saved["\($0)/\(version)"] }
                    .map { $0.firstMoment.array + $0.secondMoment.array }
            }
            #expect(moments.count == 3 && Set(moments).count == 1, "version \(version)")
            let replicas = cluster.replicas.withLock { replicas in
                options.workers.compactMap { replicas["\($0)/\(version)"] }
            }
            #expect(replicas.count == 3 && Set(replicas).count == 1, "version \(version)")
            let global = cluster.checkpoints.withLock { $0[UInt64(version)]?.parameters }
            #expect(replicas.first == global, "version \(version)")
        }
        if mode == .asynchronous {
            // The first push of each worker starts where the warm-up has ended.
            let first = FlowTests.pushes(cluster).filter { $0.module == 0 }.prefix(3)
            #expect(Set(first.map(\.key.worker)).count == 3)
            #expect(first.allSatisfy { $0.baseVersion == 20 })
        } else {
            let closing = TimedRoundTests.closings(cluster).first { $0.round == 20 }
            #expect(closing?.steps == ["w0": 4, "w1": 4, "w2": 4])
        }
        for name in options.workers {
            let spans = cluster.timelines.withLock { $0[name] ?? [] }
            let steps = spans.filter { $0.activity == .closeRound }.compactMap(\.steps)
            #expect(Array(steps.prefix(22)) == [Int](repeating: 1, count: 20) + [4, 4])
            let found = try #require(cluster.computations.withLock { $0["\(name)/1"] })
            try #require(found.count > 28)
            // From where a round begins to where the next does: all have pushed meanwhile.
            func move(_ round: Int) -> Double {
                let (old, new) = (
                    found[16 + 4 * round].parameters, found[20 + 4 * round].parameters
                )
                return zip(old, new).reduce(0) { $0 + Double(($1.0 - $1.1) * ($1.0 - $1.1)) }
            }
            #expect(move(1) > 0)
            #expect(move(1) < 4 * move(2), "\(name)")
        }
    }
}
