package import Cluster
package import LocalSGD
package import Logging
package import Tensors

/// All that the coordinator needs from the outside; the composition root makes it.
package struct CoordinatorEnvironment: Sendable {
    package var runID: String
    package var runName: String
    package var settings: RunSettings
    /// The model's config.json.
    package var model: String
    package var layout: ParameterLayout
    package var shardCount: Int
    /// Where this coordinator is reached, for the status.
    package var address: Address?
    package var clock: any ClusterClock
    package var logger: Logger
    package var sequences: SequenceSource
    /// What the global parameters start from.
    package var origin: Origin
    package var keeper: Keeper
    /// Silence of a connection that is forgiven before a node counts as lost.
    package var disconnectPatience: Duration = .seconds(2)
    /// Time between two signs of life of a node.
    package var heartbeat: Duration = .seconds(1)

    package init(
        runID: String, runName: String, settings: RunSettings, model: String,
        layout: ParameterLayout, shardCount: Int, clock: any ClusterClock, logger: Logger,
        sequences: SequenceSource, origin: Origin, keeper: Keeper
    ) {
        self.runID = runID
        self.runName = runName
        self.settings = settings
        self.model = model
        self.layout = layout
        self.shardCount = shardCount
        self.clock = clock
        self.logger = logger
        self.sequences = sequences
        self.origin = origin
        self.keeper = keeper
    }

    /// The tokens of the run.
    package struct SequenceSource: Sendable {
        /// Stands for the text and how it is cut; a resume needs the same.
        package var fingerprint: UInt64
        /// Held-out sequences there are.
        package var heldOutCount: Int
        /// Tokens of the sequences of a lease, each one token longer than the model's input.
        package var training: @Sendable (Lease) throws -> [Int32]
        package var heldOut: @Sendable (Range<Int>) throws -> [Int32]

        package init(
            fingerprint: UInt64, heldOutCount: Int,
            training: @escaping @Sendable (Lease) throws -> [Int32],
            heldOut: @escaping @Sendable (Range<Int>) throws -> [Int32]
        ) {
            self.fingerprint = fingerprint
            self.heldOutCount = heldOutCount
            self.training = training
            self.heldOut = heldOut
        }
    }

    /// Where a run begins: fresh parameters, or a checkpoint's.
    package struct Origin: Sendable {
        package var version: Int
        package var ledger: Ledger
        package var history: RunHistory
        /// The checkpoint that the run goes on from.
        package var checkpoint: String?
        /// The numbers of a module.
        package var module: @Sendable (Int) async throws -> ModuleContents

        package init(
            version: Int = 0, ledger: Ledger = Ledger(), history: RunHistory = RunHistory(),
            checkpoint: String? = nil,
            module: @escaping @Sendable (Int) async throws -> ModuleContents
        ) {
            self.version = version
            self.ledger = ledger
            self.history = history
            self.checkpoint = checkpoint
            self.module = module
        }
    }

    /// Writes a checkpoint: called once per module in order, then to finish; returns its path.
    package struct Keeper: Sendable {
        package var begin: @Sendable (_ version: UInt64) async throws -> any KeptVersion

        package init(begin: @escaping @Sendable (UInt64) async throws -> any KeptVersion) {
            self.begin = begin
        }
    }
}

/// A checkpoint being written.
package protocol KeptVersion: Sendable {
    func append(module: Int, _ contents: ModuleContents) async throws
    /// Makes it complete and durable; returns its path.
    func finish(_ record: RunRecord) async throws -> String
    func abandon() async
}

/// What a resume needs to know besides the numbers.
package struct RunRecord: Sendable, Codable, Equatable {
    package var runID: String
    package var runName: String
    package var version: UInt64
    package var settings: RunSettings
    package var ledger: Ledger
    package var history: RunHistory
    /// By module.
    package var modules: [ModuleRecord]
    /// Fingerprint of the text.
    package var corpus: UInt64

    package init(
        runID: String, runName: String, version: UInt64, settings: RunSettings, ledger: Ledger,
        history: RunHistory, modules: [ModuleRecord] = [], corpus: UInt64
    ) {
        self.modules = modules
        self.corpus = corpus
        self.runID = runID
        self.runName = runName
        self.version = version
        self.settings = settings
        self.ledger = ledger
        self.history = history
    }
}
