package import Cluster
internal import Codec
package import Distributed
package import LocalSGD
internal import Logging
internal import NIOCore
internal import Tensors
internal import Wire

/// Keeps the run together: who is here, which round is open, who trains on what, and when the
/// global parameters are measured and kept. All of that is decided by ``CoordinatorState``; the
/// coordinator answers calls from it and carries out its effects.
package distributed actor Coordinator {
    package typealias ActorSystem = ClusterSystem

    /// How long a question waits for an answer worth having.
    static let askPatience: Duration = .seconds(5)
    /// Time between two looks at silent nodes.
    static let tick: Duration = .milliseconds(250)
    /// How long workers have to hear that the run is over, and to hang up.
    static let farewell: Duration = .seconds(5)

    let environment: CoordinatorEnvironment
    var state: CoordinatorState
    /// Addresses of the shard servers, by name.
    var addresses: [String: Address] = [:]
    var presence: [NodeID: Presence] = [:]
    /// Versions of modules that differ from the run's, as their servers told them last.
    var moduleVersions: [Int: UInt64] = [:]
    private let waiters = Waiters()
    private var effects: AsyncStream<CoordinatorState.Effect>.Continuation?

    /// What is known of a node besides its membership.
    struct Presence {
        var incarnation: UInt64
        var detector: FailureDetector
        var lastHeard: Duration
        /// Since when its connection has been broken.
        var disconnectedAt: Duration?
    }

    package init(_ environment: CoordinatorEnvironment, actorSystem: ClusterSystem) {
        self.actorSystem = actorSystem
        self.environment = environment
        let layout = environment.layout
        let maskLayers = layout.modules.indices.count { module in
            PartLayout(module: module, of: layout).pieces.contains { $0.part == .masks }
        }
        state = CoordinatorState(
            settings: environment.settings,
            moduleSizes: layout.modules.map(\.range.count),
            shardCount: environment.shardCount,
            heldOutSequences: environment.sequences.heldOutCount,
            maskLayers: maskLayers > 0 ? maskLayers : nil,
            version: environment.origin.version, ledger: environment.origin.ledger,
            history: environment.origin.history, checkpoint: environment.origin.checkpoint)
    }

    /// How far the run is.
    package var phase: CoordinatorState.Phase { state.phase }

    /// Whether there is, or was, a worker called `name`.
    package func hasWorker(_ name: String) -> Bool { state.members[name] != nil }

    /// Leads the run to its end.
    package func lead() async throws -> CoordinatorState.Phase {
        let (stream, continuation) = AsyncStream<CoordinatorState.Effect>.makeStream()
        effects = continuation
        let clock = environment.clock
        try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask { await self.watchPeers() }
            group.addTask { try await self.keepTicking() }
            group.addTask {
                await withDiscardingTaskGroup { performing in
                    for await effect in stream {
                        performing.addTask { await self.perform(effect) }
                    }
                }
                return false
            }
            defer { group.cancelAll() }
            while let isOver = try await group.next() { if isOver { break } }
        }
        await dismissShards(on: clock)
        return state.phase
    }

    // MARK: Calls of workers and shard servers

    distributed func join(_ request: JoinRequest) async throws -> JoinReply {
        guard let node = ClusterSystem.caller?.node else {
            return .refused(reason: "an introduction must come over the network")
        }
        hear(node, incarnation: request.incarnation)
        return node.role == .shard
            ? joinShard(node.name, request) : joinWorker(node.name, request)
    }

    private func joinShard(_ name: String, _ request: JoinRequest) -> JoinReply {
        guard let address = request.address else {
            return .refused(reason: "a shard server must say where it listens")
        }
        let isKnown = addresses[name] != nil
        if !isKnown, state.phase != .gathering {
            return .refused(reason: "the run has its \(state.shardCount) shard servers already")
        }
        addresses[name] = address
        advance(.shardJoined(name: name))
        return .accepted(welcome(for: ShardMap(shards: [], owners: []), []))
    }

    private func joinWorker(_ name: String, _ request: JoinRequest) -> JoinReply {
        if case .failed(let reason) = state.phase { return .refused(reason: reason) }
        if state.isOver { return .refused(reason: "the run is over") }
        guard let map = state.shardMap, state.phase != .seeding else { return .notYet }
        let version = UInt64(state.version)
        let isComplete =
            request.restoredRun == environment.runID && request.restoredVersions.contains(version)
        advance(
            .workerJoined(name: name, incarnation: request.incarnation, isComplete: isComplete))
        return .accepted(welcome(for: map, map.shards.compactMap { addresses[$0] }))
    }

    private func welcome(for map: ShardMap, _ addresses: [Address]) -> Welcome {
        Welcome(
            runID: environment.runID, version: UInt64(state.version),
            settings: environment.settings, model: environment.model, shardMap: map,
            addresses: addresses)
    }

    /// What to do now; waits a while for something to do.
    distributed func ask(_ request: AskRequest) async throws -> Assignment {
        guard let node = ClusterSystem.caller?.node else { return .rejoin }
        let until = environment.clock.now + Coordinator.askPatience
        hear(node, incarnation: request.incarnation)
        advance(
            .asked(name: node.name, incarnation: request.incarnation, report: request.report))
        while true {
            let now = environment.clock.now
            let assignment = state.assignment(
                for: node.name, incarnation: request.incarnation, at: now)
            let isLate = now >= until || Task.isCancelled
            if assignment != .wait || isLate { return assignment }
            await waiters.wait(until: until)
        }
    }

    /// A worker of a round by time has used up its lease or its time.
    distributed func allow(_ request: AllowanceRequest) async throws -> Allowance {
        guard let node = ClusterSystem.caller?.node else {
            return Allowance(lease: Lease(runs: []), extra: .zero)
        }
        hear(node, incarnation: request.incarnation)
        advance(
            .usedUp(
                name: node.name, incarnation: request.incarnation, round: request.round,
                steps: request.steps, isOver: request.isOver))
        return state.allowance(for: node.name, round: request.round)
    }

    distributed func sequences(_ request: SequenceRequest) async throws -> TokenBatch {
        guard request.lease.count <= Coordinator.sequencesMax else {
            throw ClusterError(
                .protocolViolation, "\(request.lease.count) sequences at once are too many")
        }
        switch request.stream {
        case .training:
            return TokenBatch(tokens: try environment.sequences.training(request.lease))
        case .heldOut:
            var tokens: [Int32] = []
            for run in request.lease.runs {
                guard run.upperBound <= environment.sequences.heldOutCount else {
                    throw ClusterError(.protocolViolation, "no held-out sequences \(run)")
                }
                tokens += try environment.sequences.heldOut(
                    Int(run.lowerBound)..<Int(run.upperBound))
            }
            return TokenBatch(tokens: tokens)
        }
    }

    /// Sequences of one answer, at most.
    static let sequencesMax = 4096

    distributed func heartbeat(_ heartbeat: Heartbeat) async throws -> HeartbeatReply {
        guard let node = ClusterSystem.caller?.node else { return HeartbeatReply(isMember: false) }
        hear(node, incarnation: heartbeat.incarnation)
        if node.role == .shard {
            noteVersions(heartbeat.versions, of: node.name)
            return HeartbeatReply(isMember: state.shards.contains(node.name))
        }
        advance(.heartbeat(name: node.name, heartbeat))
        if case .failed(let reason) = state.phase {
            return HeartbeatReply(isMember: false, leaveReason: reason)
        }
        return HeartbeatReply(
            isMember: state.members[node.name]?.incarnation == heartbeat.incarnation)
    }

    distributed func evaluated(_ report: EvaluationReport) async throws -> Nothing {
        if let node = ClusterSystem.caller?.node { advance(.evaluated(name: node.name, report)) }
        return Nothing()
    }

    distributed func closed(_ closing: RoundClosing) async throws -> Nothing {
        if let node = ClusterSystem.caller?.node { advance(.closed(shard: node.name, closing)) }
        return Nothing()
    }

    // MARK: Deciding

    /// Lets the state machine decide and puts its effects to work.
    func advance(_ event: CoordinatorState.Event) {
        for effect in state.step(event, at: environment.clock.now) {
            switch effect {
            case .wake: waiters.wakeAll()
            case .log(let line): environment.logger.notice("\(line)")
            default: effects?.yield(effect)
            }
        }
    }

    // MARK: Watching

    private func hear(_ node: NodeID, incarnation: UInt64) {
        let now = environment.clock.now
        if presence[node]?.incarnation != incarnation {
            presence[node] = Presence(
                incarnation: incarnation,
                detector: FailureDetector(interval: environment.heartbeat, at: now),
                lastHeard: now)
        }
        presence[node]?.detector.hear(at: now)
        presence[node]?.lastHeard = now
    }

    private func watchPeers() async -> Bool {
        for await event in actorSystem.peerEvents {
            switch event {
            case .connected(let node, _): presence[node]?.disconnectedAt = nil
            case .lost(let node, _): presence[node]?.disconnectedAt = environment.clock.now
            }
        }
        return false
    }

    /// Looks for silent nodes and late deadlines; true once the run is over and no worker is left.
    ///
    /// To have told them is not enough: a coordinator that stops while its last answers are still
    /// on their way leaves workers behind that try to reach it.
    private func keepTicking() async throws -> Bool {
        var overSince: Duration?
        while true {
            try await environment.clock.sleep(for: Coordinator.tick)
            let now = environment.clock.now
            for (node, presence) in presence.sorted(by: { $0.key < $1.key }) {
                let isCut = presence.disconnectedAt.map {
                    now - $0 > environment.disconnectPatience
                }
                // Without a shard server the run is over, so its silence is forgiven longest.
                let isSilent =
                    node.role == .shard
                    ? now - presence.lastHeard > FailureDetector.deadlineMax
                    : presence.detector.isSilent(at: now)
                guard isCut == true || isSilent else { continue }
                self.presence[node] = nil
                advance(
                    node.role == .shard ? .shardLost(name: node.name) : .lost(name: node.name))
            }
            advance(.tick)
            waiters.wakeExpired(at: now)
            guard state.isOver else { continue }
            let since = overSince ?? now
            overSince = since
            let isAlone = presence.allSatisfy {
                $0.key.role != .worker || $0.value.disconnectedAt != nil
            }
            if isAlone || now - since > Coordinator.farewell { return true }
        }
    }
}
