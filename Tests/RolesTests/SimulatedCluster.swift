import Cluster
import Distributed
import LocalSGD
import Logging
import Roles
import Synchronization
import Tensors

/// A whole cluster of production roles in one simulation: every message through the production
/// codec, every decision by the production state machines, time and network simulated.
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
        var layout = QuadraticObjective.layout
    }

    /// What a finished run leaves behind.
    struct Outcome: Sendable {
        var phase: CoordinatorState.Phase = .gathering
        var parameters: [Float] = []
        var momentum: [Float] = []
        var firstMoment: [Float] = []
        var secondMoment: [Float] = []
        var pending: [Float] = []
        var record: RunRecord?
        var digest: UInt64 = 0
        var lines = 0
        var duration: Duration = .zero
        /// Why each worker left, in the order in which they did.
        var farewells: [String] = []
    }

    /// A moment in virtual time and what happens then.
    enum Incident: Sendable {
        case kill(String, at: Duration)
        case start(String, incarnation: UInt64, at: Duration)
        case stop(at: Duration)
        case drain(String, at: Duration)
    }

    static let sequences = 64

    let options: Options
    let simulation: Simulation
    let network: SimulatedNetwork
    let saved = Mutex<[String: SavedOptimizer]>([:])
    let checkpoints = Mutex<[UInt64: Outcome]>([:])
    /// All that shard servers have decided, in order.
    let decisions = Mutex<[ShardState.Effect]>([])
    fileprivate let outcome = Mutex(Outcome())
    private let switches = Mutex<[String: AsyncStream<Void>.Continuation]>([:])
    private let logger: Logger

    init(_ options: Options) {
        self.options = options
        simulation = Simulation(seed: options.seed)
        network = SimulatedNetwork(simulation, faults: options.faults)
        logger = Logger(label: "simulation") { _ in SwiftLogNoOpLogHandler() }
    }

    /// Runs the cluster to its end.
    func run(_ incidents: [Incident] = []) throws -> Outcome {
        try simulation.run(limit: options.limit) { try await self.body(incidents) }
        return outcome.withLock { outcome in
            outcome.digest = simulation.digest
            outcome.lines = simulation.lineCount
            outcome.duration = simulation.now
            return outcome
        }
    }

    private func body(_ incidents: [Incident]) async throws {
        let coordinator = makeCoordinator()
        try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask {
                try await self.live("coordinator", coordinator.actorSystem) {
                    let phase = try await coordinator.whenLocal { try await $0.lead() }
                    self.outcome.withLock { $0.phase = phase ?? .gathering }
                }
                return true
            }
            for index in 0..<options.shards {
                let shard = makeShard(index)
                group.addTask {
                    try await self.live("s\(index)", shard.actorSystem) {
                        _ = try await shard.whenLocal { try await $0.serve() }
                    }
                    return false
                }
            }
            for name in options.workers {
                group.addTask { try await self.work(name, incarnation: 1) }
            }
            for incident in incidents {
                group.addTask { try await self.happen(incident, coordinator) }
            }
            while let isOver = try await group.next() { if isOver { break } }
            // Workers and servers may still be saying goodbye.
            try await self.simulation.sleep(for: .seconds(8))
            group.cancelAll()
        }
    }

    private func happen(_ incident: Incident, _ coordinator: Coordinator) async throws -> Bool {
        switch incident {
        case .kill(let name, let at):
            try await simulation.sleep(for: at)
            _ = switches.withLock { $0[name]?.finish() }
        case .start(let name, let incarnation, let at):
            try await simulation.sleep(for: at)
            return try await work(name, incarnation: incarnation)
        case .stop(let at):
            try await simulation.sleep(for: at)
            await coordinator.whenLocal { await $0.order(.stop) }
        case .drain(let name, let at):
            try await simulation.sleep(for: at)
            await coordinator.whenLocal { await $0.order(.drain(worker: name)) }
        }
        return false
    }

    private func work(_ name: String, incarnation: UInt64) async throws -> Bool {
        let worker = makeWorker(name, incarnation: incarnation)
        try await live(name, worker.actorSystem) {
            let reason = try await worker.whenLocal { try await $0.work() }
            self.outcome.withLock { $0.farewells.append("\(name): \(reason ?? "")") }
        }
        return false
    }

    /// Runs a node until its role is done or it is killed.
    private func live(
        _ name: String, _ system: ClusterSystem, _ role: @escaping @Sendable () async throws -> Void
    ) async throws {
        let (killed, continuation) = AsyncStream<Void>.makeStream()
        switches.withLock { $0[name] = continuation }
        await withTaskGroup(of: Void.self) { group in
            group.addTask { try? await system.run() }
            group.addTask {
                do { try await role() } catch {
                    self.simulation.record("\(name) ends: \(error)")
                }
            }
            group.addTask {
                for await _ in killed {}
                if !Task.isCancelled { self.network.kill(system.node) }
            }
            await group.next()
            group.cancelAll()
        }
    }
}

