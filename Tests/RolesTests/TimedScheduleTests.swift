import Cluster
import LocalSGD
import Roles
import Synchronization
import Testing

@Suite("Rounds by time under faults")
struct TimedScheduleTests {
    @Test(
        "T16: seeds of faults, each twice with equal traces; each contribution is merged once",
        arguments: Schedules.parts)
    func t16Faults(part: Int) throws {
        for seed in Schedules.seeds(of: part) {
            var options = SimulationTests.faultyOptions(seed)
            options.settings = TimedRoundTests.timed(options.settings)
            let cluster = SimulatedCluster(options)
            let incidents = SimulationTests.faultyIncidents(seed)
            let outcome: SimulatedCluster.Outcome
            let second: SimulatedCluster.Outcome
            do {
                outcome = try cluster.run(incidents)
                second = try SimulatedCluster(options).run(incidents)
            } catch {
                Issue.record("seed \(seed) does not come to an end: \(error)")
                continue
            }
            #expect(outcome.phase == .finished, "seed \(seed) ends as \(outcome.phase)")
            #expect(outcome.digest == second.digest, "seed \(seed) has two histories")
            #expect(outcome.parameters == second.parameters, "seed \(seed)")
            #expect(outcome.parameters.allSatisfy { $0.isFinite }, "seed \(seed)")
            SimulationTests.expectClosedAccounts(outcome, seed)
            expectMergedOnce(cluster, outcome, seed)
        }
    }

    /// Every version of every module has one merge, and no contribution is in two.
    private func expectMergedOnce(
        _ cluster: SimulatedCluster, _ outcome: SimulatedCluster.Outcome, _ seed: UInt64
    ) {
        let merges = TimedRoundTests.merges(cluster)
        let keys = merges.flatMap { $0.weights.map(\.key) }
        #expect(Set(keys).count == keys.count, "seed \(seed)")
        for module in 0..<4 {
            let rounds = merges.filter { $0.module == module }.map(\.opening.round)
            #expect(rounds == Array(0..<rounds.count), "seed \(seed)")
            #expect(outcome.record?.version == UInt64(rounds.count), "seed \(seed)")
            #expect(
                outcome.record?.modules[module].version == UInt64(rounds.count), "seed \(seed)")
        }
        for plan in merges {
            let sum = plan.weights.reduce(0) { $0 + $1.weight }
            #expect(plan.weights.isEmpty || abs(sum - 1) < 1e-12, "seed \(seed)")
            let members = Set(plan.opening.members.map(\.worker))
            #expect(members.isSuperset(of: plan.weights.map(\.key.worker)), "seed \(seed)")
        }
    }

    /// Delays that leave room for the steps of a calm round.
    @Test("T16: duplicated, reordered and delayed calls end where a calm network does")
    func t16ScheduleIndependent() throws {
        func parameters(_ seed: UInt64?) throws -> [Float] {
            var options = SimulatedCluster.Options()
            options.settings = TimedRoundTests.timed(SimulationTests.settings(rounds: 8))
            options.settings.observation.evaluateEvery = 0
            options.faults.delay = .microseconds(100)...(.microseconds(200))
            if let seed {
                var generator = SeededGenerator(seed: seed)
                options.seed = seed
                options.faults.duplication = 0.4 * generator.unit()
                options.faults.delay = .microseconds(100)...(.milliseconds(5))
            }
            return try SimulatedCluster(options).run().parameters
        }
        let calm = try parameters(nil)
        for seed in 1...40 as ClosedRange<UInt64> {
            #expect(try parameters(seed) == calm, "seed \(seed)")
        }
    }

    /// Its part of the measurement takes it longer over its slow line than a round lasts.
    @Test("A worker without a single step says so, holds nobody up, weighs nothing and adopts")
    func nullPush() throws {
        var options = SimulatedCluster.Options()
        options.settings = TimedRoundTests.timed(SimulationTests.settings(rounds: 8, warmup: 1))
        options.settings.rounds.minimumSteps = 0
        options.settings.observation.evaluateEvery = 1
        options.settings.observation.checkpointEvery = 1
        options.inspects = true
        let cluster = SimulatedCluster(options)
        cluster.network.connect(
            NodeID(role: .worker, name: "w2"), by: SimulatedLink(latency: .milliseconds(200)))
        let outcome = try cluster.run()
        #expect(outcome.phase == .finished)
        let closings = TimedRoundTests.closings(cluster).filter { $0.round > 0 }
        #expect(closings.count > 16)
        for closing in closings {
            #expect(closing.steps["w2"] == 0)
            #expect((closing.steps["w0"] ?? 0) > 0 && (closing.steps["w1"] ?? 0) > 0)
            #expect(closing.applied.keys.sorted() == ["w0", "w1"])
        }
        for plan in TimedRoundTests.merges(cluster) where plan.opening.round > 0 {
            #expect(plan.weights.map(\.key.worker) == ["w0", "w1", "w2"])
            #expect(plan.weights[2].weight == 0)
            #expect(abs(plan.weights.reduce(0) { $0 + $1.weight } - 1) < 1e-12)
        }
        // It has every version that is made without it.
        let versions = UInt64(2)..<(outcome.record?.version ?? 0)
        #expect(versions.count > 8)
        for version in versions {
            let replica = cluster.replicas.withLock { $0["w2/\(version)"] }
            let global = cluster.checkpoints.withLock { $0[version]?.parameters }
            #expect(replica != nil && replica == global, "version \(version)")
        }
        // Nobody waits for the deadline of 30 s, and what it was lent goes to others.
        let times = outcome.record?.history.points.map(\.seconds) ?? []
        #expect(zip(times, times.dropFirst()).allSatisfy { $1 - $0 < 5 })
        #expect(outcome.record?.history.missedContributions == 0)
        SimulationTests.expectClosedAccounts(outcome, 0)
    }
}
