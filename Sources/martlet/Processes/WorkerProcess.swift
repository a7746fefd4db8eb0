import Cluster
import Dispatch
import Distributed
import FoundationEssentials
import LocalSGD
import Logging
import MoE
import Roles
import Storage
import Tensors

/// The process behind `martlet worker`.
enum WorkerProcess {
    static func run(_ launch: WorkerLaunch) async throws {
        let stops = await StopRequests.listen(lifeline: launch.hasLifeline)
        let logger = Logger(label: "worker")
        let identity = try ProcessIdentity.load(launch.identity, role: .worker)
        let timeline = try launch.timeline.map {
            try TimelineWriter($0, name: identity.node.name, logger: logger)
        }
        defer { timeline?.finish() }
        let incarnation = ProcessIdentity.incarnation()
        let transport = try await TCPTransport.bind(
            identity: identity, listen: nil, incarnation: incarnation, logger: logger)
        let clock = MonotonicClock()
        let system = ClusterSystem(
            transport: transport, clock: clock, methods: .roles, logger: logger)
        KernelThreads.set(launch.threads)
        var environment = WorkerEnvironment(
            coordinator: launch.coordinator, incarnation: incarnation, clock: clock,
            logger: logger
        ) { settings, model in try trainer(settings, model, launch) }
        environment.computeExecutor = ThreadExecutor(label: "compute")
        environment.codingExecutor = ThreadExecutor(label: "coding")
        environment.pace = launch.throttle < 1 ? .share(launch.throttle) : .full
        if let timeline { environment.timeline = { timeline.record($0) } }
        if let folder = launch.stateFolder {
            let vault = OptimizerFolder(path: folder)
            environment.vault = vault.vault
            environment.runHint = vault.newestRun()
        }
        let worker = Worker(environment, actorSystem: system)
        let reason = try await RoleLife.run(
            system, until: stops,
            onStop: { await worker.whenLocal { $0.leaveAfterRound("stopped by a signal") } }
        ) {
            try await worker.whenLocal { try await $0.work() } ?? "gone"
        }
        logger.notice("leaves: \(reason)")
        await transport.close()
        KernelThreads.stop()
    }

    private static func trainer(
        _ settings: RunSettings, _ model: String, _ launch: WorkerLaunch
    ) throws -> LocalTrainer {
        let configuration = try ModelConfiguration(configurationJSON: Data(model.utf8))
        return LocalTrainer(settings: settings) {
            switch launch.precision {
            case .fp32:
                TransformerObjective<Float>(
                    configuration: configuration, batch: settings.rounds.batchSize,
                    sequenceLength: settings.sequenceLength, recomputes: launch.recomputes)
            case .bf16:
                TransformerObjective<BFloat16>(
                    configuration: configuration, batch: settings.rounds.batchSize,
                    sequenceLength: settings.sequenceLength, recomputes: launch.recomputes)
            }
        }
    }
}

/// Runs what takes long on a thread of its own, so that calls and heartbeats never wait for it.
final class ThreadExecutor: TaskExecutor {
    private let queue: DispatchQueue

    init(label: String) { queue = DispatchQueue(label: label) }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        queue.async { [self] in
            unsafe job.runSynchronously(on: asUnownedTaskExecutor())
        }
    }
}
