import Cluster
import LocalSGD
import Roles
import Synchronization
import Tensors
import Testing

@testable import Codec
@testable import Roles

/// A worker's state is kept where no update is on its way: one whose end nobody has told yet would
/// be kept as if it counted.
@Suite("Kept residuals")
struct KeptResidualTests {
    /// Short rounds over long lines that lose calls, with deadlines that some pushes miss.
    private func options(_ mode: RunMode, seed: UInt64) -> SimulatedCluster.Options {
        var options = CodedPullTests.options("topk/512", rounds: 24, mode)
        options.seed = seed
        options.settings.codec = "topk"
        options.settings.overlap.steps = 3
        options.settings.rounds.quorum = 0.5
        options.settings.rounds.deadlineSeconds = 2
        options.settings.observation.checkpointEvery = 1
        options.stepTimes = ["w1": .milliseconds(250)]
        options.faults.loss = 0.01
        options.faults.duplication = 0.05
        options.faults.delay = .milliseconds(60)...(.milliseconds(240))
        return options
    }

    /// What is found wherever state is kept.
    private struct Findings: Sendable {
        var saves = 0
        /// Modules of kept state that had an update on its way.
        var unsettled: [String] = []
        /// Kept state that is not what its worker goes on from.
        var others: [String] = []
        /// Saves of a worker that had trained on since its push.
        var ahead = 0
    }

    @Test(
        "No state is kept while an update is unsettled, in any mode, with steps ahead",
        arguments: RunMode.allCases)
    func settled(mode: RunMode) throws {
        var findings = Findings()
        for seed in 1...6 as ClosedRange<UInt64> {
            let noted = Mutex(Findings())
            var options = options(mode, seed: seed)
            options.whenSaved = { name, state, trainer in
                let found = await trainer.compare(state)
                noted.withLock { noted in
                    noted.saves += 1
                    noted.ahead += found.isAhead ? 1 : 0
                    if found.unsettled > 0 { noted.unsettled.append(name) }
                    if !found.isSame { noted.others.append(name) }
                }
            }
            let outcome = try SimulatedCluster(options).run([
                .kill("w2", at: .seconds(3)), .start("w2", incarnation: 2, at: .seconds(5)),
            ])
            #expect(outcome.phase == .finished, "seed \(seed)")
            noted.withLock {
                findings.saves += $0.saves
                findings.ahead += $0.ahead
                findings.unsettled += $0.unsettled
                findings.others += $0.others
            }
        }
        #expect(findings.saves > 60 && findings.ahead > 10, "\(findings)")
        #expect(findings.unsettled.isEmpty && findings.others.isEmpty, "\(findings)")
    }
}

extension LocalTrainer {
    /// How `state`, just kept, stands to what this trainer goes on from.
    fileprivate func compare(
        _ state: SavedOptimizer
    ) -> (unsettled: Int, isSame: Bool, isAhead: Bool) {
        var isSame = true
        for (index, module) in layout.modules.enumerated() {
            guard let feedback = feedback[index] else { continue }
            isSame = isSame && state.residual?[module.range].array == feedback.residual.array
        }
        let unsettled = feedback.values.filter { !$0.isSettled }.count
        return (unsettled, isSame, settled != nil)
    }
}
