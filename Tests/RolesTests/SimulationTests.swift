import Cluster
import LocalSGD
import Roles
import Testing

@Suite("Roles under simulation")
struct SimulationTests {
    static func settings(rounds: Int = 6, warmup: Int = 2) -> RunSettings {
        var settings = RunSettings()
        settings.mode = .edit
        settings.overlap.steps = 0
        settings.sequenceLength = 4
        settings.rounds.total = rounds
        settings.rounds.warmup = warmup
        settings.rounds.syncInterval = 4
        settings.rounds.batchSize = 2
        settings.rounds.minimumWorkers = 3
        settings.rounds.deadlineSeconds = 30
        settings.inner.learningRate = 0.05
        settings.inner.warmupSteps = 4
        settings.observation.evaluateEvery = 2
        settings.observation.evaluationSequences = 8
        settings.observation.checkpointEvery = 3
        return settings
    }

    @Test("A run goes from its first round to its last, learns, and ends")
    func plainRun() throws {
        var options = SimulatedCluster.Options()
        options.settings = Self.settings(rounds: 20)
        let outcome = try SimulatedCluster(options).run()
        #expect(outcome.phase == .finished)
        #expect(outcome.record?.version == 20)
        #expect(
            outcome.farewells.sorted() == ["w0", "w1", "w2"].map { "\($0): the run is finished" })
        let points = outcome.record?.history.points ?? []
        #expect(points.count == 20)
        let losses = points.compactMap(\.heldOutLoss)
        #expect((losses.last ?? 99) < 0.5 * (losses.first ?? 0))
    }

    @Test("The same seed gives the same history, another seed another")
    func determinism() throws {
        func run(_ seed: UInt64) throws -> SimulatedCluster.Outcome {
            var options = SimulatedCluster.Options()
            options.seed = seed
            options.settings = Self.settings(rounds: 3)
            options.faults.loss = 0.02
            return try SimulatedCluster(options).run()
        }
        let first = try run(11)
        #expect(try run(11).digest == first.digest)
        #expect(try run(12).digest != first.digest)
    }

    /// Message delay, loss, duplication, a killed worker and one that joins late, drawn from the
    /// seed.
    @Test(
        "T16: seeds of delay, loss, duplication and a killed worker, each twice with equal traces",
        arguments: Schedules.parts)
    func t16Faults(part: Int) throws {
        for seed in Schedules.seeds(of: part) {
            let first: SimulatedCluster.Outcome
            let second: SimulatedCluster.Outcome
            do {
                first = try Self.faultyRun(seed)
                second = try Self.faultyRun(seed)
            } catch {
                Issue.record("seed \(seed) does not come to an end: \(error)")
                continue
            }
            #expect(first.phase == .finished, "seed \(seed) ends as \(first.phase)")
            #expect(first.record?.version == 5, "seed \(seed)")
            #expect(first.digest == second.digest, "seed \(seed) has two histories")
            #expect(first.parameters == second.parameters, "seed \(seed)")
            #expect(first.parameters.allSatisfy { $0.isFinite }, "seed \(seed)")
            Self.expectClosedAccounts(first, seed)
        }
    }

    static func faultyRun(_ seed: UInt64) throws -> SimulatedCluster.Outcome {
        try SimulatedCluster(faultyOptions(seed)).run(faultyIncidents(seed))
    }

    static func faultyOptions(_ seed: UInt64) -> SimulatedCluster.Options {
        var generator = SeededGenerator(seed: seed)
        var options = SimulatedCluster.Options()
        options.seed = seed
        options.settings = settings(rounds: 5, warmup: 2)
        options.faults.loss = 0.03 * generator.unit()
        options.faults.duplication = 0.1 * generator.unit()
        options.faults.delay =
            .microseconds(
                100)...generator.duration(
                in: .milliseconds(1)...(.milliseconds(200)))
        options.stepTimes["w1"] = generator.duration(in: .milliseconds(50)...(.milliseconds(400)))
        options.limit = .seconds(3600)
        return options
    }

    static func faultyIncidents(_ seed: UInt64) -> [SimulatedCluster.Incident] {
        var generator = SeededGenerator(seed: seed &+ 1_000_003)
        let kill = generator.duration(in: .milliseconds(100)...(.seconds(4)))
        let start = kill + generator.duration(in: .milliseconds(1)...(.seconds(3)))
        let returning = generator.next() % 2 == 0
        return [
            .kill("w2", at: kill),
            .start(returning ? "w2" : "w3", incarnation: 2, at: start),
        ]
    }

    /// Every sequence ever leased is used once or lies ready for the next; none is counted twice.
    static func expectClosedAccounts(_ outcome: SimulatedCluster.Outcome, _ seed: UInt64) {
        guard let record = outcome.record else { return }
        let history = record.history
        let perSequence = record.settings.sequenceLength
        let returned = record.ledger.returned.reduce(0) { $0 + $1.count }
        let leased = Int(record.ledger.next) - returned
        #expect(
            history.appliedTokens + history.lostTokens == leased * perSequence,
            "seed \(seed): tokens do not add up")
        #expect(record.ledger.open.isEmpty, "seed \(seed)")
        guard let trained = outcome.trained, record.ledger.next <= 1000 else { return }
        // Only what is lost may have been used without being trained on.
        let unseen = Set(0..<record.ledger.next)
            .subtracting(record.ledger.returned.flatMap { Array($0) }).subtracting(trained)
        #expect(
            unseen.count * perSequence <= history.lostTokens,
            "seed \(seed): \(unseen.sorted()) were never trained on")
    }

    @Test("T16: duplicated, reordered and delayed calls end where a calm network does")
    func t16ScheduleIndependent() throws {
        func parameters(_ seed: UInt64?) throws -> [Float] {
            var options = SimulatedCluster.Options()
            options.settings = Self.settings(rounds: 5)
            if let seed {
                var generator = SeededGenerator(seed: seed)
                options.seed = seed
                options.faults.duplication = 0.4 * generator.unit()
                options.faults.delay =
                    .microseconds(
                        100)...generator.duration(
                        in: .milliseconds(1)...(.milliseconds(300)))
                options.limit = .seconds(3600)
            }
            return try SimulatedCluster(options).run().parameters
        }
        let calm = try parameters(nil)
        for seed in 1...40 as ClosedRange<UInt64> {
            #expect(try parameters(seed) == calm, "seed \(seed)")
        }
    }

    /// A worker that misses too many signs of life is given up for lost, and what it then missed is
    /// another history; all others must be this one.
    @Test("T16: lost calls are made again and end where a calm network does")
    func t16Lossy() throws {
        func run(_ seed: UInt64?) throws -> (outcome: SimulatedCluster.Outcome, isWhole: Bool) {
            var options = SimulatedCluster.Options()
            options.settings = Self.settings(rounds: 5)
            options.settings.rounds.deadlineSeconds = 900
            if let seed {
                options.seed = seed
                options.faults.loss = 0.01
                options.faults.duplication = 0.1
                options.limit = .seconds(10_000)
            }
            let cluster = SimulatedCluster(options)
            let outcome = try cluster.run()
            let isWhole = TimedRoundTests.merges(cluster).allSatisfy { plan in
                plan.weights.count == 3 && plan.opening.members.allSatisfy { !$0.isObserving }
            }
            return (outcome, isWhole)
        }
        let calm = try run(nil)
        #expect(calm.isWhole)
        var (whole, slower) = (0, 0)
        for seed in 1...100 as ClosedRange<UInt64> {
            let lossy = try run(seed)
            guard lossy.isWhole else { continue }
            whole += 1
            #expect(lossy.outcome.parameters == calm.outcome.parameters, "seed \(seed)")
            if lossy.outcome.duration > calm.outcome.duration + .seconds(1) { slower += 1 }
        }
        #expect(whole > 10 && slower > 5, "\(whole) whole, \(slower) slower")
    }

    @Test("Stopped in the middle, the run ends after its round and keeps its version")
    func stop() throws {
        var options = SimulatedCluster.Options()
        options.settings = Self.settings(rounds: 1000)
        let outcome = try SimulatedCluster(options).run([.stop(at: .seconds(3))])
        #expect(outcome.phase == .finished)
        let version = outcome.record?.version ?? 0
        #expect(version > 2 && version < 1000)
    }

    @Test("A drained worker leaves and the run goes on without it")
    func drain() throws {
        var options = SimulatedCluster.Options()
        options.settings = Self.settings(rounds: 8)
        let outcome = try SimulatedCluster(options).run([.drain("w1", at: .milliseconds(1500))])
        #expect(outcome.phase == .finished)
        #expect(outcome.farewells.first?.hasPrefix("w1: drained") == true)
        #expect(outcome.farewells.count == 3)
    }

    @Test("Numbers that are not finite never reach the global parameters; no round hangs")
    func poisoned() throws {
        for workers in [["w0"], ["w0", "w1", "w2"]] {
            var options = SimulatedCluster.Options()
            options.workers = workers
            options.settings = Self.settings(rounds: 10)
            options.settings.rounds.minimumWorkers = workers.count
            options.poison = 17
            let outcome = try SimulatedCluster(options).run()
            #expect(outcome.phase == .finished)
            #expect(outcome.parameters.allSatisfy { $0.isFinite })
            #expect(outcome.record?.history.missedContributions == 1)
            #expect(outcome.duration < .seconds(60))
        }
    }

    @Test("A killed shard server ends the run with a reason; nobody hangs")
    func shardKilled() throws {
        var options = SimulatedCluster.Options()
        options.settings = Self.settings(rounds: 50)
        let outcome = try SimulatedCluster(options).run([.kill("s1", at: .seconds(2))])
        guard case .failed(let reason) = outcome.phase else {
            Issue.record("the run ended as \(outcome.phase)")
            return
        }
        #expect(reason.contains("s1"))
        #expect(outcome.farewells.count == 3)
    }
}
