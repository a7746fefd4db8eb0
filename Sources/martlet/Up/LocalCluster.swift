import Cluster
import Status
import Synchronization
import Wire

/// The processes that `martlet up` has started.
struct LocalCluster {
    private static let lookInterval: Duration = .milliseconds(20)

    private let plan: UpPlan
    private let environment: [String: String]
    private let whenEnded: @Sendable (NodeID, ChildExit) -> Void
    private var children: [NodeID: Child] = [:]
    /// Where the coordinator listens, once known.
    private var address: String?
    /// Ended processes are told twice: to `whenEnded`, and here for whoever waits for all.
    private let running = RunningCount()

    init(
        plan: UpPlan, environment: [String: String],
        whenEnded: @escaping @Sendable (NodeID, ChildExit) -> Void
    ) {
        self.plan = plan
        self.environment = environment
        self.whenEnded = whenEnded
    }

    var workersRunning: Int { children.keys.count { $0.role == .worker } }

    func log(_ node: NodeID) -> String { plan.folder.log(of: node) }

    mutating func startCoordinator() throws {
        try start(plan.coordinator, plan.coordinatorArguments)
    }

    /// Starts shard servers and workers when the coordinator first says where it listens.
    mutating func startOthers(_ status: Martlet_V1_RunStatus) throws {
        guard address == nil,
            let coordinator = status.members.first(where: { $0.role == .coordinator }),
            !coordinator.address.isEmpty
        else { return }
        address = coordinator.address
        for node in plan.shards + plan.workers {
            try start(node, plan.arguments(of: node, coordinator: coordinator.address))
        }
    }

    mutating func restart(_ node: NodeID) throws {
        guard let address else { return }
        try start(node, plan.arguments(of: node, coordinator: address))
    }

    /// Takes note that a process has ended.
    mutating func forget(_ node: NodeID) { children[node] = nil }

    /// Lets go of all processes and waits until each has ended; those that take longer than
    /// `patience` are killed.
    mutating func end(within patience: Duration) async {
        for child in children.values { child.release() }
        let clock = ContinuousClock()
        let deadline = clock.now + patience
        while running.count > 0, clock.now < deadline { await look() }
        for child in children.values { child.kill() }
        while running.count > 0 { await look() }
        children = [:]
    }

    /// Waits a moment, cancelled or not: processes must be seen to their end.
    private func look() async {
        await Task { try? await Task.sleep(for: Self.lookInterval) }.value
    }

    private mutating func start(_ node: NodeID, _ arguments: [String]) throws {
        let whenEnded = whenEnded
        let running = running
        running.add(1)
        do {
            children[node] = try Child.start(
                node, arguments: arguments, environment: environment, log: log(node)
            ) { exit in
                running.add(-1)
                whenEnded(node, exit)
            }
        } catch {
            running.add(-1)
            throw error
        }
    }
}

/// Processes that have been started and have not ended.
private final class RunningCount: Sendable {
    private let value = Mutex(0)

    var count: Int { value.withLock { $0 } }

    func add(_ change: Int) { value.withLock { $0 += change } }
}
