import Cluster
import Foundation
import LocalSGD
import Logging
import MoE
import Roles
import Storage
import Tensors
import Testing

@testable import martlet

/// Runs that begin with the model of a checkpoint folder.
@Suite struct StartingModelTests {
    private static let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    private static let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("Fixtures")

    private let folder: ModelFolders

    init() throws { folder = try ModelFolders() }

    /// A run with the model at `model`.
    private func configuration(from model: String) -> RunConfiguration {
        var configuration = RunConfiguration()
        configuration.folder = folder.path("run")
        configuration.corpus = [folder.path("text.txt")]
        configuration.model.from = model
        configuration.run.sequenceLength = 16
        return configuration
    }

    private func environment(
        _ configuration: RunConfiguration, resumes: Bool = false
    ) throws -> CoordinatorEnvironment {
        try RunBeginning(configuration, resumes: resumes, logger: Self.quiet)
            .environment(clock: MonotonicClock(), logger: Self.quiet)
    }

    /// All parameters and all momentum of the version that the run begins with.
    private func numbers(
        _ environment: CoordinatorEnvironment
    ) async throws -> (parameters: [Float], momentum: [Float]) {
        var (parameters, momentum): ([Float], [Float]) = ([], [])
        for module in environment.layout.modules.indices {
            let contents = try await environment.origin.module(module)
            parameters += contents.parameters.array
            momentum += contents.momentum.array
        }
        return (parameters, momentum)
    }

    private func zeros(_ count: Int) -> [Float] { Array(repeating: 0, count: count) }

    // MARK: The beginning

    @Test(
        "A run begins with exactly the folder's parameters, in whatever type they are stored",
        arguments: [ScalarType.float32, .bfloat16, .float16])
    func itBeginsWithTheFoldersParameters(type: ScalarType) async throws {
        let model = ModelConfiguration.small
        let expected = try folder.write(model, type: type, to: "model")
        let environment = try environment(configuration(from: folder.path("model")))
        #expect(environment.layout == model.layout)
        #expect(try environment.model == String(decoding: model.configurationJSON(), as: UTF8.self))
        #expect(environment.origin.version == 0 && environment.origin.checkpoint == nil)
        let (parameters, momentum) = try await numbers(environment)
        #expect(parameters == expected.array)
        #expect(momentum == zeros(expected.count))
        let first = try await environment.origin.module(0)
        #expect(first.moments == nil && first.pending == nil && first.shadow == nil)
        #expect(first.record == nil)
    }

    @Test(
        "Every family's folder is a beginning, and reads the text with its own tokenizer",
        arguments: ["qwen3_moe", "qwen2_moe", "olmoe", "mixtral", "deepseek_v2"])
    func everyFamilyIsABeginning(name: String) async throws {
        let path = Self.fixtures.appendingPathComponent(name).path
        let checkpoint = try Checkpoint.open(path)
        let model = try ModelConfiguration(configurationJSON: Data(checkpoint.configuration))
        let environment = try environment(configuration(from: path))
        let found = try ModelConfiguration(configurationJSON: Data(environment.model.utf8))
        #expect(found == model)
        let expected = FloatBuffer(count: model.layout.count)
        try checkpoint.loadParameters(layout: model.layout, into: expected)
        #expect(try await numbers(environment).parameters == expected.array)
        // As bytes, 17 tokens would be 17 letters.
        let tokens = try environment.sequences.heldOut(0..<1)
        let text = try checkpoint.tokenizer().decode(tokens)
        #expect(tokens.count == 17 && text.utf8.count > 17)
        #expect(ModelFolders.text.contains(text))
    }

