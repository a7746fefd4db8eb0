import Cluster
import LocalSGD
import Roles
import Synchronization
import Testing

@Suite("Rounds by time")
struct TimedRoundTests {
    /// Rounds that last half a step less than `interval` steps of 100 ms, so that exactly as many
    /// are begun.
    static func timed(_ settings: RunSettings) -> RunSettings {
        var settings = settings
        settings.mode = .aEdit
        settings.rounds.syncSeconds = (Double(settings.rounds.syncInterval) - 0.5) * 0.1
        return settings
    }

    static func closings(_ cluster: SimulatedCluster) -> [RoundClosing] {
        cluster.decisions.withLock { decisions in
            decisions.compactMap { if case .report(let closing) = $0 { closing } else { nil } }
        }
    }

    static func merges(_ cluster: SimulatedCluster) -> [ShardState.MergePlan] {
        cluster.decisions.withLock { decisions in
            decisions.compactMap { if case .merge(let plan) = $0 { plan } else { nil } }
        }
    }

    @Test("T17: equal speeds are mode edit bit for bit, with as many steps as fit the time")
    func t17EqualSpeeds() throws {
        var options = SimulatedCluster.Options()
        options.settings = SimulationTests.settings(rounds: 12)
        options.settings.observation.evaluateEvery = 0
        let fixed = try SimulatedCluster(options).run()
        options.settings = Self.timed(options.settings)
        let timed = try SimulatedCluster(options).run()
        #expect(timed.phase == .finished)
        #expect(timed.parameters == fixed.parameters)
        #expect(timed.momentum == fixed.momentum)
        #expect(timed.record?.version == 12)
        #expect(timed.record?.ledger == fixed.record?.ledger)
    }

    @Test("T17: at speeds 1:2:4 steps are 1:2:4, nobody is stale, and idles for one slow step")
    func t17Speeds() throws {
        var options = SimulatedCluster.Options()
        options.settings = SimulationTests.settings(rounds: 8, warmup: 1)
        options.settings.observation.evaluateEvery = 0
        options.settings.mode = .aEdit
        options.settings.rounds.syncInterval = 20
        options.settings.rounds.syncSeconds = 3.95
        options.faults.delay = .microseconds(100)...(.microseconds(200))
        options.stepTimes = ["w0": .milliseconds(400), "w1": .milliseconds(200)]
        let cluster = SimulatedCluster(options)
        let outcome = try cluster.run()
        #expect(outcome.phase == .finished)
        let rounds = Self.closings(cluster).filter { $0.round > 0 }
        #expect(rounds.count >= 12)
        for closing in rounds {
            #expect(closing.steps == ["w0": 10, "w1": 20, "w2": 40])
            #expect(Set(closing.applied.keys) == ["w0", "w1", "w2"])
        }
        let points = outcome.record?.history.points.map(\.seconds) ?? []
        for (before, after) in zip(points.dropFirst(), points.dropFirst(2)) {
            #expect(after - before < 3.95 + 0.4 + 0.05)
        }
    }

    @Test("T17: every sequence is used once, although nobody knows how many a round takes")
    func t17Leases() throws {
        var options = SimulatedCluster.Options()
        options.settings = Self.timed(SimulationTests.settings(rounds: 10))
        options.settings.rounds.syncSeconds = 1.3
        options.stepTimes = ["w0": .milliseconds(370), "w1": .milliseconds(45)]
        let outcome = try SimulatedCluster(options).run()
        #expect(outcome.phase == .finished)
        SimulationTests.expectClosedAccounts(outcome, 0)
        // A faster worker's unused rest goes to others: there are no gaps but at the end.
        let ledger = try #require(outcome.record?.ledger)
        #expect(ledger.returned.count <= 3)
    }

    @Test("A round is extended while all steps together are too few, and never begun again")
    func extended() throws {
        var options = SimulatedCluster.Options()
        options.settings = Self.timed(SimulationTests.settings(rounds: 6))
        options.settings.observation.evaluateEvery = 0
        options.settings.rounds.minimumSteps = 30
        let cluster = SimulatedCluster(options)
        let outcome = try cluster.run()
        #expect(outcome.phase == .finished)
        let rounds = Self.closings(cluster).filter { $0.round > 1 }
        #expect(!rounds.isEmpty)
        for closing in rounds {
            let total = closing.steps.values.reduce(0, +)
            #expect(total >= 28 && total <= 45, "\(closing.steps)")
        }
    }

