import Cluster
import FoundationEssentials
import LocalSGD
import Logging
import MoE
import Roles
import Storage
import Tensors

/// Where a run begins: its text, its model, and fresh or kept parameters.
///
/// All that can be wrong with them is found here, before any other process is bothered.
struct RunBeginning {
    private let configuration: RunConfiguration
    private let model: ModelConfiguration
    private let modelJSON: [UInt8]
    private let layout: ParameterLayout
    private let text: TrainingText
    private let tokens: TokenSource
    private let store: CheckpointStore
    /// The folder whose model the run begins with, if it is not fresh.
    private let start: StartingModel?
    private let checkpoint: Checkpoint?
    private let record: RunRecord?

    init(_ configuration: RunConfiguration, resumes: Bool, logger: Logger) throws {
        self.configuration = configuration
        start = try configuration.modelFolder.map {
            try StartingModel(
                path: $0, sequenceLength: configuration.run.sequenceLength,
                learnsMasks: configuration.learnsMasks)
        }
        if let start {
            text = try start.text(
                paths: configuration.corpus, heldOutFraction: configuration.heldOutFraction)
            model = start.configuration
        } else {
            text = try TrainingText.load(
                paths: configuration.corpus, heldOutFraction: configuration.heldOutFraction)
            model = try configuration.modelConfiguration(for: text)
        }
        modelJSON = Array(try model.configurationJSON())
        layout = model.layout
        tokens = try text.source(
            sequenceLength: configuration.run.sequenceLength, seed: configuration.run.seed)
        logger.notice("\(text.summary)")
        store = CheckpointStore(path: configuration.runFolder + "/checkpoints")
        try store.removePartials()
        (checkpoint, record) = resumes ? try Self.newest(in: store, logger) : (nil, nil)
        try check()
    }

    /// The newest checkpoint that is whole, and the run's own record in it.
    private static func newest(
        in store: CheckpointStore, _ logger: Logger
    ) throws -> (Checkpoint?, RunRecord?) {
        let (checkpoint, refused) = try store.newest()
        for flaw in refused { logger.warning("passing over a checkpoint: \(flaw)") }
        guard let checkpoint else {
            throw refused.first
                ?? StorageError(.missing, "there is no checkpoint to resume from in \(store.path)")
        }
        do {
            return (checkpoint, try RunRecord(json: Data(checkpoint.run())))
        } catch let error as DecodingError {
            throw StorageError(
                .corrupt, "the run record of \(checkpoint.path) does not parse", cause: error)
        }
    }

    /// Refuses more live experts than a token can have, and to go on with another model or other
    /// text than the checkpoint's.
    private func check() throws {
        let (target, chosen) = (configuration.run.masks.target, model.expertsPerToken)
        guard !configuration.learnsMasks || target <= Double(chosen) else {
            throw ConfigurationError(
                at: nil,
                "training.masks.target: found \(plain(target)), allowed is at most \(chosen), the "
                    + "experts that a token chooses")
        }
        guard let checkpoint, let record else { return }
        try checkMasks(of: checkpoint, record.settings.masks)
        guard checkpoint.configuration == modelJSON else {
            throw StorageError(
                .mismatch,
                "\(checkpoint.path) is of another model than "
                    + (start.map { "\($0.path); set model.from as it was" }
                        ?? "the configuration; set the model's keys as they were"))
        }
        guard try checkpoint.tokenizer().fileBytes == text.tokenizerBytes else {
            throw StorageError(
                .mismatch,
                "the tokenizer of \(checkpoint.path) is not the one of the text; "
                    + "give the same --corpus, or start a new run")
        }
        guard record.corpus == tokens.fingerprint else {
            throw StorageError(
                .mismatch,
                "the text is not what \(checkpoint.path) was trained on; "
                    + "give the same --corpus, or start a new run")
        }
    }

    /// Refuses to go on with a model that is the checkpoint's but for its masks, or to leave alone
    /// what the run has trained: momentum would move it on.
    private func checkMasks(of checkpoint: Checkpoint, _ masks: MaskSettings) throws {
        var other = model
        other.masksExperts.toggle()
        let found: String
        if checkpoint.configuration == Array(try other.configurationJSON()) {
            found = "a model \(other.masksExperts ? "with" : "without") expert masks"
        } else if masks.training.trainsMore(than: configuration.run.masks.training) {
            found =
                "a run that trained parts which \(configuration.run.masks.training.rawValue) "
                + "leaves alone"
        } else {
            return
        }
        throw StorageError(
            .mismatch,
            "\(checkpoint.path) is of \(found); set training.masks.training as it was, or begin a "
                + "new run with model.from")
    }

