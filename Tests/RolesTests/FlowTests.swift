import Cluster
import LocalSGD
import Roles
import Synchronization
import Tensors
import Testing

@Suite("Without rounds")
struct FlowTests {
    static func flowing(_ settings: RunSettings) -> RunSettings {
        var settings = settings
        settings.mode = .asynchronous
        return settings
    }

    static func pushes(_ cluster: SimulatedCluster) -> [ShardState.PushPlan] {
        cluster.decisions.withLock { decisions in
            decisions.compactMap { if case .apply(let plan) = $0 { plan } else { nil } }
        }
    }

    @Test(
        "T1: one worker without rounds is plain AdamW after 200 steps",
        arguments: [(warmup: 0, interval: 1), (0, 10), (0, 40), (8, 12)])
    func t1(warmup: Int, interval: Int) throws {
        let rounds = warmup + (200 - warmup) / interval
        var options = SimulatedCluster.Options()
        options.workers = ["w0"]
        options.settings = Self.flowing(
            IdentityTests.settings(rounds: rounds, warmup: warmup, interval: interval, workers: 1))
        let cluster = SimulatedCluster(options)
        let outcome = try cluster.run()
        #expect(outcome.record?.version == UInt64(rounds))
        #expect(outcome.record?.history.steps == 200)
        try IdentityTests.expectPlain(cluster, outcome)
    }

    @Test("T1: the same with duplicated and reordered calls")
    func t1Unreliable() throws {
        var options = SimulatedCluster.Options()
        options.workers = ["w0"]
        options.settings = Self.flowing(
            IdentityTests.settings(rounds: 44, warmup: 5, interval: 5, workers: 1))
        options.faults.duplication = 0.5
        options.faults.delay = .milliseconds(1)...(.milliseconds(300))
        options.limit = .seconds(3600)
        let cluster = SimulatedCluster(options)
        try IdentityTests.expectPlain(cluster, cluster.run())
    }

    /// One worker's modules are all kept between the same two pushes.
    ///
    /// With more workers each module is kept at a version of its own, and no resume is exact
    /// (decision 0013); what holds then is what T19 asks for below.
    @Test(
        "T1: the same with a checkpoint and a restart in the middle, where one worker pushes",
        arguments: [3, 12, 30])
    func t1Resumed(stopAfter: Int) throws {
        var options = SimulatedCluster.Options()
        options.workers = ["w0"]
        options.settings = Self.flowing(
            IdentityTests.settings(rounds: 44, warmup: 5, interval: 5, workers: 1))
        try IdentityTests.expectPlainResumed(options, after: stopAfter)
    }

    @Test("Workers of speeds 1:2:4 never wait for each other, learn, and take steps by their speed")
    func speeds() throws {
        var options = SimulatedCluster.Options()
        options.settings = Self.flowing(SimulationTests.settings(rounds: 30))
        options.settings.rounds.syncInterval = 32
        options.stepTimes = ["w0": .milliseconds(400), "w1": .milliseconds(200)]
        let cluster = SimulatedCluster(options)
        let outcome = try cluster.run()
        #expect(outcome.phase == .finished)
        let history = try #require(outcome.record?.history)
        #expect(outcome.record?.version == 30)
        #expect(history.points.count == 30)
        let losses = history.points.compactMap(\.heldOutLoss)
        #expect(losses.count > 10)
        #expect((losses.last ?? 99) < 0.5 * (losses.first ?? 0))
        #expect(history.points.dropFirst(3).allSatisfy { $0.trainLoss != nil })
        // All push about equally often, so nearly all the time is training.
        let counts = Self.pushes(cluster).filter { $0.module == 0 }
            .reduce(into: [:]) { $0[$1.key.worker, default: 0] += 1 }
        let (fewest, most) = (counts.values.min() ?? 0, counts.values.max() ?? 0)
        #expect(fewest > 0 && most <= 2 * fewest, "\(counts)")
        SimulationTests.expectClosedAccounts(outcome, 0)
    }

