import Codec
import LocalSGD
import MoE
import NIOCore
import Synchronization
import Tensors
import Testing

@testable import LocalSGD
@testable import Roles

@Suite("Merging by the radial mean")
struct RadialRunTests {
    private static func radial(_ settings: RunSettings) -> RunSettings {
        var settings = settings
        settings.rounds.merge = .radial
        return settings
    }

    /// The mean length along the mean direction, where there is one.
    private static func mean(_ updates: [[Float]], _ weights: [Double]) -> [Double] {
        func norm(_ values: [Double]) -> Double {
            values.reduce(0) { $0 + $1 * $1 }.squareRoot()
        }
        let norms = updates.map { norm($0.map { Double($0) }) }
        let direction = updates[0].indices.map { index in
            updates.indices.reduce(0.0) { sum, update in
                sum + weights[update] * Double(updates[update][index]) / norms[update]
            }
        }
        let total = weights.reduce(0, +)
        let length = zip(weights, norms).reduce(0.0) { $0 + $1.0 * $1.1 } / total
        let directionNorm = norm(direction)
        return direction.map { length * $0 / directionNorm }
    }

    @Test(
        "T21: a run with rounds that merges by the radial mean learns, and ends elsewhere",
        arguments: [RunMode.edit, .aEdit])
    func learns(mode: RunMode) throws {
        var options = SimulatedCluster.Options()
        options.settings = Self.radial(SimulationTests.settings(rounds: 20))
        if mode == .aEdit { options.settings = TimedRoundTests.timed(options.settings) }
        let outcome = try SimulatedCluster(options).run()
        #expect(outcome.phase == .finished)
        let losses = (outcome.record?.history.points ?? []).compactMap(\.heldOutLoss)
        #expect((losses.last ?? 99) < 0.5 * (losses.first ?? 0))
        options.settings.rounds.merge = .mean
        #expect(try SimulatedCluster(options).run().parameters != outcome.parameters)
    }

    /// A configuration that asks for it is refused.
    @Test("T21: without rounds there is nothing to merge, and the radial mean changes no bit")
    func withoutRounds() throws {
        var options = SimulatedCluster.Options()
        options.settings = FlowTests.flowing(Self.radial(SimulationTests.settings(rounds: 8)))
        let radial = try SimulatedCluster(options).run()
        #expect(radial.phase == .finished)
        options.settings.rounds.merge = .mean
        let mean = try SimulatedCluster(options).run()
        #expect(radial.parameters == mean.parameters)
        #expect(radial.momentum == mean.momentum)
    }

    @Test("T1: one worker's radial mean is its own update: plain AdamW")
    func identity() throws {
        var options = SimulatedCluster.Options()
        options.workers = ["w0"]
        options.settings = Self.radial(
            IdentityTests.settings(rounds: 20, warmup: 4, interval: 5, workers: 1))
        let outcome = try SimulatedCluster(options).run()
        let steps = options.settings.totalSteps
        let plain = IdentityTests.plain(options.settings, steps: steps, batch: 2)
        #expect(outcome.parameters == plain.parameters)
    }

    @Test("T21: a round's update is the radial mean of what each worker learns by itself")
    func cohort() throws {
        var options = SimulatedCluster.Options()
        options.settings = Self.radial(
            IdentityTests.settings(rounds: 1, warmup: 0, interval: 1, workers: 3))
        options.settings.inner.method = .sgd
        options.settings.inner.clipNorm = 0
        options.settings.rounds.weighting = .uniform
        let outcome = try SimulatedCluster(options).run()
        // Sequences 0 and 1 are the first worker's, and so on.
        let width = options.settings.sequenceLength + 1
        let updates = (0..<3).map { worker -> [Float] in
            let objective = QuadraticObjective(sequenceLength: width - 1)
            let parameters = FloatBuffer(IdentityTests.start)
            let gradients = FloatBuffer(count: parameters.count)
            var optimizer = InnerOptimizer(
                options.settings.inner, count: parameters.count,
                totalSteps: options.settings.totalSteps)
            let tokens = [2 * worker, 2 * worker + 1].flatMap {
                [Int32](repeating: Int32($0), count: width)
            }
            _ = objective.gradients(
                of: parameters, tokens: tokens, sequences: 2, masking: .off, into: gradients)
            optimizer.step(parameters, gradients: gradients, scheduleStep: 0)
            return zip(IdentityTests.start, parameters.array).map { $0 - $1 }
        }
        for module in QuadraticObjective.layout.modules {
            let expected = Self.mean(updates.map { Array($0[module.range]) }, [1, 1, 1])
            let size = expected.reduce(0) { $0 + $1 * $1 }.squareRoot()
            let found = module.range.map {
                Double(IdentityTests.start[$0]) - Double(outcome.parameters[$0])
            }
            let error = zip(found, expected).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
            #expect(error.squareRoot() < 1e-4 * size)
        }
    }

