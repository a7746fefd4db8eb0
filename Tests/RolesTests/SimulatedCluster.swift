import Cluster
import LocalSGD
import Logging
import MoE
import Roles
import Synchronization
import Tensors

/// A simulated cluster of production roles that makes ``QuadraticObjective`` small, or the loss of
/// a transformer.
final class SimulatedCluster: Sendable {
    struct Options: Sendable {
        var seed: UInt64 = 1
        var settings = RunSettings()
        var shards = 2
        var workers = ["w0", "w1", "w2"]
        var faults = SimulatedNetwork.Faults()
        /// Time of an inner step, by worker; 100 ms for those not named.
        var stepTimes: [String: Duration] = [:]
        var origin: CoordinatorEnvironment.Origin?
        /// See ``QuadraticObjective``.
        var poison: Int32?
        var limit: Duration = .seconds(900)
        /// See ``QuadraticObjective``.
        var outlier: Int32?
        var outlierModule: Int?
        var layout = QuadraticObjective.layout
        /// Trained from fresh weights in place of the formula; ``layout`` must be its own.
        var model: ModelConfiguration?
        /// Workers whose gradients are all 0.
        var idle: Set<String> = []
        /// Whether workers' own parameters are noted where their optimizers' state is kept.
        var inspects = false
        /// Told where a worker keeps its state, with the trainer that it is from.
        var whenSaved: (@Sendable (String, SavedOptimizer, LocalTrainer) async -> Void)?
        /// Whether workers tell what takes their time.
        var keepsTimelines = false
        /// Whether the gradients that workers compute are noted.
        var notesGradients = false
    }

    /// A gradient that a worker has computed: of these parameters, on the sequences of these
    /// numbers.
    struct Computation: Sendable {
        var parameters: [Float]
        var sequences: [Int32]
    }

    /// What a finished run leaves behind.
    struct Outcome: Sendable {
        var phase: CoordinatorState.Phase = .gathering
        var parameters: [Float] = []
        var momentum: [Float] = []
        var firstMoment: [Float] = []
        var secondMoment: [Float] = []
        var pending: [Float] = []
        /// What workers have of the parameters, where pulls are coded.
        var shadow: [Float] = []
        var record: RunRecord?
        var digest: UInt64 = 0
        var lines = 0
        var duration: Duration = .zero
        /// Numbers of the sequences that were trained on, up to 1000; nothing in a run that goes on
        /// from another.
        var trained: Set<UInt64>?
        /// Why each worker left, in the order in which they did.
        var farewells: [String] = []
    }

    typealias Incident = ClusterSimulation.Incident

    let options: Options
    let simulation: Simulation
    let network: SimulatedNetwork
    let saved = Mutex<[String: SavedOptimizer]>([:])
    /// Local parameters by worker and version, as "w0/3", if wanted.
    let replicas = Mutex<[String: [Float]]>([:])
    /// The trainer of each worker's latest life.
    let trainers = Mutex<[String: LocalTrainer]>([:])
    /// Of all lives of a worker, if wanted, in order.
    let timelines = Mutex<[String: [Span]]>([:])
    /// Of each life of a worker, as "w0/1" for its first, if wanted, in order.
    let computations = Mutex<[String: [Computation]]>([:])
    let checkpoints = Mutex<[UInt64: Outcome]>([:])
    /// All that shard servers have decided, in order.
    let decisions = Mutex<[ShardState.Effect]>([])
    private let trained = Mutex<Set<UInt64>>([])
    fileprivate let outcome = Mutex(Outcome())
    private let logger: Logger

    init(_ options: Options) {
        self.options = options
        simulation = Simulation(seed: options.seed)
        network = SimulatedNetwork(simulation, faults: options.faults)
        logger = Logger(label: "simulation") { _ in SwiftLogNoOpLogHandler() }
    }

