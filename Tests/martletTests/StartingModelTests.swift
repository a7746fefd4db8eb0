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
    static let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    static let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("Fixtures")

    let folder: ModelFolders

    init() throws { folder = try ModelFolders() }

    /// A run with the model at `model`.
    func configuration(from model: String) -> RunConfiguration {
        var configuration = RunConfiguration()
        configuration.folder = folder.path("run")
        configuration.corpus = [folder.path("text.txt")]
        configuration.model.from = model
        configuration.run.sequenceLength = 16
        return configuration
    }

    func environment(
        _ configuration: RunConfiguration, resumes: Bool = false
    ) throws -> CoordinatorEnvironment {
        try RunBeginning(configuration, resumes: resumes, logger: Self.quiet)
            .environment(clock: MonotonicClock(), logger: Self.quiet)
    }

    /// All parameters and all momentum of the version that the run begins with.
    func numbers(
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

    func zeros(_ count: Int) -> [Float] { Array(repeating: 0, count: count) }

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

    @Test(
        "A resume learns masks if the run did, and says which key to set", arguments: [false, true])
    func aResumeWantsTheSameMasks(hadMasks: Bool) async throws {
        try folder.write(.small, to: "model")
        var before = configuration(from: folder.path("model"))
        if hadMasks { before.run.masks.training = .all }
        try await keep(environment(before))
        #expect(try environment(before, resumes: true).origin.version == 3)
        var after = before
        after.run.masks.training = hadMasks ? .off : .all
        let error = #expect(throws: StorageError.self) { try environment(after, resumes: true) }
        #expect(error?.code == .mismatch)
        #expect(
            error?.message
                == "\(folder.path("run"))/checkpoints/checkpoint-000003 is of a model "
                + "\(hadMasks ? "with" : "without") expert masks; set training.masks.training as "
                + "it was, or begin a new run with model.from")
    }

    /// Momentum of what was trained before would move it on.
    @Test(
        "A resume trains at least what the run did, or says which key to set",
        arguments: [MaskSettings.Training.off, .all])
    func aResumeTrainsTheSame(training: MaskSettings.Training) async throws {
        var model = ModelConfiguration.small
        model.masksExperts = true
        try folder.write(model, to: "model")
        var before = configuration(from: folder.path("model"))
        before.run.masks.training = training
        try await keep(environment(before))
        var after = before
        after.run.masks.training = .all
        #expect(try environment(after, resumes: true).origin.version == 3)
        after.run.masks.training = .maskOnly
        let error = #expect(throws: StorageError.self) { try environment(after, resumes: true) }
        #expect(error?.code == .mismatch)
        #expect(
            error?.message
                == "\(folder.path("run"))/checkpoints/checkpoint-000003 is of a run that trained "
                + "parts which mask-only leaves alone; set training.masks.training as it was, "
                + "or begin a new run with model.from")
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