    @Test("An update counts from the version that it starts from, however much others have moved")
    func bases() throws {
        var options = SimulatedCluster.Options()
        options.settings = Self.flowing(
            IdentityTests.settings(rounds: 40, warmup: 0, interval: 4, workers: 2))
        options.settings.inner.method = .sgd
        options.settings.asynchronous.adaptsSteps = false
        options.workers = ["w0", "w1"]
        options.stepTimes = ["w0": .milliseconds(130)]
        options.idle = ["w1"]
        let cluster = SimulatedCluster(options)
        let outcome = try cluster.run()
        #expect(outcome.phase == .finished)
        // A worker that has learnt nothing sends its base; taken against any other version that
        // would be an update, and more than its header says.
        let pushes = Self.pushes(cluster).filter { $0.key.worker == "w1" }
        #expect(pushes.contains { $0.baseVersion + 1 < $0.version })
        #expect(outcome.record?.history.missedContributions == 0)
        #expect(outcome.parameters != IdentityTests.start)
    }

    /// Loss, duplication, delay, a crash and a return, drawn from the seed.
    @Test(
        "T16: seeds of faults; each push is applied once, each version is one",
        arguments: Schedules.parts)
    func t16(part: Int) throws {
        for seed in Schedules.seeds(of: part) {
            var options = SimulationTests.faultyOptions(seed)
            options.settings = Self.flowing(options.settings)
            let cluster = SimulatedCluster(options)
            let outcome: SimulatedCluster.Outcome
            do {
                outcome = try cluster.run(SimulationTests.faultyIncidents(seed))
            } catch {
                Issue.record("seed \(seed) does not come to an end: \(error)")
                continue
            }
            #expect(outcome.phase == .finished, "seed \(seed) ends as \(outcome.phase)")
            let applied = Self.pushes(cluster)
            #expect(!applied.isEmpty)
            #expect(Set(applied.map(\.key)).count == applied.count, "seed \(seed)")
            let records = outcome.record?.modules ?? []
            #expect(records.count == 4)
            for (module, record) in records.enumerated() {
                let versions = applied.filter { $0.module == module }.map(\.version)
                let warmup = UInt64(options.settings.rounds.warmup)
                #expect(versions == (0..<versions.count).map { warmup + 1 + UInt64($0) })
                #expect(record.version == warmup + UInt64(versions.count), "seed \(seed)")
            }
            #expect(outcome.parameters.allSatisfy { $0.isFinite }, "seed \(seed)")
            SimulationTests.expectClosedAccounts(outcome, seed)
        }
    }

    @Test("The same seed gives the same history without rounds too")
    func determinism() throws {
        func run() throws -> SimulatedCluster.Outcome {
            var options = SimulationTests.faultyOptions(3)
            options.settings = Self.flowing(options.settings)
            return try SimulatedCluster(options).run(SimulationTests.faultyIncidents(3))
        }
        #expect(try run().digest == run().digest)
    }

    @Test("T19: a run goes on from its checkpoint, with what momentum waits for")
    func resumed() throws {
        var options = SimulatedCluster.Options()
        options.settings = Self.flowing(SimulationTests.settings(rounds: 16))
        options.settings.observation.checkpointEvery = 5
        options.stepTimes = ["w1": .milliseconds(170)]
        let first = SimulatedCluster(options)
        let whole = try first.run()
        #expect(whole.phase == .finished)
        let kept = first.checkpoints.withLock { $0 }
        let checkpoint = try #require(kept.values.first { $0.record?.version == 10 })
        let records = try #require(checkpoint.record?.modules)
        #expect(records.contains { $0.pushes > 0 } || records.contains { $0.period > 1 })
        options.origin = SimulatedCluster.origin(from: checkpoint)
        let second = SimulatedCluster(options)
        let outcome = try second.run()
        #expect(outcome.phase == .finished)
        #expect(outcome.record?.version == 16)
        let after = Self.pushes(second)
        for (module, record) in records.enumerated() {
            let versions = after.filter { $0.module == module }.map(\.version)
            #expect(versions.first == record.version + 1)
        }
        #expect(outcome.record?.history.points.count == 16)
    }