    @Test("Sequences longer than the model's are refused by their key")
    func longSequencesAreRefused() throws {
        try folder.write(.small, to: "model")
        var configuration = configuration(from: folder.path("model"))
        configuration.run.sequenceLength = 33
        let error = #expect(throws: ConfigurationError.self) { try environment(configuration) }
        #expect(
            error?.description
                == "model.sequence_length: found 33, allowed is at most 32, the "
                + "max_position_embeddings of \(folder.path("model"))/config.json")
    }

    @Test("A folder that is not there is named")
    func aMissingFolderIsNamed() throws {
        let error = #expect(throws: StorageError.self) {
            try environment(configuration(from: folder.path("none")))
        }
        #expect(error?.message == "there is no checkpoint folder at \(folder.path("none"))")
    }

    // MARK: Masks

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

    // MARK: Going on

    /// Keeps version 3 of the run, in which every parameter is 0.5 and all momentum 0.25.
    private func keep(_ environment: CoordinatorEnvironment) async throws {
        let kept = try await environment.keeper.begin(3)
        for (index, module) in environment.layout.modules.enumerated() {
            let contents = ModuleContents(
                parameters: FloatBuffer(count: module.range.count),
                momentum: FloatBuffer(count: module.range.count))
            contents.parameters.fill(0.5)
            contents.momentum.fill(0.25)
            try await kept.append(module: index, contents)
        }
        _ = try await kept.finish(
            RunRecord(
                runID: environment.runID, runName: environment.runName, version: 3,
                settings: environment.settings, ledger: Ledger(), history: RunHistory(),
                corpus: environment.sequences.fingerprint))
    }

    @Test("A resumed run goes on with its own checkpoint, not with the folder again")
    func aResumeGoesOnWithItsOwn() async throws {
        let count = try folder.write(.small, to: "model").count
        let configuration = configuration(from: folder.path("model"))
        try await keep(environment(configuration))
        let resumed = try environment(configuration, resumes: true)
        #expect(resumed.origin.version == 3)
        let (parameters, momentum) = try await numbers(resumed)
        #expect(parameters == Array(repeating: 0.5, count: count))
        #expect(momentum == Array(repeating: 0.25, count: count))
    }

    @Test("A resume wants the same model from the folder as before")
    func aResumeWantsTheSameModel() async throws {
        try folder.write(.small, to: "model")
        try await keep(environment(configuration(from: folder.path("model"))))
        var other = ModelConfiguration.small
        other.ropeTheta = 5_000
        try folder.write(other, to: "other")
        let error = #expect(throws: StorageError.self) {
            try environment(configuration(from: folder.path("other")), resumes: true)
        }
        #expect(error?.code == .mismatch)
        #expect(
            error?.message
                == "\(folder.path("run"))/checkpoints/checkpoint-000003 is of another model than "
                + "\(folder.path("other")); set model.from as it was")
    }

    @Test("What a run has kept is itself a beginning")
    func aCheckpointIsABeginning() async throws {
        let count = try folder.write(.small, to: "model").count
        try await keep(environment(configuration(from: folder.path("model"))))
        var next = configuration(from: folder.path("run/checkpoints"))
        next.folder = folder.path("next")
        let environment = try environment(next)
        #expect(environment.origin.version == 0)
        let (parameters, momentum) = try await numbers(environment)
        #expect(parameters == Array(repeating: 0.5, count: count))
        #expect(momentum == zeros(count))
    }
}

/// A folder for models and runs, with a text for them; it goes with the test.
private final class ModelFolders: Sendable {
    static let text = String(
        repeating: "The martlet flies over the sea, and over the other. ", count: 200)

    private let base = NSTemporaryDirectory() + "martlet-start-" + UUID().uuidString

    init() throws {
        try FileManager.default.createDirectory(
            atPath: base, withIntermediateDirectories: true)
        try Data(Self.text.utf8).write(to: URL(fileURLWithPath: path("text.txt")))
    }

    deinit { try? FileManager.default.removeItem(atPath: base) }

    func path(_ name: String) -> String { "\(base)/\(name)" }

    /// Writes a folder without a tokenizer, whose config.json describes `model`, and whose tensors
    /// are laid out `as` the model's, unless told otherwise; returns their numbers, which all types
    /// hold exactly.
    ///
    /// `change` may give it others.
    @discardableResult
    func write(
        _ model: ModelConfiguration, as layout: ParameterLayout? = nil,
        type: ScalarType = .float32, to name: String, change: (FloatBuffer) -> Void = { _ in }
    ) throws -> FloatBuffer {
        let layout = layout ?? model.layout
        let parameters = FloatBuffer((0..<layout.count).map { Float($0 % 127) / 16 - 4 })
        change(parameters)
        try ModelFolder.write(
            parameters, layout: layout,
            documents: [("config.json", Array(try model.configurationJSON()))],
            format: WeightFormat(type: type), to: path(name))
        return parameters
    }
}

extension ModelConfiguration {
    /// Two layers of three experts, eight wide, which know all bytes.
    fileprivate static var small: ModelConfiguration {
        ModelConfiguration(
            vocabularySize: 264, hiddenSize: 8, layers: 2, heads: 2, keyValueHeads: 1,
            headWidth: 4, experts: 3, expertsPerToken: 2, expertHiddenSize: 5, positionsMax: 32)
    }

    fileprivate var masked: ModelConfiguration {
        var model = self
        model.masksExperts = true
        return model
    }
}
