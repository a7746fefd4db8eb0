import Cluster
import LocalSGD
import Roles
import Testing

/// Masks that a whole cluster learns; what they leave is ``QuadraticObjective``'s.
@Suite("Runs that learn masks")
struct MaskRunTests {
    private static func settings(_ mode: RunMode, rounds: Int = 40) -> RunSettings {
        var settings = SimulationTests.settings(rounds: rounds)
        switch mode {
        case .edit: break
        case .aEdit: settings = TimedRoundTests.timed(settings)
        case .asynchronous: settings = FlowTests.flowing(settings)
        }
        settings.masks.training = .all
        settings.masks.coefficient = 0.01
        return settings
    }

    @Test("What masks leave is told round by round, in every mode", arguments: RunMode.allCases)
    func reported(mode: RunMode) throws {
        var options = SimulatedCluster.Options()
        options.settings = Self.settings(mode, rounds: 8)
        options.settings.masks.coefficient = 1
        let outcome = try SimulatedCluster(options).run()
        #expect(outcome.phase == .finished)
        let history = try #require(outcome.record?.history)
        #expect(history.masks?.count == 2)
        #expect(abs((history.activeExperts ?? 0) - 2) < 1e-9)
        #expect(history.emptyShare == 0.125)
        #expect(history.maskCoefficient == 1)
        #expect(history.points.last?.activeExperts == history.activeExperts)
    }

    @Test(
        "The regulariser's weight finds the experts wanted, in every mode",
        arguments: RunMode.allCases)
    func steered(mode: RunMode) throws {
        var options = SimulatedCluster.Options()
        options.settings = Self.settings(mode, rounds: 60)
        options.settings.masks.target = 1
        options.settings.masks.targetRate = 0.3
        let outcome = try SimulatedCluster(options).run()
        #expect(outcome.phase == .finished)
        let history = try #require(outcome.record?.history)
        // 4 / (1 + coefficient) is 1 at 3.
        #expect(abs((history.activeExperts ?? 0) - 1) < 0.1)
        #expect(abs((history.maskCoefficient ?? 0) - 3) < 0.4)
    }

    @Test("Without masks nothing is told of them, and no plan has a weight for them")
    func off() throws {
        var options = SimulatedCluster.Options()
        options.settings = SimulationTests.settings(rounds: 6)
        let history = try #require(try SimulatedCluster(options).run().record?.history)
        #expect(history.masks == nil)
        #expect(history.maskCoefficient == nil)
        #expect(history.points.allSatisfy { $0.activeExperts == nil })
    }
}
