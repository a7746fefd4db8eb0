package import Cluster
internal import Distributed
package import LocalSGD
internal import Logging
internal import Synchronization
package import Tensors

/// A whole cluster of production roles in one simulation: every message through the production
/// codec, every decision by the production state machines, time and network simulated.
package final class ClusterSimulation: Sendable {
    /// Who takes part.
    package struct Cast: Sendable {
        package var shards: Int
        /// Workers that are there from the start.
        package var workers: [String]
        package var coordinator: CoordinatorEnvironment
        package var worker: @Sendable (_ name: String, _ incarnation: UInt64) -> WorkerEnvironment
        /// Told what shard servers decide, in order.
        package var observe: @Sendable (ShardState.Effect) -> Void = { _ in }

        package init(
            shards: Int, workers: [String], coordinator: CoordinatorEnvironment,
            worker: @escaping @Sendable (String, UInt64) -> WorkerEnvironment
        ) {
            self.shards = shards
            self.workers = workers
            self.coordinator = coordinator
            self.worker = worker
        }
    }

    /// A moment in virtual time and what happens then.
    package enum Incident: Sendable {
        case kill(String, at: Duration)
        case start(String, incarnation: UInt64, at: Duration)
        case stop(at: Duration)
        case drain(String, at: Duration)
    }

    /// How it ended.
    package struct Ending: Sendable {
        package var phase: CoordinatorState.Phase = .gathering
        /// Why each worker left, in the order in which they did.
        package var farewells: [String] = []
    }

    package static let coordinatorAddress = Address(host: "coordinator", port: 1)
    /// How long workers and servers may say goodbye.
    private static let farewell: Duration = .seconds(8)

    package let coordinator: Coordinator
    private let simulation: Simulation
    private let network: SimulatedNetwork
    private let cast: Cast
    private let shards: [ShardServer]
    private let ending = Mutex(Ending())
    private let switches = Mutex<[String: AsyncStream<Void>.Continuation]>([:])
    private let logger = Logger(label: "simulation") { _ in SwiftLogNoOpLogHandler() }

    /// The environments of the cast must tell the simulation's time.
    package init(_ simulation: Simulation, _ network: SimulatedNetwork, cast: Cast) {
        self.simulation = simulation
        self.network = network
        self.cast = cast
        let logger = logger
        func system(_ node: NodeID, _ address: Address) -> ClusterSystem {
            ClusterSystem(
                transport: network.attach(node, incarnation: 1, address: address),
                clock: simulation, methods: .roles, logger: logger)
        }
        coordinator = Coordinator(
            cast.coordinator,
            actorSystem: system(
                NodeID(role: .coordinator, name: "c"), ClusterSimulation.coordinatorAddress))
        shards = (0..<cast.shards).map { index in
            let address = Address(host: "s\(index)", port: 1)
            var environment = ShardEnvironment(
                coordinator: ClusterSimulation.coordinatorAddress, address: address,
                incarnation: 1, clock: simulation, logger: logger)
            environment.observe = cast.observe
            return ShardServer(
                environment, actorSystem: system(NodeID(role: .shard, name: "s\(index)"), address))
        }
    }

    /// Runs the cluster to its end, with `watch`, if given, beside it until then.
    package func run(
        limit: Duration, _ incidents: [Incident] = [],
        watch: (@Sendable () async throws -> Void)? = nil
    ) throws -> Ending {
        try simulation.run(limit: limit) { try await self.body(incidents, watch) }
        return ending.withLock { $0 }
    }

    /// Copies the global parameters as they are, or `asPulled` what workers have of them, on a path
    /// that no network knows of, to `buffer`; false while not all modules have their place.
    package func copyParameters(
        _ layout: ParameterLayout, asPulled: Bool = false, to buffer: FloatBuffer
    ) async -> Bool {
        for module in layout.modules.indices {
            var isFound = false
            for shard in shards {
                let found = await shard.whenLocal {
                    asPulled ? $0.shadow(of: module) : $0.parameters(of: module)
                }
                guard let parameters = found ?? nil else { continue }
                buffer[layout.modules[module].range].copy(from: parameters)
                isFound = true
            }
            guard isFound else { return false }
        }
        return true
    }

    private func body(
        _ incidents: [Incident], _ watch: (@Sendable () async throws -> Void)?
    ) async throws {
        try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask {
                try await self.live("coordinator", self.coordinator.actorSystem) {
                    let phase = try await self.coordinator.whenLocal { try await $0.lead() }
                    self.ending.withLock { $0.phase = phase ?? .gathering }
                }
                return true
            }
            for (index, shard) in shards.enumerated() {
                group.addTask {
                    try await self.live("s\(index)", shard.actorSystem) {
                        _ = try await shard.whenLocal { try await $0.serve() }
                    }
                    return false
                }
            }
            for name in cast.workers {
                group.addTask { try await self.work(name, incarnation: 1) }
            }
            for incident in incidents {
                group.addTask { try await self.happen(incident) }
            }
            if let watch {
                group.addTask {
                    try await watch()
                    return false
                }
            }
            while let isOver = try await group.next() { if isOver { break } }
            try await self.simulation.sleep(for: ClusterSimulation.farewell)
            group.cancelAll()
        }
    }

    private func happen(_ incident: Incident) async throws -> Bool {
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
        let transport = network.attach(
            NodeID(role: .worker, name: name), incarnation: incarnation, address: nil)
        let worker = Worker(
            cast.worker(name, incarnation),
            actorSystem: ClusterSystem(
                transport: transport, clock: simulation, methods: .roles, logger: logger))
        try await live(name, worker.actorSystem) {
            let reason = try await worker.whenLocal { try await $0.work() }
            self.ending.withLock { $0.farewells.append("\(name): \(reason ?? "")") }
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