    /// A module with two experts, and what `pushes` make of it with these weights.
    static func merged(
        _ pushes: [[Float]], dense: [Double], experts: [[Double]], kind: RoundKind = .local,
        by merge: Merge = .radial, clipNorm: Double = 0
    ) throws -> [Double] {
        var settings = RunSettings()
        settings.rounds.merge = merge
        settings.outer.clipNorm = clipNorm
        settings.outer.learningRate = 1
        settings.outer.momentum = 0
        settings.penalty.learnsClip = false
        settings.inner.method = .sgd
        let anchor = FloatBuffer([8, 8, 8, 8, 8, 8])
        let pieces = [
            PartLayout.Piece(part: .dense, range: 0..<1), .init(part: .expert(0), range: 1..<3),
            .init(part: .expert(1), range: 3..<5), .init(part: .dense, range: 5..<6),
        ]
        var store = ModuleStore(
            ModuleContents(parameters: anchor, momentum: FloatBuffer(count: 6)), version: 0,
            parts: try #require(PartLayout(pieces: pieces)), settings: settings)
        var keys: [PushKey] = []
        for (index, update) in pushes.enumerated() {
            let local = FloatBuffer(zip(anchor.array, update).map { $0 - $1 })
            let pseudoGradient = Update.pseudoGradient(
                PseudoGradient(anchor: anchor, local: local))
            let push = Push(
                contribution: Contribution(
                    key: PushKey(worker: "w\(index)", incarnation: 1, module: 0, sequence: 0),
                    round: 0, kind: kind, baseVersion: 0, steps: 1, tokens: 1,
                    norm: pseudoGradient.norm, codec: "raw", expertTokens: [1, 1]),
                payload: try Codec.raw.encode(
                    kind == .local ? pseudoGradient : .gradient(FloatBuffer(update))))
            let (flaw, norm) = store.examine(push, with: .raw)
            #expect(flaw == nil)
            store.hold(push, norm: norm)
            keys.append(push.contribution.key)
        }
        store.merge(
            ShardState.MergePlan(
                module: 0,
                opening: RoundOpening(
                    round: 0, kind: kind, members: [], scheduleStep: 1000, retainsBase: false),
                weights: zip(keys, dense).map { (key: $0, weight: $1) }, experts: experts))
        return zip(anchor.array, store.current.parameters.array).map { Double($0) - Double($1) }
    }

    @Test(
        "T21: a hand-made cohort: each part by its own norms and weights, cancelling ones by mean")
    func parts() throws {
        // Dense is orthogonal, expert 0 nearly so, expert 1 cancels; the last one weighs nothing.
        let pushes: [[Float]] = [
            [2, 1, 0.5, 1, 2, 0], [0, -0.5, 2, -3, -6, 2], [1, 1, 1, 1, 1, 1],
        ]
        let dense = [0.5, 0.5, 0]
        let experts = [[0.25, 0.75, 0], [0.5, 0.5, 0]]
        let found = try Self.merged(pushes, dense: dense, experts: experts)
        func expected(_ elements: [Int], _ weights: [Double]) -> [Double] {
            Self.mean(pushes.map { push in elements.map { push[$0] } }, weights)
        }
        let (ends, first) = (expected([0, 5], dense), expected([1, 2], experts[0]))
        let wanted = [ends[0], first[0], first[1], -1, -2, ends[1]]
        for (found, wanted) in zip(found, wanted) { #expect(abs(found - wanted) < 1e-6) }
        #expect(abs(ends[0] - 2.0.squareRoot()) < 1e-12)
    }

    @Test("The guard cuts a contribution's length and not its direction; gradients have a mean")
    func guarded() throws {
        let pushes: [[Float]] = [[1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1], [40, 0, 0, 0, 0, 0]]
        let third = 1.0 / 3
        let found = try Self.merged(pushes, dense: [third, third, third], experts: [])
        // Twice the median is 2, so lengths are 1, 1 and 2; directions (2, 1) / 3.
        let length = 4 * third
        #expect(abs(found[0] - length * 2 / 5.0.squareRoot()) < 1e-6)
        #expect(abs(found[5] - length / 5.0.squareRoot()) < 1e-6)
        // A step of the warm-up is a step on the mean gradient.
        let warm = try Self.merged(pushes, dense: [0.5, 0.5, 0], experts: [], kind: .warmup)
        #expect(abs(warm[0] - warm[5]) < 1e-12)
        #expect(warm[0] > 0)
        let alone = try Self.merged([pushes[0]], dense: [1], experts: [], kind: .warmup)
        #expect(abs(alone[0] / warm[0] - 2) < 0.02)
    }
}