    /// Sixteen steps a round are ten too many in the second.
    @Test("The last round lasts as long as the steps that are left", arguments: [0, 3])
    func lastRound(stepsAhead: Int) throws {
        var options = SimulatedCluster.Options()
        options.settings = Self.timed(SimulationTests.settings(rounds: 8))
        options.settings.rounds.syncSeconds = 1.55
        options.settings.overlap.steps = stepsAhead
        options.stepTimes = ["w1": .milliseconds(200)]
        let cluster = SimulatedCluster(options)
        let outcome = try cluster.run()
        #expect(outcome.phase == .finished)
        let steps = try #require(outcome.record?.history.position)
        let wanted = Double(options.settings.totalSteps)
        #expect(wanted == 26)
        #expect(steps >= wanted && steps < wanted + 1 + Double(stepsAhead), "\(steps)")
        SimulationTests.expectClosedAccounts(outcome, 0)
    }

    @Test("T1: one worker in rounds by time is plain AdamW", arguments: [1, 10, 40])
    func t1(interval: Int) throws {
        var options = SimulatedCluster.Options()
        options.workers = ["w0"]
        // The tokens of 40 steps come in less than half a step.
        options.faults.delay = .microseconds(100)...(.microseconds(200))
        options.settings = Self.timed(
            IdentityTests.settings(
                rounds: 200 / interval, warmup: 0, interval: interval, workers: 1))
        let cluster = SimulatedCluster(options)
        try IdentityTests.expectPlain(cluster, cluster.run())
    }

    /// Late tokens leave a round fewer steps, so there are more rounds, and the last one may end
    /// past the last step.
    @Test("T1: the same with duplicated and reordered calls, however long rounds are then")
    func t1Unreliable() throws {
        var options = SimulatedCluster.Options()
        options.workers = ["w0"]
        options.settings = Self.timed(
            IdentityTests.settings(rounds: 29, warmup: 20, interval: 20, workers: 1))
        options.faults.duplication = 0.5
        options.faults.delay = .milliseconds(1)...(.milliseconds(300))
        options.limit = .seconds(3600)
        let cluster = SimulatedCluster(options)
        let outcome = try cluster.run()
        let steps = try #require(outcome.record?.history.steps)
        #expect(steps >= 200)
        try IdentityTests.expectPlain(cluster, outcome, steps: steps)
    }

    @Test("T1: the same with a checkpoint and a restart in the middle", arguments: [3, 5, 12])
    func t1Resumed(stopAfter: Int) throws {
        var options = SimulatedCluster.Options()
        options.workers = ["w0"]
        options.faults.delay = .microseconds(100)...(.microseconds(200))
        options.settings = Self.timed(
            IdentityTests.settings(rounds: 44, warmup: 5, interval: 5, workers: 1))
        try IdentityTests.expectPlainResumed(options, after: stopAfter)
    }

    @Test("T10: 1, 2 or 5 shard servers give the same bits in rounds by time")
    func t10() throws {
        func result(_ shards: Int) throws -> SimulatedCluster.Outcome {
            var options = SimulatedCluster.Options()
            options.shards = shards
            options.settings = Self.timed(SimulationTests.settings(rounds: 20))
            options.settings.observation.evaluateEvery = 0
            return try SimulatedCluster(options).run()
        }
        let one = try result(1)
        for shards in [2, 5] {
            let other = try result(shards)
            #expect(other.parameters == one.parameters)
            #expect(other.momentum == one.momentum)
        }
    }