    /// What the coordinator needs of it.
    func environment(clock: any ClusterClock, logger: Logger) -> CoordinatorEnvironment {
        let tokens = tokens
        return CoordinatorEnvironment(
            runID: record?.runID ?? UUID().uuidString.lowercased(), runName: configuration.name,
            settings: configuration.run, model: String(decoding: modelJSON, as: UTF8.self),
            layout: layout, shardCount: configuration.cluster.shards, clock: clock, logger: logger,
            sequences: .init(
                fingerprint: tokens.fingerprint, heldOutCount: tokens.heldOutCount,
                training: { $0.runs.flatMap { tokens.sequences($0) } },
                heldOut: { tokens.heldOutSequences($0) }),
            origin: origin, keeper: keeper(logger))
    }

    // MARK: Parameters

    private var origin: CoordinatorEnvironment.Origin {
        guard let checkpoint, let record else {
            let (model, layout, seed) = (model, layout, configuration.run.seed)
            if let start { return .init { try start.contents(of: $0, layout) } }
            return .init { module in
                let count = layout.modules[module].range.count
                let fresh = FloatBuffer(count: count)
                model.initialize(module: module, in: fresh, layout: layout, seed: seed)
                return ModuleContents(parameters: fresh, momentum: FloatBuffer(count: count))
            }
        }
        let layout = layout
        return .init(
            version: Int(record.version), ledger: record.ledger, history: record.history,
            checkpoint: checkpoint.path
        ) { module in
            var contents = try Self.contents(of: module, in: checkpoint, layout)
            contents.record = record.modules.indices.contains(module) ? record.modules[module] : nil
            return contents
        }
    }

    private static func contents(
        of module: Int, in checkpoint: Checkpoint, _ layout: ParameterLayout
    ) throws -> ModuleContents {
        let count = layout.modules[module].range.count
        func read(_ state: ResumeState) throws -> FloatBuffer {
            let values = FloatBuffer(count: count)
            try checkpoint.loadResumeState(state, module: module, layout: layout, into: values)
            return values
        }
        let parameters = FloatBuffer(count: count)
        try checkpoint.loadModule(module, layout: layout, into: parameters)
        var contents = ModuleContents(
            parameters: parameters, momentum: try read(.outerMomentum))
        if try checkpoint.resumeStates().contains(.pendingUpdate) {
            contents.pending = try read(.pendingUpdate)
        }
        if try checkpoint.resumeStates().contains(.shadow) {
            contents.shadow = try read(.shadow)
        }
        if try checkpoint.resumeStates().contains(.firstMoment) {
            contents.moments = .init(
                first: try read(.firstMoment), second: try read(.secondMoment))
        }
        return contents
    }

    private func keeper(_ logger: Logger) -> CoordinatorEnvironment.Keeper {
        let documents = CheckpointDocuments(
            configuration: modelJSON, contextLength: model.positionsMax, text: text)
        let (store, layout, kept) = (store, layout, configuration.checkpointsKept)
        return .init { version in
            CheckpointInProgress(
                version: version, store: store, layout: layout, documents: documents, kept: kept,
                logger: logger)
        }
    }
}

/// A checkpoint being written, module by module.
private actor CheckpointInProgress: KeptVersion {
    private let version: UInt64
    private let store: CheckpointStore
    private let layout: ParameterLayout
    private let documents: CheckpointDocuments
    private let kept: Int
    private let logger: Logger
    /// Made with the first module, which shows what there is to keep.
    private var writer: CheckpointWriter?

    init(
        version: UInt64, store: CheckpointStore, layout: ParameterLayout,
        documents: CheckpointDocuments, kept: Int, logger: Logger
    ) {
        self.version = version
        self.store = store
        self.layout = layout
        self.documents = documents
        self.kept = kept
        self.logger = logger
    }

    func append(module: Int, _ contents: ModuleContents) throws {
        var states: [(ResumeState, FloatBuffer)] = [(.outerMomentum, contents.momentum)]
        if let moments = contents.moments {
            states += [(.firstMoment, moments.first), (.secondMoment, moments.second)]
        }
        // All modules of a file have the same states, also one that nobody has pushed to yet.
        if let pending = contents.pending { states.append((.pendingUpdate, pending)) }
        if let shadow = contents.shadow { states.append((.shadow, shadow)) }
        let writer =
            try self.writer
            ?? store.begin(version, layout: layout, documents: documents, resume: states.map(\.0))
        self.writer = writer
        try writer.append(
            module: module, parameters: contents.parameters, resume: states.map(\.1))
    }

    func finish(_ record: RunRecord) throws -> String {
        guard let writer else { throw StorageError(.corrupt, "a checkpoint without modules") }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        let path = try writer.finish(run: Array(encoder.encode(record)))
        self.writer = nil
        do { _ = try store.prune(keeping: kept) } catch {
            // The new checkpoint is safe; the old ones only take space.
            logger.warning("old checkpoints are not removed: \(error)")
        }
        return path
    }

    /// What was written stays under its partial name, which the next start removes.
    func abandon() { writer = nil }
}
