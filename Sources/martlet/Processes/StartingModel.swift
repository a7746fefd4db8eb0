import FoundationEssentials
import MoE
import Roles
import Storage
import Tensors

/// The model of a checkpoint folder, with which a run begins.
struct StartingModel: Sendable {
    /// What the run trains: the folder's model, with masks where the run learns them.
    let configuration: ModelConfiguration
    private let checkpoint: Checkpoint
    /// How the folder's tensors are laid out.
    private let stored: ParameterLayout

    /// The folder that the model is from.
    var path: String { checkpoint.path }

    /// Opens the checkpoint that `path` means, for sequences of `sequenceLength` tokens.
    ///
    /// Tensors must be those of the folder's own config.json, be they needed or not; numbers are
    /// not read yet. Throws `StorageError`, `ModelConfigurationError`, or `ConfigurationError` for
    /// sequences that are too long.
    init(path: String, sequenceLength: Int, learnsMasks: Bool) throws {
        checkpoint = try CheckpointStore.resolve(path)
        var configuration = try ModelConfiguration(
            configurationJSON: Data(checkpoint.configuration))
        guard sequenceLength <= configuration.positionsMax else {
            throw ConfigurationError(
                at: nil,
                "model.sequence_length: found \(sequenceLength), allowed is at most "
                    + "\(configuration.positionsMax), the max_position_embeddings of "
                    + "\(checkpoint.path)/config.json")
        }
        stored = configuration.layout
        try checkpoint.check(layout: stored)
        if learnsMasks { configuration.masksExperts = true }
        self.configuration = configuration
    }

    /// The text at `paths`, in the tokens of the model.
    ///
    /// Throws `StorageError`.
    func text(paths: [String], heldOutFraction: Double) throws -> TrainingText {
        try TrainingText.load(
            paths: paths, heldOutFraction: heldOutFraction, for: checkpoint,
            vocabularySize: configuration.vocabularySize)
    }

    /// The numbers of module `module` of version 0, where parameters are laid out as `layout`: the
    /// folder's, zeros for masks that it does not have, and no momentum.
    ///
    /// Throws `StorageError`.
    func contents(of module: Int, _ layout: ParameterLayout) throws -> ModuleContents {
        let count = layout.modules[module].range.count
        let parameters = FloatBuffer(count: count)
        try checkpoint.loadModule(module, layout: layout, storedAs: stored, into: parameters)
        return ModuleContents(parameters: parameters, momentum: FloatBuffer(count: count))
    }
}
