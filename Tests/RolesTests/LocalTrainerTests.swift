import LocalSGD
import NIOCore
import Tensors
import Testing

@testable import Codec
@testable import Roles

/// What a trainer that goes on after a push tells of the round it has pushed, and of the next.
@Suite("A trainer that goes on")
struct LocalTrainerTests {
    private func trainer(_ mix: OverlapSettings.Mix = .rebase) -> LocalTrainer {
        var settings = SimulationTests.settings()
        settings.overlap.mix = mix
        return LocalTrainer(settings: settings) {
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

    @Test(
        "An expert that saw no token is not sent, and what was left unsaid of it stays",
        arguments: ["raw", "int8/plain", "topk/512"])
    func untouchedExperts(name: String) async throws {
        var settings = SimulationTests.settings()
        settings.codec = name
        let codec = try #require(Codec(name: name))
        let trainer = LocalTrainer(settings: settings) {
            QuadraticObjective(sequenceLength: 4, layout: QuadraticObjective.expertLayout)
        }
        // Both sequences go to expert 0.
        let one = [[Int32](repeating: 3, count: 5), [Int32](repeating: 5, count: 5)].flatMap { $0 }
        _ = try await trainer.step(tokens: one, scheduleStep: 10) {}
        _ = await trainer.closeRound(goesOn: false)
        let module = trainer.layout.modules[1]
        let parts = PartLayout(module: 1, of: trainer.layout)
        let untouched = try #require(parts.pieces.first { $0.part == .expert(1) }).range
        let local = FloatBuffer(await trainer.inspect().local)[module.range]
        let left = FloatBuffer((0..<trainer.layout.count).map { Float($0) / 8 })
        await trainer.restoreResidual(left)

        let payload = await trainer.encodedUpdate(of: 1, plan(20), with: codec)
        let touched = TouchedRanges(
            parts, kind: .local, expertTokens: await trainer.expertTokens(of: 1))
        #expect(touched.count == module.range.count - untouched.count)
        let sent = DoubleBuffer(count: touched.count)
        let anchor = await trainer.anchor[module.range]
        try codec.accumulate(
            payload, kind: .local, anchor: touched.gathered(anchor), weight: 1, into: sent)
        #expect(sent.array.contains { $0 != 0 })

        guard codec.keepsResidual else { return }
        let before = left[module.range]
        await trainer.settle(1, .late(current: 21))
        let missed = try #require(await trainer.keptResidual)[module.range]
        #expect(missed[untouched].array == before[untouched].array)
        // All of the update is left to say, and most of what was left before.
        for place in touched.ranges.flatMap({ Array($0) }) {
            let whole = 0.95 * before[place] + anchor[place] - local[place]
            #expect(abs(missed[place] - whole) < 1e-4)
        }
        _ = await trainer.encodedUpdate(of: 1, plan(21), with: codec)
        await trainer.settle(1, .accepted)
        let applied = try #require(await trainer.keptResidual)[module.range]
        #expect(applied[untouched].array == before[untouched].array)
        #expect(applied.array != missed.array)
    }

    @Test("Where masks alone are trained they alone are sent, of 64 numbers 14")
    func untrainedParts() async throws {
        var settings = SimulationTests.settings()
        settings.masks.training = .maskOnly
        let trainer = LocalTrainer(settings: settings) {
            QuadraticObjective(sequenceLength: 4, layout: MaskRunTests.layout)
        }
        _ = try await trainer.step(tokens: tokens, scheduleStep: 10) {}
        _ = await trainer.closeRound(goesOn: false)
        let layer = await trainer.encodedUpdate(of: 1, plan(20), with: .raw)
        #expect(layer.readableBytes == 4 * 14)
        // Of a module without masks, all of it, which has not moved.
        let embedding = await trainer.encodedUpdate(of: 0, plan(20), with: .raw)
        #expect(embedding.readableBytes == 4 * 40)
        let norms = await trainer.norms(.local)
        #expect(norms.map { $0 > 0 } == [false, true, false, false])
    }

    private func plan(_ round: Int) -> RoundPlan {
        RoundPlan(
            round: round, kind: .local, baseVersion: UInt64(round), steps: 1, scheduleStep: 10,
            lease: Lease(runs: []), evaluation: nil, savesState: false)
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

    /// What was pushed is not taken out: the next update has half of it again.
    @Test("With mix alpha local parameters go halfway to what arrives; the rest is still to push")
    func alpha() async throws {
        let trainer = trainer(.alpha)
        let range = trainer.layout.modules[1].range
        _ = try await trainer.step(tokens: tokens, scheduleStep: 10) {}
        _ = await trainer.closeRound(goesOn: true)
        _ = try await trainer.step(tokens: tokens, scheduleStep: 10) {}
        let before = await trainer.inspect().local
        let next = FloatBuffer((0..<range.count).map { Float($0) / 3 })
        await trainer.adopt(next, module: 1)
        let after = await trainer.inspect().local
        let halfway = zip(before[range], next.array).map { Float((Double($0) + Double($1)) / 2) }
        #expect(Array(after[range]) == halfway)
        #expect(after[range.upperBound...] == before[range.upperBound...])
        #expect(await trainer.anchor[range].array == next.array)
        _ = await trainer.closeRound(goesOn: false)
        let norm = zip(next.array, before[range]).reduce(0.0) { sum, pair in
            let half = (Double(pair.0) - Double(pair.1)) / 2
            return sum + half * half
        }.squareRoot()
        let norms = await trainer.norms(.local)
        #expect(norm > 0)
        #expect(abs(norms[1] / norm - 1) < 1e-6)
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
