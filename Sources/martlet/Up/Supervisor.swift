import Cluster
import FoundationEssentials
import Status
import Wire

/// Runs a local cluster: starts its processes, watches them, shows how they do, and sees to it that
/// none is left behind.
///
/// ```
///  starting --coordinator answers--> running --final state--> done
///      |                                | Ctrl-C: POST /v1/stop
///      |                                v
///      +-- a needed process ends --> failed      stopping --final state--> done
/// ```
struct Supervisor {
    /// Time for the coordinator to answer: it reads the corpus first.
    static let startPatience: Duration = .seconds(120)
    /// Time for processes to end by themselves when the run has ended.
    static let endPatience: Duration = .seconds(15)
    /// Time for a run to end after Ctrl-C, its open round included.
    static let stopPatience: Duration = .seconds(300)
    private static let pollInterval: Duration = .milliseconds(250)

    private enum Event {
        case ended(NodeID, ChildExit)
        case status(StatusAnswer)
        case silence
        case stopRequested
    }

    private let loaded: LoadedConfiguration
    private let plan: UpPlan
    private let client: StatusClient
    private let restartsWorkers: Bool
    private let display: UpDisplay
    private let environment: [String: String]

    init(
        loaded: LoadedConfiguration, folder: RunFolder, resumes: Bool, restartsWorkers: Bool,
        showsJSON: Bool, timelines: String? = nil
    ) {
        self.loaded = loaded
        plan = UpPlan(
            configuration: loaded.configuration, folder: folder, resumes: resumes,
            timelines: timelines)
        client = StatusClient(path: loaded.configuration.statusSocketPath)
        self.restartsWorkers = restartsWorkers
        display = UpDisplay(showsJSON: showsJSON)
        environment = UpPlan.environment(from: ProcessInfo.processInfo.environment)
    }

    /// Runs the cluster to the end of the run.
    ///
    /// - Throws: `CommandError` if the run could not start, lost a process it needs, or failed.
    func run() async throws {
        guard (try? await client.fetch()) == nil else {
            throw CommandError(
                .cannotCreate,
                "a run answers at \(loaded.configuration.statusSocketPath) already; "
                    + "martlet stop ends it")
        }
        try plan.folder.prepare(loaded, nodes: plan.nodes)
        for warning in loaded.warnings { display.note("warning: \(warning)") }
        if let timelines = plan.timelines { try RunFolder.make(timelines, "folder of time lines") }
        let (events, continuation) = AsyncStream<Event>.makeStream()
        let stops = await StopRequests.listen(lifeline: false)
        var cluster = LocalCluster(plan: plan, environment: environment) { node, exit in
            continuation.yield(.ended(node, exit))
        }
        let client = client
        let result: Result<UpEnding, any Error> = await withTaskGroup(of: Void.self) { group in
            group.addTask {
                for await _ in stops { continuation.yield(.stopRequested) }
            }
            group.addTask {
                while (try? await Task.sleep(for: Self.pollInterval)) != nil {
                    let answer = try? await client.fetch()
                    continuation.yield(answer.map(Event.status) ?? .silence)
                }
            }
            let result: Result<UpEnding, any Error>
            do {
                try cluster.startCoordinator()
                result = .success(try await watch(events, &cluster))
            } catch {
                result = .failure(error)
            }
            await cluster.end(within: Self.endPatience)
            group.cancelAll()
            return result
        }
        display.clear()
        try display.conclude(result.get(), plan: plan)
    }

    // MARK: Watching

    private func watch(
        _ events: AsyncStream<Event>, _ cluster: inout LocalCluster
    ) async throws -> UpEnding {
        let clock = ContinuousClock()
        let begun = clock.now
        var first: StatusAnswer?
        var last: StatusAnswer?
        var stopRequested: ContinuousClock.Instant?
        for await event in events {
            switch event {
            case .status(let answer):
                first = first ?? (answer.status.hasHeldOutLoss ? answer : nil)
                last = answer
                try cluster.startOthers(answer.status)
                display.show(answer)
                if answer.status.state.isFinal {
                    return UpEnding(first: first, last: answer, wasStopped: stopRequested != nil)
                }
            case .silence:
                guard last != nil || clock.now - begun < Self.startPatience else {
                    throw CommandError(
                        .unavailable,
                        "the coordinator does not answer; see \(cluster.log(plan.coordinator))")
                }
            case .ended(let node, let exit):
                cluster.forget(node)
                try react(to: node, exit, &cluster, isStopping: stopRequested != nil, last)
            case .stopRequested:
                guard stopRequested == nil, last != nil else {
                    throw CommandError(
                        .interrupted, "stopped at once; resume from a checkpoint, if any")
                }
                stopRequested = clock.now
                display.note("stopping after the open round; Ctrl-C again ends at once")
                // Beside the loop, so that a second Ctrl-C is heard even if nobody answers.
                Task { [client] in try? await client.perform(.stop) }
            }
            if let stopRequested, clock.now - stopRequested > Self.stopPatience {
                throw CommandError(.interrupted, "the run did not stop in time and was ended")
            }
        }
        throw CommandError(.defect, "the events of a run ended before the run did")
    }

    /// Decides what the end of a process means for the run.
    private func react(
        to node: NodeID, _ exit: ChildExit, _ cluster: inout LocalCluster, isStopping: Bool,
        _ last: StatusAnswer?
    ) throws {
        let log = cluster.log(node)
        // A shard server ends in good order when the run is over, a worker also when it is drained;
        // the final status may still be on its way.
        if node.role != .coordinator, exit.isOrderly { return }
        guard node.role == .worker else { throw ChildLog(path: log).failure(of: node, exit) }
        if isStopping { return }
        if restartsWorkers {
            display.note("\(node.title) \(exit.description); starting it again; log: \(log)")
            return try cluster.restart(node)
        }
        display.note("\(node.title) \(exit.description); the run goes on; log: \(log)")
        let others = last?.status.members.contains {
            $0.role == .worker && $0.state.isPresent && !plan.workers.map(\.name).contains($0.name)
        }
        if cluster.workersRunning == 0, others != true {
            throw ChildLog(path: log).failure(of: node, exit, note: "no worker is left")
        }
    }
}

/// How a run ended.
struct UpEnding: Sendable {
    /// The first status with a held-out loss, if there was one.
    let first: StatusAnswer?
    /// The final status.
    let last: StatusAnswer
    let wasStopped: Bool
}
