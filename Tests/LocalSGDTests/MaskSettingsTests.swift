import Tensors
import Testing

@testable import LocalSGD

@Suite("How masks are learnt")
struct MaskSettingsTests {
    private static let layout = ParameterLayout(modules: [
        (name: "embedding", tensors: [(name: "model.embed_tokens.weight", shape: [3, 2])]),
        (
            name: "layers.0",
            tensors: [
                (name: "model.layers.0.input_layernorm.weight", shape: [2]),
                (name: "model.layers.0.mlp.gate.weight", shape: [2, 2]),
                (name: "model.layers.0.mlp.mask_router.weight", shape: [2, 2]),
                (name: "model.layers.0.mlp.experts.0.gate_proj.weight", shape: [1, 2]),
                (name: "model.layers.0.mlp.experts.1.gate_proj.weight", shape: [1, 2]),
            ]
        ),
    ])

    @Test("Parts of a layer are told apart by the names of its tensors")
    func parts() {
        let parts = PartLayout(module: 1, of: Self.layout)
        #expect(
            parts.pieces.map(\.part) == [.dense, .router, .masks, .expert(0), .expert(1)])
        #expect(parts.pieces.map(\.range) == [0..<2, 2..<6, 6..<10, 10..<12, 12..<14])
    }

    @Test("What is trained depends on what masks are learnt with")
    func groups() {
        func groups(_ training: MaskSettings.Training) -> [ParameterGroup] {
            var settings = MaskSettings()
            settings.training = training
            settings.rateFactor = 10
            return settings.groups(of: Self.layout)
        }
        let masks = ParameterGroup(range: 12..<16, rateFactor: 10, decays: false)
        #expect(
            groups(.all) == [
                ParameterGroup(range: 0..<12), masks, ParameterGroup(range: 16..<20),
            ])
        #expect(groups(.maskAndRouter) == [ParameterGroup(range: 8..<12), masks])
        #expect(groups(.maskOnly) == [masks])
        // Masks that are not learnt stay as they are.
        #expect(
            groups(.off) == [ParameterGroup(range: 0..<12), ParameterGroup(range: 16..<20)])
    }

    @Test("What trains more than something else is told")
    func trainsMore() {
        let order: [MaskSettings.Training] = [.maskOnly, .maskAndRouter, .all]
        for (place, less) in order.enumerated() {
            for more in order[place...] {
                #expect(!less.trainsMore(than: more))
                #expect(more.trainsMore(than: less) == (more != less))
            }
        }
        #expect(MaskSettings.Training.off.trainsMore(than: .maskAndRouter))
        #expect(!MaskSettings.Training.off.trainsMore(than: .all))
        #expect(MaskSettings.Training.all.trainsMore(than: .off))
    }

    /// A shard server trains a module by itself, and a worker the whole model.
    @Test("The groups of a module are those of the model, neighbours put together")
    func groupsOfModules() {
        let start = Self.layout.modules[1].range.lowerBound
        for training in MaskSettings.Training.allCases {
            var settings = MaskSettings()
            settings.training = training
            settings.rateFactor = 10
            let moved = settings.groups(of: PartLayout(module: 1, of: Self.layout)).map { group in
                var group = group
                group.range =
                    start + group.range.lowerBound..<start + group.range.upperBound
                return group
            }
            // Of the group that goes on from the module before, the part that is here.
            let expected = settings.groups(of: Self.layout).map { group in
                var group = group
                group.range = max(start, group.range.lowerBound)..<group.range.upperBound
                return group
            }
            #expect(moved == expected, "\(training)")
        }
    }

    @Test("What is not trained stays, has no say in the norm, and a factor is a factor")
    func optimizer() {
        var settings = InnerSettings()
        settings.warmupSteps = 0
        settings.finalFraction = 1
        settings.learningRate = 0.1
        settings.clipNorm = 5
        settings.weightDecay = 0.5
        var optimizer = InnerOptimizer(
            settings, count: 6, totalSteps: 10,
            groups: [
                ParameterGroup(range: 1..<2),
                ParameterGroup(range: 3..<5, rateFactor: 2, decays: false),
            ])
        let parameters = FloatBuffer([1, 1, 1, 1, 1, 1])
        let gradients = FloatBuffer([1e9, 3, 1e9, 4, 0, 1e9])
        #expect(optimizer.clip(gradients) == 5)
        #expect(gradients.array == [0, 3, 0, 4, 0, 0])
        optimizer.step(parameters, gradients: gradients, scheduleStep: 0)
        let found = parameters.array
        #expect([found[0], found[2], found[5]] == [1, 1, 1])
        // AdamW's first step is the rate, against the gradient's sign, and decay.
        #expect(abs(found[1] - (1 - 0.1 - 0.1 * 0.5)) < 1e-6)
        #expect(abs(found[3] - (1 - 0.2)) < 1e-6)
        #expect(found[4] == 1)
    }

    @Test("The regulariser waits, and the bias fades")
    func stabilisers() {
        var settings = MaskSettings()
        settings.delay = 10
        settings.bias = 2
        settings.biasSteps = 4
        #expect(settings.coefficient(0.5, atStep: 9) == 0)
        #expect(settings.coefficient(0.5, atStep: 10) == 0.5)
        #expect((0...5).map { settings.bias(atStep: $0) } == [2, 1.5, 1, 0.5, 0, 0])
        // There is nothing to steer before both are over.
        #expect(!settings.isSteered(atStep: 10))
        settings.target = 2
        #expect([0, 4, 9, 10, 11].map { settings.isSteered(atStep: $0) }.count { $0 } == 2)
        settings.delay = 0
        #expect((0...5).map { settings.isSteered(atStep: $0) }.count { $0 } == 2)
    }

    @Test("Too many experts raise the weight, too few lower it, within bounds")
    func steering() {
        var settings = MaskSettings()
        #expect(settings.steered(0.1, active: 4) == 0.1)
        settings.target = 2
        settings.targetRate = 0.5
        #expect(settings.steered(0.1, active: 2) == 0.1)
        #expect(abs(settings.steered(0.1, active: 4) - 0.1 * 2.718_281_828) < 1e-8)
        #expect(settings.steered(0.1, active: 0) < 0.1)
        #expect(settings.steered(0.1, active: 4, share: 0.5) < settings.steered(0.1, active: 4))
        #expect(settings.steered(999, active: 40) == MaskSettings.coefficientBounds.upperBound)
        #expect(settings.steered(1e-6, active: 0) == MaskSettings.coefficientBounds.lowerBound)
        #expect(settings.steered(0.1, active: .nan) == 0.1)
    }

    @Test("What is told of another number of layers than the model has counts for nothing")
    func foreignLayers() {
        func report(layers: Int, live: Int) -> RoundReport {
            var tally = MaskTally()
            tally.tokens = 4
            tally.live = live
            return RoundReport(
                round: 1, steps: 1, tokens: 4, lossSum: 1, accepted: 1, rejected: 0,
                masks: [MaskTally](repeating: tally, count: layers))
        }
        var settings = RunSettings()
        settings.masks.training = .all
        settings.masks.target = 1
        var state = CoordinatorState(
            settings: settings, moduleSizes: [4, 4, 4, 4], shardCount: 1, heldOutSequences: 0,
            maskLayers: 2)
        state.reports[1] = ["a": report(layers: 3, live: 0), "b": report(layers: 0, live: 0)]
        state.noteMasks(ofRound: 1)
        #expect(state.history.masks == nil)
        #expect(state.maskCoefficient == settings.masks.coefficient)
        state.reports[1] = [
            "a": report(layers: 2, live: 8), "b": report(layers: 3, live: 0),
            "c": report(layers: 2, live: 4),
        ]
        state.noteMasks(ofRound: 1)
        #expect(state.history.masks?.map(\.active) == [1.5, 1.5])
        #expect(state.maskCoefficient > settings.masks.coefficient)
    }
}