// MARK: - Nodes

extension SimulatedCluster {
    static let coordinatorAddress = Address(host: "coordinator", port: 1)

    private func system(_ node: NodeID, _ incarnation: UInt64, _ address: Address?) -> ClusterSystem
    {
        ClusterSystem(
            transport: network.attach(node, incarnation: incarnation, address: address),
            clock: simulation, methods: .roles, logger: logger)
    }

    private func makeCoordinator() -> Coordinator {
        let layout = options.layout
        let width = options.settings.sequenceLength + 1
        let start: @Sendable (Int) async throws -> ModuleContents = { module in
            let values = QuadraticObjective.start(module)
            return ModuleContents(
                parameters: FloatBuffer(values), momentum: FloatBuffer(count: values.count))
        }
        let environment = CoordinatorEnvironment(
            runID: "run", runName: "simulated", settings: options.settings, model: "{}",
            layout: layout, shardCount: options.shards, clock: simulation, logger: logger,
            sequences: .init(
                fingerprint: 7, heldOutCount: 8,
                training: { lease in
                    lease.runs.flatMap { run in
                        run.flatMap { [Int32](repeating: Int32($0 % 1000), count: width) }
                    }
                },
                heldOut: { range in
                    range.flatMap { [Int32](repeating: Int32(2000 + $0), count: width) }
                }),
            origin: options.origin ?? .init(module: start),
            keeper: .init { _ in MemoryCheckpoint(cluster: self) })
        let node = NodeID(role: .coordinator, name: "c")
        return Coordinator(
            environment, actorSystem: system(node, 1, SimulatedCluster.coordinatorAddress))
    }

    private func makeShard(_ index: Int) -> ShardServer {
        let address = Address(host: "s\(index)", port: 1)
        var environment = ShardEnvironment(
            coordinator: SimulatedCluster.coordinatorAddress, address: address, incarnation: 1,
            clock: simulation, logger: logger)
        environment.observe = { decision in self.decisions.withLock { $0.append(decision) } }
        return ShardServer(
            environment,
            actorSystem: system(NodeID(role: .shard, name: "s\(index)"), 1, address))
    }

    private func makeWorker(_ name: String, incarnation: UInt64) -> Worker {
        var environment = WorkerEnvironment(
            coordinator: SimulatedCluster.coordinatorAddress, incarnation: incarnation,
            clock: simulation, logger: logger,
            makeTrainer: { settings, _ in
                LocalTrainer(settings: settings) {
                    QuadraticObjective(
                        sequenceLength: settings.sequenceLength, layout: self.options.layout,
                        poison: self.options.poison, outlier: self.options.outlier)
                }
            })
        environment.pace = .stepTime(options.stepTimes[name] ?? .milliseconds(100))
        environment.runHint = "run"
        environment.vault = OptimizerVault(
            versions: { _ in
                self.saved.withLock { saved in
                    saved.keys.filter { $0.hasPrefix("\(name)/") }
                        .compactMap { UInt64($0.dropFirst(name.count + 1)) }.sorted()
                }
            },
            save: { state, _, version in
                self.saved.withLock { $0["\(name)/\(version)"] = state }
            },
            load: { _, version in
                guard let state = self.saved.withLock({ $0["\(name)/\(version)"] }) else {
                    throw CancellationError()
                }
                return state
            })
        return Worker(
            environment,
            actorSystem: system(NodeID(role: .worker, name: name), incarnation, nil))
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
            outcome.record = record
            let copy = outcome
            checkpoints.withLock { $0[record.version] = copy }
        }
    }

    /// Where a run that goes on from `checkpoint` begins.
    static func origin(from checkpoint: Outcome) -> CoordinatorEnvironment.Origin? {
        guard let record = checkpoint.record else { return nil }
        let layout = QuadraticObjective.layout
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
            if !checkpoint.firstMoment.isEmpty {
                contents.moments = .init(
                    first: FloatBuffer(checkpoint.firstMoment[range]),
                    second: FloatBuffer(checkpoint.secondMoment[range]))
            }
            return contents
        }
    }
}
