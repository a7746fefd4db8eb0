import Cluster
import Distributed
import FoundationEssentials
import LocalSGD
import Logging
import MoE
import Roles
import Status
import Storage
import Tensors
import Wire

/// The process behind `martlet coordinator`.
enum CoordinatorProcess {
    /// How long whoever holds the lifeline may take to read the last status, before the process
    /// ends all the same.
    private static let afterword: Duration = .seconds(30)

    static func run(_ launch: CoordinatorLaunch) async throws {
        let stops = await StopRequests.listen(lifeline: launch.hasLifeline)
        let logger = Logger(label: "coordinator")
        let identity = try ProcessIdentity.load(launch.identity, role: .coordinator)
        let run = try RunBeginning(launch.configuration, resumes: launch.resumes, logger: logger)
        let incarnation = ProcessIdentity.incarnation()
        let transport = try await TCPTransport.bind(
            identity: identity, listen: launch.listen, incarnation: incarnation, logger: logger)
        let clock = MonotonicClock()
        let system = ClusterSystem(
            transport: transport, clock: clock, methods: .roles, logger: logger)
        var environment = run.environment(clock: clock, logger: logger)
        environment.address = transport.boundAddress
        environment.heartbeat = .seconds(launch.configuration.cluster.heartbeatSeconds)
        let coordinator = Coordinator(environment, actorSystem: system)
        let server = StatusServer(
            path: launch.statusSocket, source: source(of: coordinator, on: clock), logger: logger)
        let phase = try await lead(
            coordinator, system, server, stops,
            afterword: launch.hasLifeline ? afterword : .zero)
        await transport.close()
        if case .failed(let reason) = phase { throw CommandError(.interrupted, reason) }
    }

    /// Serves calls and status while the coordinator leads the run, and a little longer.
    private static func lead(
        _ coordinator: Coordinator, _ system: ClusterSystem, _ server: StatusServer,
        _ stops: AsyncStream<StopRequest>, afterword: Duration
    ) async throws -> CoordinatorState.Phase {
        let (ready, isReady) = AsyncStream<Void>.makeStream()
        let (reading, isRead) = AsyncStream<Void>.makeStream()
        return try await withThrowingTaskGroup(of: CoordinatorState.Phase?.self) { group in
            group.addTask {
                try await system.run()
                return nil
            }
            group.addTask {
                try await server.run { isReady.finish() }
                return nil
            }
            group.addTask {
                // The socket must be this run's own before anything begins.
                for await _ in ready {}
                let phase = try await coordinator.whenLocal { try await $0.lead() }
                await wait(for: reading, within: afterword)
                return phase
            }
            group.addTask {
                await obey(stops, coordinator, isRead)
            }
            defer { group.cancelAll() }
            var ended: CoordinatorState.Phase?
            while ended == nil, let phase = try await group.next() { ended = phase }
            return ended ?? .failed(reason: "the coordinator was ended")
        }
    }

    /// Until the stream ends, at most `limit`.
    private static func wait(for stream: AsyncStream<Void>, within limit: Duration) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { for await _ in stream {} }
            group.addTask { try? await Task.sleep(for: limit) }
            await group.next()
            group.cancelAll()
        }
    }

    /// The first request ends the run in order; another one, or the end of the lifeline, at once.
    ///
    /// Once the run is over, whoever lets go of the lifeline has read the last status; workers that
    /// nobody here has started may still have to hear of the end.
    private static func obey(
        _ stops: AsyncStream<StopRequest>, _ coordinator: Coordinator,
        _ isRead: AsyncStream<Void>.Continuation
    ) async -> CoordinatorState.Phase? {
        var wasAsked = false
        for await request in stops {
            if request == .lifeline, await coordinator.whenLocal({ $0.phase.isOver }) == true {
                isRead.finish()
                continue
            }
            if wasAsked || request == .lifeline {
                let phase = await coordinator.whenLocal { $0.phase }
                return phase?.isOver == true ? phase : .failed(reason: "stopped at once")
            }
            wasAsked = true
            await coordinator.whenLocal { await $0.order(.stop) }
        }
        return nil
    }

    private static func source(of coordinator: Coordinator, on clock: MonotonicClock)
        -> StatusSource
    {
        StatusSource(
            snapshot: { await coordinator.whenLocal { $0.status() } ?? Martlet_V1_RunStatus() },
            perform: { command in
                switch command {
                case .stop:
                    await coordinator.whenLocal { await $0.order(.stop) }
                    return "the run ends after the open round"
                case .checkpoint:
                    await coordinator.whenLocal { await $0.order(.keepNow) }
                    return "the next version will be kept"
                case .drain(let worker):
                    let isKnown = await coordinator.whenLocal { $0.hasWorker(worker) }
                    guard isKnown == true else {
                        throw StatusError(.refused, "there is no worker \(worker)")
                    }
                    await coordinator.whenLocal { await $0.order(.drain(worker: worker)) }
                    return "worker \(worker) leaves after its round"
                }
            },
            pause: { try await clock.sleep(for: $0) })
    }
}
