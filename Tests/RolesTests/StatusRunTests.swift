import Cluster
import Distributed
import LocalSGD
import Roles
import Synchronization
import Testing
import Wire

@Suite("Status of a running cluster")
struct StatusRunTests {
    /// Statuses as they were every half second, and how many updates of each module had been taken
    /// up by then.
    private static func statuses(
        _ cluster: SimulatedCluster
    ) throws -> [(status: Martlet_V1_RunStatus, pushes: [Int])] {
        let seen = Mutex<[(status: Martlet_V1_RunStatus, pushes: [Int])]>([])
        let outcome = try cluster.run { simulated in
            while true {
                try await cluster.simulation.sleep(for: .milliseconds(500))
                guard let status = await simulated.coordinator.whenLocal({ $0.status() }) else {
                    return
                }
                let taken = FlowTests.pushes(cluster)
                let pushes = (0..<4).map { module in taken.filter { $0.module == module }.count }
                seen.withLock { $0.append((status, pushes)) }
            }
        }
        #expect(outcome.phase == .finished)
        return seen.withLock { $0 }
    }

    @Test("Without rounds every module is shown at its own version, no older than a heartbeat")
    func ownVersions() throws {
        var options = SimulatedCluster.Options()
        options.settings = FlowTests.flowing(SimulationTests.settings(rounds: 40, warmup: 3))
        options.faults.delay = .milliseconds(5)...(.milliseconds(60))
        options.stepTimes = ["w0": .milliseconds(170), "w1": .milliseconds(40)]
        let seen = try Self.statuses(SimulatedCluster(options))
        let last = try #require(seen.last)
        #expect(last.status.modules.map(\.version) == last.pushes.map { UInt64(3 + $0) })
        let flowing = seen.filter { ($0.pushes.min() ?? 0) > 3 }
        #expect(flowing.count > 8)
        for (before, now) in zip(seen, seen.dropFirst(4)) where (before.pushes.min() ?? 0) > 3 {
            for (module, shown) in now.status.modules.enumerated() {
                // Warm-up steps, and pushes: those of two seconds ago at least, of now at most.
                #expect(shown.version >= UInt64(3 + before.pushes[module]))
                #expect(shown.version <= UInt64(3 + now.pushes[module]))
            }
        }
        #expect(flowing.contains { Set($0.status.modules.map(\.version)).count > 1 })
        #expect(flowing.contains { $0.status.modules[0].version != $0.status.round })
    }

    @Test("Within rounds every module is at the run's version")
    func sharedVersion() throws {
        var options = SimulatedCluster.Options()
        options.settings = SimulationTests.settings(rounds: 12)
        for (status, _) in try Self.statuses(SimulatedCluster(options)) {
            #expect(status.modules.allSatisfy { $0.version == status.round })
        }
    }
}
