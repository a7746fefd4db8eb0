import Foundation
import LocalSGD
import MoE
import Roles
import Storage
import Tensors
import Testing

@testable import martlet

/// Masks of runs that begin with the model of a checkpoint folder.
extension StartingModelTests {
    private func start(learnsMasks: Bool) throws -> StartingModel {
        try StartingModel(
            path: folder.path("model"), sequenceLength: 16, learnsMasks: learnsMasks)
    }

    /// All parameters of version 0, laid out as the run's model.
    private func parameters(_ start: StartingModel) throws -> [Float] {
        let layout = start.configuration.layout
        return try layout.modules.indices.flatMap {
            try start.contents(of: $0, layout).parameters.array
        }
    }

    @Test("Where masks are learnt and the folder has none, they begin as zeros")
    func newMasksAreZeros() throws {
        let plain = ModelConfiguration.small
        let expected = try folder.write(plain, to: "model")
        #expect(try start(learnsMasks: false).configuration == plain)
        let learning = try start(learnsMasks: true)
        #expect(learning.configuration == plain.masked)
        let found = try parameters(learning)
        var masks = 0
        for tensor in plain.masked.layout.tensors {
            let values = Array(found[tensor.range])
            if let stored = plain.layout.tensor(named: tensor.name) {
                #expect(values == expected[stored.range].array, "\(tensor.name)")
            } else {
                #expect(values == zeros(3 * 8), "\(tensor.name)")
                masks += 1
            }
        }
        #expect(masks == plain.layers)
    }

    @Test("Masks that the folder has are kept, be they learnt on or not", arguments: [false, true])
    func storedMasksAreKept(learnsMasks: Bool) throws {
        let expected = try folder.write(ModelConfiguration.small.masked, to: "model")
        let start = try start(learnsMasks: learnsMasks)
        #expect(start.configuration == ModelConfiguration.small.masked)
        #expect(try parameters(start) == expected.array)
    }

    private func refusal(learnsMasks: Bool) -> String {
        let error = #expect(throws: StorageError.self) { try start(learnsMasks: learnsMasks) }
        #expect(error?.code == .mismatch)
        return error?.message ?? ""
    }

    @Test("Masks that config.json promises must be there", arguments: [false, true])
    func promisedMasksMustBeThere(learnsMasks: Bool) throws {
        let plain = ModelConfiguration.small
        try folder.write(plain.masked, as: plain.layout, to: "model")
        #expect(
            refusal(learnsMasks: learnsMasks)
                == "\(folder.path("model"))/model.safetensors has no tensor "
                + "\"model.layers.0.mlp.mask_router.weight\", of shape [3, 8]; "
                + "\"expert_masks\": true in config.json wants it")
    }

    @Test("Masks of another shape are refused", arguments: [false, true])
    func masksMustHaveTheirShape(learnsMasks: Bool) throws {
        let model = ModelConfiguration.small.masked
        let layout = model.layout
        let turned = ParameterLayout(
            modules: layout.modules.enumerated().map { index, module in
                let tensors = layout.tensors.filter { $0.module == index }.map { tensor in
                    let isMask = tensor.name.hasSuffix(".mask_router.weight")
                    return (name: tensor.name, shape: isMask ? [8, 3] : tensor.shape)
                }
                return (name: module.name, tensors: tensors)
            })
        try folder.write(model, as: turned, to: "model")
        let message = refusal(learnsMasks: learnsMasks)
        #expect(message.contains("tensor \"model.layers.0.mlp.mask_router.weight\""))
        #expect(message.contains("has shape [8, 3], and this model has [3, 8]"))
    }

    /// Shapes are looked at where a run begins, numbers where a module is wanted.
    @Test("Masks that hold no numbers are refused with their module", arguments: [false, true])
    func masksMustBeNumbers(learnsMasks: Bool) throws {
        let model = ModelConfiguration.small.masked
        let layout = model.layout
        let name = "model.layers.1.mlp.mask_router.weight"
        let mask = try #require(layout.tensor(named: name))
        try folder.write(model, to: "model") { $0[mask.range.lowerBound + 5] = .nan }
        let start = try start(learnsMasks: learnsMasks)
        let before = try start.contents(of: mask.module - 1, layout).parameters
        #expect(before.count == layout.modules[mask.module - 1].range.count)
        let error = #expect(throws: StorageError.self) {
            try start.contents(of: mask.module, layout)
        }
        #expect(error?.code == .corrupt)
        #expect(
            error?.message
                == "tensor \"\(name)\" in \(folder.path("model"))/model.safetensors holds "
                + "numbers that are not finite: element 5 is nan")
    }

    @Test("Masks that config.json says nothing of are refused", arguments: [false, true])
    func masksNeedTheirKey(learnsMasks: Bool) throws {
        let plain = ModelConfiguration.small
        try folder.write(plain, as: plain.masked.layout, to: "model")
        let message = refusal(learnsMasks: learnsMasks)
        #expect(message.contains("tensor \"model.layers.0.mlp.mask_router.weight\""))
        #expect(message.contains("config.json does not say \"expert_masks\": true"))
    }

    @Test(
        "Masks are learnt on every family's folder: its numbers, and zeros for masks",
        arguments: ["qwen3_moe", "qwen2_moe", "olmoe", "mixtral", "deepseek_v2"])
    func everyFamilyLearnsMasks(name: String) async throws {
        let path = Self.fixtures.appendingPathComponent(name).path
        let checkpoint = try Checkpoint.open(path)
        let model = try ModelConfiguration(configurationJSON: Data(checkpoint.configuration))
        let stored = FloatBuffer(count: model.layout.count)
        try checkpoint.loadParameters(layout: model.layout, into: stored)
        var learning = configuration(from: path)
        learning.run.masks.training = .maskOnly
        let environment = try environment(learning)
        #expect(environment.layout == model.masked.layout)
        // What the run keeps says that it has masks.
        let kept = try ModelConfiguration(configurationJSON: Data(environment.model.utf8))
        #expect(kept == model.masked)
        let found = try await numbers(environment).parameters
        var masks = 0
        for tensor in environment.layout.tensors {
            let values = Array(found[tensor.range])
            if let place = model.layout.tensor(named: tensor.name) {
                #expect(values == stored[place.range].array, "\(tensor.name)")
            } else {
                #expect(tensor.name.hasSuffix(".mask_router.weight"))
                #expect(values == zeros(model.experts * model.hiddenSize), "\(tensor.name)")
                masks += 1
            }
        }
        #expect(masks == model.expertLayers.count)
    }

    @Test("More live experts than a token chooses are refused by their key")
    func theTargetIsWithinReach() throws {
        try folder.write(.small, to: "model")
        var learning = configuration(from: folder.path("model"))
        learning.run.masks.training = .all
        learning.run.masks.target = 2
        _ = try environment(learning)
        learning.run.masks.target = 2.5
        let error = #expect(throws: ConfigurationError.self) { try environment(learning) }
        #expect(
            error?.description
                == "training.masks.target: found 2.5, allowed is at most 2, the experts that a "
                + "token chooses")
    }
}
