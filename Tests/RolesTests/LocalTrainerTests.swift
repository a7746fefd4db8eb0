import LocalSGD
import Tensors
import Testing

@testable import Roles

/// What a trainer that goes on after a push tells of the round it has pushed, and of the next.
@Suite("A trainer that goes on")
struct LocalTrainerTests {
    private func trainer() -> LocalTrainer {
        LocalTrainer(settings: SimulationTests.settings()) {
            QuadraticObjective(sequenceLength: 4, layout: QuadraticObjective.expertLayout)
        }
    }

    /// Two sequences of four tokens: one for each expert.
    private let tokens = [[Int32](repeating: 3, count: 5), [Int32](repeating: 4, count: 5)]
        .flatMap { $0 }

    @Test("The tokens of an expert are those of the round's own steps")
    func expertTokens() async throws {
        let trainer = trainer()
        for _ in 0..<3 { _ = try await trainer.step(tokens: tokens, scheduleStep: 10) {} }
        _ = await trainer.closeRound(goesOn: true)
        _ = try await trainer.step(tokens: tokens, scheduleStep: 10) {}
        #expect(await trainer.expertTokens(of: 1) == [12, 12])
        _ = await trainer.closeRound(goesOn: true)
        #expect(await trainer.expertTokens(of: 1) == [4, 4])
    }

    /// The computation reads the local parameters for as long as the step takes.
    @Test("What arrives while a step is computed moves nothing that the step reads")
    func arrival() async throws {
        let trainer = trainer()
        let range = trainer.layout.modules[1].range
        _ = try await trainer.step(tokens: tokens, scheduleStep: 10) {}
        _ = await trainer.closeRound(goesOn: true)
        let pushed = await trainer.inspect().local
        let next = FloatBuffer((0..<range.count).map { Float($0) })
        _ = try await trainer.step(tokens: tokens, scheduleStep: 10) {
            await trainer.adopt(next, module: 1)
            #expect(await trainer.inspect().local == pushed)
            #expect(await trainer.anchor[range].array == next.array)
        }
        // There, and the step on top of it.
        let local = await trainer.inspect().local[range]
        let moved = zip(local, next.array).map { abs($0 - $1) }
        #expect(moved.allSatisfy { $0 < 0.2 } && moved.contains { $0 > 0 })
    }

    @Test("Progress that is dropped leaves the anchor, the next version and no tokens")
    func dropped() async throws {
        let trainer = trainer()
        _ = try await trainer.step(tokens: tokens, scheduleStep: 10) {}
        _ = await trainer.closeRound(goesOn: true)
        _ = try await trainer.step(tokens: tokens, scheduleStep: 10) {}
        _ = await trainer.dropProgress()
        #expect(await trainer.inspect().local == trainer.anchor.array)
        let count = trainer.layout.modules[1].range.count
        let next = FloatBuffer((0..<count).map { Float($0) })
        await trainer.adopt(next, module: 1)
        let local = await trainer.inspect().local
        #expect(Array(local[trainer.layout.modules[1].range]) == next.array)
        _ = await trainer.closeRound(goesOn: false)
        #expect(await trainer.expertTokens(of: 1).allSatisfy { $0 == 0 })
    }
}