    /// Runs the cluster to its end, with `watch`, if given, beside it until then.
    func run(
        _ incidents: [Incident] = [],
        watch: (@Sendable (ClusterSimulation) async throws -> Void)? = nil
    ) throws -> Outcome {
        var cast = ClusterSimulation.Cast(
            shards: options.shards, workers: options.workers, coordinator: coordinator
        ) { self.worker($0, incarnation: $1) }
        cast.observe = { decision in self.decisions.withLock { $0.append(decision) } }
        let cluster = ClusterSimulation(simulation, network, cast: cast)
        let beside = watch.map { watch in { @Sendable in try await watch(cluster) } }
        let ending = try cluster.run(limit: options.limit, incidents, watch: beside)
        return outcome.withLock { outcome in
            outcome.phase = ending.phase
            outcome.farewells = ending.farewells
            outcome.trained = options.origin == nil ? trained.withLock { $0 } : nil
            outcome.digest = simulation.digest
            outcome.lines = simulation.lineCount
            outcome.duration = simulation.now
            return outcome
        }
    }
}

// MARK: - Nodes

extension SimulatedCluster {
    private var coordinator: CoordinatorEnvironment {
        let options = options
        let layout = options.layout
        let start: @Sendable (Int) async throws -> ModuleContents = { module in
            let parameters = options.start(module)
            return ModuleContents(
                parameters: parameters, momentum: FloatBuffer(count: parameters.count))
        }
        return CoordinatorEnvironment(
            runID: "run", runName: "simulated", settings: options.settings, model: "{}",
            layout: layout, shardCount: options.shards, clock: simulation, logger: logger,
            sequences: .init(
                fingerprint: 7, heldOutCount: 8,
                training: { lease in
                    lease.runs.flatMap { run in run.flatMap { options.sequence(Int($0 % 1000)) } }
                },
                heldOut: { range in range.flatMap { options.sequence(2000 + $0) } }),
            origin: options.origin ?? .init(module: start),
            keeper: .init { _ in MemoryCheckpoint(cluster: self) })
    }

    private func worker(_ name: String, incarnation: UInt64) -> WorkerEnvironment {
        var environment = WorkerEnvironment(
            coordinator: ClusterSimulation.coordinatorAddress, incarnation: incarnation,
            clock: simulation, logger: logger,
            makeTrainer: { settings, _ in
                let trainer = LocalTrainer(settings: settings) {
                    if let model = self.options.model {
                        return TransformerObjective<Float>(
                            configuration: model, batch: settings.rounds.batchSize,
                            sequenceLength: settings.sequenceLength)
                    }
                    return QuadraticObjective(
                        sequenceLength: settings.sequenceLength, layout: self.options.layout,
                        poison: self.options.poison, outlier: self.options.outlier,
                        outlierModule: self.options.outlierModule,
                        isIdle: self.options.idle.contains(name),
                        whenComputed: {
                            self.note($0, $1, by: "\(name)/\(incarnation)")
                        })
                }
                self.trainers.withLock { $0[name] = trainer }
                return trainer
            })
        environment.pace = .stepTime(options.stepTimes[name] ?? .milliseconds(100))
        environment.runHint = "run"
        if options.keepsTimelines {
            environment.timeline = { span in
                self.timelines.withLock { $0[name, default: []].append(span) }
            }
        }
        environment.vault = OptimizerVault(
            versions: { _ in
                self.saved.withLock { saved in
                    saved.keys.filter { $0.hasPrefix("\(name)/") }
                        .compactMap { UInt64($0.dropFirst(name.count + 1)) }.sorted()
                }
            },
            save: { state, _, version in
                let trainer = self.trainers.withLock { $0[name] }
                if self.options.inspects, let trainer {
                    let local = await trainer.inspect().local
                    self.replicas.withLock { $0["\(name)/\(version)"] = local }
                }
                if let whenSaved = self.options.whenSaved, let trainer {
                    await whenSaved(name, state, trainer)
                }
                self.saved.withLock { $0["\(name)/\(version)"] = state }
            },
            load: { _, version in
                guard let state = self.saved.withLock({ $0["\(name)/\(version)"] }) else {
                    throw CancellationError()
                }
                return state
            })
        return environment
    }

    /// Notes what `life` computes; held-out sequences begin at 2000.
    private func note(_ parameters: FloatBuffer, _ sequences: [Int32], by life: String) {
        trained.withLock { $0.formUnion(sequences.map { UInt64($0) }) }
        guard options.notesGradients, sequences.allSatisfy({ $0 < 1000 }) else { return }
        let found = Computation(parameters: parameters.array, sequences: sequences)
        computations.withLock { $0[life, default: []].append(found) }
    }
}