    /// Workers without gradients push nothings: what then moves is what was kept of momentum.
    ///
    /// Every number is worked out again from the checkpoint, push by push.
    @Test("T19: every module goes on from the numbers that its checkpoint holds, bit for bit")
    func resumedContents() throws {
        var options = SimulatedCluster.Options()
        options.settings = Self.flowing(SimulationTests.settings(rounds: 14))
        options.settings.inner.method = .sgd
        options.settings.asynchronous.adaptsSteps = false
        options.settings.observation.checkpointEvery = 3
        options.faults.delay = .milliseconds(5)...(.milliseconds(60))
        options.stepTimes = ["w1": .milliseconds(170)]
        let first = SimulatedCluster(options)
        _ = try first.run()
        let checkpoint = try #require(
            first.checkpoints.withLock { checkpoints in
                checkpoints.keys.sorted().compactMap { checkpoints[$0] }.first {
                    $0.record?.modules.contains { $0.pushes > 0 } == true
                }
            })
        #expect(checkpoint.pending.contains { $0 != 0 })
        #expect(checkpoint.momentum.contains { $0 != 0 })
        options.origin = SimulatedCluster.origin(from: checkpoint)
        options.idle = ["w0", "w1", "w2"]
        let second = SimulatedCluster(options)
        let outcome = try second.run()
        #expect(outcome.phase == .finished)
        let optimizer = DelayedNesterov(options.settings.outer)
        for (module, record) in (checkpoint.record?.modules ?? []).enumerated() {
            let range = QuadraticObjective.layout.modules[module].range
            var state = DelayedNesterov.State(
                global: FloatBuffer(checkpoint.parameters[range]),
                momentum: FloatBuffer(checkpoint.momentum[range]),
                pending: FloatBuffer(checkpoint.pending[range]), count: record.pushes,
                period: record.period)
            let pushes = Self.pushes(second).filter { $0.module == module }
            #expect(pushes.count > 2 * record.period)
            for push in pushes {
                state =
                    optimizer.push(
                        state, update: DoubleBuffer(count: range.count), factor: push.factor,
                        norm: 0,
                        clip: 1, workers: push.workers
                    ).state
            }
            #expect(Array(outcome.parameters[range]) == state.global.array, "module \(module)")
            #expect(Array(outcome.momentum[range]) == state.momentum.array, "module \(module)")
            #expect(Array(outcome.pending[range]) == state.pending.array, "module \(module)")
        }
    }

    @Test("Stopped, drained or left by all and joined again, a run without rounds ends in order")
    func comingAndGoing() throws {
        var options = SimulatedCluster.Options()
        options.settings = Self.flowing(SimulationTests.settings(rounds: 1000))
        let stopped = try SimulatedCluster(options).run([
            .drain("w1", at: .seconds(2)), .start("w3", incarnation: 1, at: .seconds(3)),
            .stop(at: .seconds(8)),
        ])
        #expect(stopped.phase == .finished)
        #expect(stopped.farewells.first?.hasPrefix("w1: drained") == true)
        #expect(stopped.farewells.count == 4)
        options.settings.rounds.total = 12
        let deserted = try SimulatedCluster(options).run([
            .kill("w0", at: .seconds(2)), .kill("w1", at: .seconds(2)),
            .kill("w2", at: .milliseconds(2100)), .start("w5", incarnation: 1, at: .seconds(40)),
        ])
        #expect(deserted.phase == .finished)
        SimulationTests.expectClosedAccounts(deserted, 0)
    }
}