    @Test(
        "T18: 4, then 2, then 6 workers; the weights of every round sum to 1",
        arguments: [RunMode.edit, .aEdit])
    func t18Elastic(mode: RunMode) throws {
        var options = SimulatedCluster.Options()
        options.workers = ["w0", "w1", "w2", "w3"]
        options.settings = SimulationTests.settings(rounds: 40)
        if mode == .aEdit { options.settings = Self.timed(options.settings) }
        options.settings.rounds.minimumWorkers = 4
        let cluster = SimulatedCluster(options)
        let outcome = try cluster.run([
            .kill("w1", at: .seconds(3)), .drain("w3", at: .milliseconds(3500)),
            .start("w4", incarnation: 1, at: .seconds(6)),
            .start("w5", incarnation: 1, at: .seconds(6)),
            .start("w6", incarnation: 1, at: .seconds(7)),
            .start("w7", incarnation: 1, at: .seconds(7)),
        ])
        #expect(outcome.phase == .finished)
        let plans = Self.merges(cluster).filter { $0.module == 0 }
        // One round after the other, each with as many as there are then.
        #expect(plans.map(\.opening.round) == Array(0..<plans.count))
        let sizes = plans.map(\.weights.count)
        let smallest = try #require(sizes.firstIndex(of: 2))
        let largest = try #require(sizes.firstIndex(of: 6))
        #expect(sizes[..<smallest].allSatisfy { $0 >= 2 && $0 <= 4 } && sizes[0] == 4)
        #expect(smallest < largest && sizes[smallest..<largest].allSatisfy { $0 >= 2 })
        #expect(sizes[largest...].allSatisfy { $0 == 6 } && sizes.count > largest + 4)
        for plan in Self.merges(cluster) {
            #expect(abs(plan.weights.reduce(0) { $0 + $1.weight } - 1) < 1e-12)
            // A newcomer weighs nothing, whoever has been there something.
            for (member, weighed) in zip(plan.opening.members, plan.weights)
            where plan.weights.count == plan.opening.members.count {
                #expect(member.isObserving == (weighed.weight == 0), "round \(plan.opening.round)")
            }
        }
        SimulationTests.expectClosedAccounts(outcome, 0)
    }

    /// Rounds are as long in all of these runs, so that what happens to one happens in the middle
    /// of a certain round.
    @Test(
        "T18: a joiner's first round, and a round left in the middle, are as if it were not there",
        arguments: [RunMode.edit, .aEdit])
    func t18AsIfNotThere(mode: RunMode) throws {
        var options = SimulatedCluster.Options()
        options.settings = SimulationTests.settings(rounds: 12)
        if mode == .aEdit { options.settings = Self.timed(options.settings) }
        options.settings.observation.evaluateEvery = 0
        options.settings.observation.checkpointEvery = 1
        let without = SimulatedCluster(options)
        let ends = try #require(try without.run().record?.history.points.map(\.seconds))
        func middle(of round: Int) -> Duration { .seconds((ends[round - 1] + ends[round]) / 2) }
        let joined = SimulatedCluster(options)
        _ = try joined.run([.start("w9", incarnation: 1, at: middle(of: 5))])
        let first = try #require(
            Self.merges(joined).first { $0.weights.contains { $0.key.worker == "w9" } })
        #expect(first.opening.round == 6)
        #expect(first.weights.last?.weight == 0)
        func parameters(_ cluster: SimulatedCluster, _ version: UInt64) -> [Float]? {
            cluster.checkpoints.withLock { $0[version]?.parameters }
        }
        #expect(parameters(joined, 7) != nil)
        #expect(parameters(joined, 7) == parameters(without, 7))
        #expect(parameters(joined, 8) != parameters(without, 8))
        // The killed one is in the round that the drained one has left before.
        let killed = SimulatedCluster(options)
        _ = try killed.run([.kill("w2", at: middle(of: 5))])
        let last = try #require(
            Self.merges(killed).first { !$0.weights.contains { $0.key.worker == "w2" } })
        #expect(last.opening.round == 5)
        #expect(last.opening.members.count == 3)
        let drained = SimulatedCluster(options)
        _ = try drained.run([.drain("w2", at: middle(of: 4))])
        #expect(parameters(killed, 6) != nil)
        #expect(parameters(killed, 6) == parameters(drained, 6))
        #expect(parameters(killed, 6) != parameters(without, 6))
    }
}
