import Cluster
import LocalSGD
import MoE
import NIOCore
import Synchronization
import Tensors
import Testing
import Wire

@testable import Roles

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

    /// The usual modules, the first layer with a router, a mask router and two experts.
    static let layout = ParameterLayout(modules: [
        (name: "embedding", tensors: [(name: "embedding.weight", shape: [40])]),
        (
            name: "layers.0",
            tensors: [
                (name: "layers.0.mlp.gate.weight", shape: [14]),
                (name: "layers.0.mlp.mask_router.weight", shape: [14]),
                (name: "layers.0.mlp.experts.0.weight", shape: [18]),
                (name: "layers.0.mlp.experts.1.weight", shape: [18]),
            ]
        ),
        (name: "layers.1", tensors: [(name: "layers.1.weight", shape: [33])]),
        (name: "head", tensors: [(name: "head.weight", shape: [7])]),
    ])

    /// The last codec sends half of all numbers: more than there are that move.
    @Test(
        "What is not trained keeps its bits, in every mode and with every codec",
        arguments: RunMode.allCases, ["raw", "int4", "fp4/plain", "topk/2048"])
    func untrained(mode: RunMode, codec: String) throws {
        let start = Self.layout.modules.indices.flatMap {
            QuadraticObjective.start($0, of: Self.layout)
        }
        for training in [MaskSettings.Training.maskAndRouter, .maskOnly] {
            var options = SimulatedCluster.Options()
            options.layout = Self.layout
            options.settings = Self.settings(mode, rounds: 8)
            options.settings.masks.training = training
            options.settings.codec = codec
            options.settings.outer.learningRate = 1
            options.settings.outer.momentum = 0
            let outcome = try SimulatedCluster(options).run()
            #expect(outcome.phase == .finished)
            for tensor in Self.layout.tensors {
                let isMask = tensor.name.hasSuffix(".mask_router.weight")
                let isRouter = tensor.name.hasSuffix(".gate.weight")
                let isTrained = isMask || isRouter && training == .maskAndRouter
                let isSame = outcome.parameters[tensor.range] == start[tensor.range]
                #expect(isSame != isTrained, "\(training): \(tensor.name)")
            }
        }
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

    /// Otherwise it would have grown by the time from which on it is felt.
    @Test("While the regulariser waits, its weight stays as it is", arguments: RunMode.allCases)
    func unsteered(mode: RunMode) throws {
        var options = SimulatedCluster.Options()
        options.settings = Self.settings(mode, rounds: 8)
        options.settings.masks.target = 1
        options.settings.masks.delay = 1_000_000
        let history = try #require(try SimulatedCluster(options).run().record?.history)
        #expect(history.activeExperts == 4)
        #expect(history.maskCoefficient == 0.01)
    }

    @Test(
        "A resumed run goes on with the weight that it was steered to, or with the one now given",
        arguments: RunMode.allCases)
    func resumed(mode: RunMode) throws {
        var options = SimulatedCluster.Options()
        options.settings = Self.settings(mode, rounds: 60)
        options.settings.masks.target = 1
        options.settings.masks.targetRate = 0.3
        options.settings.observation.checkpointEvery = 29
        let first = SimulatedCluster(options)
        _ = try first.run()
        let versions = first.checkpoints.withLock { $0.keys.filter { $0 < 60 }.sorted() }
        // Shortly before the end: from the weight set, it would not get there any more.
        let last = try #require(versions.last)
        #expect(last > 55)
        let second = try #require(first.resumed(from: last))
        let steered = try #require(try second.run().record?.history)
        #expect(abs((steered.maskCoefficient ?? 0) - 3) < 0.4)

        let early = try #require(versions.first)
        let checkpoint = try #require(first.checkpoints.withLock { $0[early] })
        #expect(checkpoint.record?.history.maskCoefficient ?? 0 > 1)
        options.origin = SimulatedCluster.origin(from: checkpoint)
        options.settings.masks.target = 0
        options.settings.masks.coefficient = 0.5
        let given = try #require(try SimulatedCluster(options).run().record?.history)
        #expect(given.maskCoefficient == 0.5)
        // 4 / (1 + 0.5)
        #expect(abs((given.activeExperts ?? 0) - 8.0 / 3) < 0.1)
    }

    @Test(
        "A model with masks is measured as it is trained: with them only if they are learnt",
        arguments: MaskSettings.Training.allCases)
    func measured(training: MaskSettings.Training) async throws {
        let (model, parameters) = Self.modelWithMasks
        var settings = SimulationTests.settings()
        settings.masks.training = training
        settings.rounds.batchSize = 2
        let trainer = LocalTrainer(settings: settings) { [settings] in
            TransformerObjective<Float>(
                configuration: model, batch: 2, sequenceLength: settings.sequenceLength)
        }
        for (index, module) in model.layout.modules.enumerated() {
            await trainer.adopt(parameters[module.range], module: index)
        }
        let width = settings.sequenceLength + 1
        let tokens = (0..<2 * width).map { Int32($0 * $0 % 7) }
        let measured = await trainer.evaluate(tokens: tokens)
        func loss(_ masking: Masking) -> Double {
            Transformer<Float>(configuration: model, batch: 2, sequence: width - 1)
                .loss(of: parameters, tokens: tokens, masking: masking).crossEntropySum
        }
        let (plain, masked) = (loss(.off), loss(Masking(.skipping)))
        #expect(measured.sum == (training == .off ? plain : masked))
        // Forward passes of a step and of a measurement add up in orders of their own.
        let trained = try await trainer.step(tokens: tokens, scheduleStep: 0) {}
        #expect(abs(trained.loss.sum - measured.sum) < 0.1 * abs(plain - masked))
    }

    /// A small model whose masks, drawn at random, close about half of the slots.
    private static var modelWithMasks: (ModelConfiguration, FloatBuffer) {
        var model = ModelConfiguration(
            vocabularySize: 8, hiddenSize: 8, layers: 2, heads: 2, keyValueHeads: 2, headWidth: 4,
            experts: 4, expertsPerToken: 2, expertHiddenSize: 8, positionsMax: 16)
        model.initializerRange = 0.5
        model.masksExperts = true
        let parameters = model.initialParameters(seed: 5)
        var generator = SeededGenerator(seed: 6)
        for tensor in model.layout.tensors where tensor.name.hasSuffix("mask_router.weight") {
            for index in tensor.range { parameters[index] = Float(2 * generator.unit() - 1) }
        }
        return (model, parameters)
    }

    /// A run of that model, from fresh weights.
    private static func ofTransformer(
        _ mode: RunMode, _ codec: String
    ) -> SimulatedCluster.Options {
        var options = SimulatedCluster.Options()
        let model = modelWithMasks.0
        options.model = model
        options.layout = model.layout
        options.settings = settings(mode, rounds: 10)
        options.settings.codec = codec
        options.settings.outer.learningRate = 1
        options.settings.outer.momentum = 0
        options.settings.masks.coefficient = 3
        return options
    }

    @Test(
        "A transformer learns masks in a whole cluster, in every mode, coded or not",
        arguments: RunMode.allCases, ["raw", "int4", "topk/512"])
    func transformer(mode: RunMode, codec: String) throws {
        let options = Self.ofTransformer(mode, codec)
        let outcome = try SimulatedCluster(options).run()
        #expect(outcome.phase == .finished)
        let areFinite = outcome.parameters.allSatisfy { $0.isFinite }
        #expect(areFinite)
        let history = try #require(outcome.record?.history)
        let layers = try #require(history.masks)
        #expect(layers.count == 2)
        for layer in layers {
            #expect((0...2).contains(layer.active) && (0...1).contains(layer.empty))
        }
        // All live at first, and a regulariser as strong as that closes some.
        let active = history.points.compactMap(\.activeExperts)
        #expect((active.min() ?? 2) < 1.5)
        #expect(history.points.contains { $0.heldOutLoss?.isFinite == true })
        for tensor in options.layout.tensors where tensor.name.hasSuffix(".mask_router.weight") {
            #expect(outcome.parameters[tensor.range].contains { $0 != 0 }, "\(tensor.name)")
        }
    }

    @Test("A run of a transformer that learns masks has the same bits when it is resumed")
    func resumedTransformer() throws {
        var options = Self.ofTransformer(.edit, "raw")
        options.settings.observation.checkpointEvery = 5
        // Over between two checkpoints.
        options.settings.masks.delay = 18
        options.settings.masks.bias = 0.5
        options.settings.masks.biasSteps = 25
        let first = SimulatedCluster(options)
        let whole = try first.run()
        let second = try #require(first.resumed(from: 5))
        let outcome = try second.run()
        #expect(outcome.record?.version == 10 && whole.record?.version == 10)
        #expect(outcome.parameters == whole.parameters)
        #expect(outcome.momentum == whole.momentum)
        #expect(outcome.record?.history.masks == whole.record?.history.masks)
        // The masks are felt.
        options.settings.masks.coefficient = 0
        #expect(try SimulatedCluster(options).run().parameters != whole.parameters)
    }

    @Test("A run that steers its regulariser has the same bits if resumed, from any version")
    func resumedSteering() throws {
        var options = Self.ofTransformer(.edit, "raw")
        options.settings.observation.checkpointEvery = 1
        options.settings.masks.target = 1
        options.settings.masks.targetRate = 1
        options.settings.masks.coefficient = 0.3
        let first = SimulatedCluster(options)
        let whole = try first.run()
        let history = try #require(whole.record?.history)
        for version in first.checkpoints.withLock({ $0.keys.sorted() }) where version < 10 {
            let outcome = try #require(first.resumed(from: version)).run()
            #expect(outcome.record?.version == 10)
            #expect(outcome.parameters == whole.parameters, "from \(version)")
            #expect(outcome.record?.history.maskCoefficient == history.maskCoefficient)
            #expect(outcome.record?.history.masks == history.masks)
            #expect(outcome.record?.history.masksAhead == history.masksAhead)
        }
        #expect(first.checkpoints.withLock { $0.count } > 5)
        // What is steered is felt.
        options.settings.masks.target = 0
        #expect(try SimulatedCluster(options).run().parameters != whole.parameters)
    }

    @Test("A steered run that has ended goes on for more rounds as if it had not")
    func extendedSteering() throws {
        var options = Self.ofTransformer(.edit, "raw")
        options.settings.masks.target = 1
        options.settings.masks.targetRate = 1
        options.settings.inner.finalFraction = 1
        let whole = try SimulatedCluster(options).run()
        options.settings.rounds.total = 6
        let first = SimulatedCluster(options)
        _ = try first.run()
        let second = try #require(first.resumed(from: 6, rounds: 10))
        #expect(second.saved.withLock { $0.count } == 3)
        let outcome = try second.run()
        #expect(outcome.record?.version == 10)
        #expect(outcome.parameters == whole.parameters)
        #expect(outcome.record?.history.maskCoefficient == whole.record?.history.maskCoefficient)
    }

    @Test("Counts that no round can have are refused, so that no sum of them overflows")
    func hostileCounts() throws {
        func received(tokens: Int, live: Int, empty: Int) throws -> RoundReport? {
            var tally = MaskTally()
            tally.tokens = tokens
            tally.live = live
            tally.empty = empty
            let report = RoundReport(
                round: 1, steps: 1, tokens: 8, lossSum: 1, accepted: 1, rejected: 0,
                masks: [tally])
            let message = AskRequest(incarnation: 1, report: report).message
            return try AskRequest(message, bulk: ByteBuffer()).report
        }
        #expect(try received(tokens: 8, live: 20, empty: 1)?.masks.first?.live == 20)
        #expect(throws: WireError.self) { try received(tokens: 1 << 56, live: 0, empty: 0) }
        #expect(throws: WireError.self) { try received(tokens: 8, live: 1 << 56, empty: 0) }
        #expect(throws: WireError.self) { try received(tokens: 8, live: 0, empty: 9) }
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