extension SimulatedCluster.Options {
    /// The parameters of `module` that a run begins with.
    fileprivate func start(_ module: Int) -> FloatBuffer {
        guard let model else { return FloatBuffer(QuadraticObjective.start(module, of: layout)) }
        let parameters = FloatBuffer(count: layout.modules[module].range.count)
        model.initialize(module: module, in: parameters, layout: layout, seed: 1)
        return parameters
    }

    /// The tokens of a sequence: its number again and again or, for a model, tokens that follow
    /// from each other, but for the first.
    fileprivate func sequence(_ number: Int) -> [Int32] {
        let width = settings.sequenceLength + 1
        guard let model else { return [Int32](repeating: Int32(number), count: width) }
        var token = number % model.vocabularySize
        return (0..<width).map { _ in
            defer { token = (3 * token + 1) % model.vocabularySize }
            return Int32(token)
        }
    }
}

/// Keeps a checkpoint in memory.
private final class MemoryCheckpoint: KeptVersion {
    private let cluster: SimulatedCluster
    private let numbers = Mutex(SimulatedCluster.Outcome())

    init(cluster: SimulatedCluster) { self.cluster = cluster }

    func append(module: Int, _ contents: ModuleContents) async throws {
        numbers.withLock {
            $0.parameters += contents.parameters.array
            $0.momentum += contents.momentum.array
            $0.shadow += contents.shadow?.array ?? []
            $0.firstMoment += contents.moments?.first.array ?? []
            $0.secondMoment += contents.moments?.second.array ?? []
            $0.pending +=
                contents.pending?.array
                ?? [Float](repeating: 0, count: contents.parameters.count)
        }
    }

    func finish(_ record: RunRecord) async throws -> String {
        cluster.note(record, numbers.withLock { $0 })
        return "memory-\(record.version)"
    }

    func abandon() async {}
}

extension SimulatedCluster {
    fileprivate func note(_ record: RunRecord, _ numbers: Outcome) {
        outcome.withLock { outcome in
            outcome.parameters = numbers.parameters
            outcome.momentum = numbers.momentum
            outcome.firstMoment = numbers.firstMoment
            outcome.secondMoment = numbers.secondMoment
            outcome.pending = numbers.pending
            outcome.shadow = numbers.shadow
            outcome.record = record
            let copy = outcome
            checkpoints.withLock { $0[record.version] = copy }
        }
    }

    /// A cluster that goes on from the checkpoint of `version`, if there is one, and for `rounds`
    /// rounds in all if not for as many as before.
    ///
    /// Its workers have kept what they had then, and nothing of what came after.
    func resumed(from version: UInt64, rounds: Int? = nil) -> SimulatedCluster? {
        guard let checkpoint = checkpoints.withLock({ $0[version] }) else { return nil }
        var options = options
        options.origin = SimulatedCluster.origin(from: checkpoint, layout: options.layout)
        if let rounds { options.settings.rounds.total = rounds }
        let cluster = SimulatedCluster(options)
        let kept = saved.withLock { saved in
            saved.filter { $0.key.hasSuffix("/\(version)") }
        }
        cluster.saved.withLock { $0 = kept }
        return cluster
    }

    /// Where a run that goes on from `checkpoint` begins.
    static func origin(
        from checkpoint: Outcome, layout: ParameterLayout = QuadraticObjective.layout
    ) -> CoordinatorEnvironment.Origin? {
        guard let record = checkpoint.record else { return nil }
        return CoordinatorEnvironment.Origin(
            version: Int(record.version), ledger: record.ledger, history: record.history
        ) { module in
            let range = layout.modules[module].range
            var contents = ModuleContents(
                parameters: FloatBuffer(checkpoint.parameters[range]),
                momentum: FloatBuffer(checkpoint.momentum[range]))
            if record.modules.indices.contains(module) { contents.record = record.modules[module] }
            if contents.record?.pushes ?? 0 > 0 || contents.record?.period ?? 1 > 1 {
                contents.pending = FloatBuffer(checkpoint.pending[range])
            }
            if !checkpoint.shadow.isEmpty {
                contents.shadow = FloatBuffer(checkpoint.shadow[range])
            }
            if !checkpoint.firstMoment.isEmpty {
                contents.moments = .init(
                    first: FloatBuffer(checkpoint.firstMoment[range]),
                    second: FloatBuffer(checkpoint.secondMoment[range]))
            }
            return contents
        }
    }
}
