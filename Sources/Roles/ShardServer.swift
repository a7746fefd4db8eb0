package import Cluster
internal import Codec
package import Distributed
package import LocalSGD
package import Logging
internal import NIOCore
package import Tensors
internal import Wire

/// Holds modules of the global parameters. Takes updates, combines them when a round closes, and
/// hands out versions; which updates count, and when, is ``ShardState``'s to say.
package distributed actor ShardServer {
    package typealias ActorSystem = ClusterSystem

    /// How long a pull waits for its version before it is told to ask again.
    static let pullPatience: Duration = .seconds(5)
    /// Time between two looks at deadlines.
    static let tick: Duration = .milliseconds(250)

    private let environment: ShardEnvironment
    private var settings: RunSettings?
    private var state: ShardState?
    private var modules: [Int: ModuleStore] = [:]
    private let waiters = Waiters()
    /// Closings that the coordinator has not heard of yet.
    private var reports: AsyncStream<RoundClosing>.Continuation?
    private var stopReason: String?

    package init(_ environment: ShardEnvironment, actorSystem: ClusterSystem) {
        self.actorSystem = actorSystem
        self.environment = environment
    }

    /// Serves until stopped; returns the reason.
    package func serve() async throws -> String {
        try await join()
        let (closings, continuation) = AsyncStream<RoundClosing>.makeStream()
        reports = continuation
        return try await withThrowingTaskGroup(of: String?.self) { group in
            group.addTask { try await self.keepTicking() }
            group.addTask { try await self.keepHeartbeat() }
            group.addTask {
                for await closing in closings { try await self.report(closing) }
                return nil
            }
            defer { group.cancelAll() }
            while let result = try await group.next() {
                if let reason = result { return reason }
            }
            return "stopped"
        }
    }

    /// The current global parameters of `module`, if it is held here.
    package func parameters(of module: Int) -> FloatBuffer? { modules[module]?.current.parameters }

    /// What workers have of them.
    package func shadow(of module: Int) -> FloatBuffer? { modules[module]?.current.shadow }

    // MARK: Updates in

    /// Takes one update; the same key always gets the same answer.
    distributed func push(_ push: Push) async throws -> PushOutcome {
        let contribution = push.contribution
        guard ClusterSystem.caller?.node.name == contribution.key.worker else {
            return .refused("the update is not the caller's own")
        }
        guard let store = modules[contribution.key.module], let settings else {
            return .refused("module \(contribution.key.module) is not held here")
        }
        guard let codec = Codec(name: settings.codec)?.coding(contribution.kind),
            contribution.codec == codec.name
        else { return .refused("the run's codec is \(settings.codec)") }
        let isKnown = state?.hasAnswered(contribution.key) == true
        let (flaw, norm) = isKnown ? (nil, 0) : store.examine(push, with: codec)
        return take(push, flaw, norm)
    }

    /// Judges the push, holds its bytes if it counts, and only then lets its round close on it.
    private func take(_ push: Push, _ flaw: String?, _ norm: Double) -> PushOutcome {
        let key = push.contribution.key
        guard var state else { return .early }
        let effects = state.step(
            .pushed(push.contribution, flaw: flaw), at: environment.clock.now)
        self.state = state
        var (outcome, isNew) = (PushOutcome.early, false)
        for case .answer(let answer, let new) in effects { (outcome, isNew) = (answer, new) }
        // What comes again under the same key was not looked at, and must not take the place of
        // what was: it may be anything.
        if isNew, outcome == .accepted, push.contribution.verdict == .sound {
            modules[key.module]?.hold(push, norm: norm)
        }
        carryOut(effects)
        return outcome
    }

    // MARK: Versions out

    /// Hands out a version, waiting for it a while if it is not there yet.
    distributed func pull(_ request: PullRequest) async throws -> PullReply {
        let until = environment.clock.now + ShardServer.pullPatience
        while true {
            guard let store = modules[request.module] else { return .notYet }
            let current = store.current.version
            if current >= request.version {
                let wanted = request.isExact ? request.version : current
                guard let version = store.version(wanted) else { return .gone(version: current) }
                if settings?.mode == .asynchronous, let node = ClusterSystem.caller?.node,
                    node.role == .worker
                {
                    modules[request.module]?.bases.handOut(version, to: node.name)
                }
                return store.reply(version, request.content)
            }
            guard environment.clock.now < until, !Task.isCancelled else { return .notYet }
            await waiters.wait(until: until)
        }
    }

    // MARK: Orders of the coordinator

    distributed func install(_ module: ModuleInstall) async throws -> Nothing {
        guard let settings else { throw ClusterError(.remoteFailure, "not joined yet") }
        // A repeated order must not undo what has happened since.
        guard modules[module.module] == nil else { return Nothing() }
        modules[module.module] = ModuleStore(
            module.contents, version: module.version, parts: module.parts, settings: settings)
        advance(
            .installed(
                module: module.module, version: module.version, experts: module.parts.experts))
        return Nothing()
    }

    distributed func open(_ opening: RoundOpening) async throws -> Nothing {
        if opening.retainsBase {
            for index in modules.keys.sorted()
            where modules[index]?.current.version == opening.baseVersion {
                modules[index]?.retainCurrent()
            }
        }
        advance(.opened(opening))
        return Nothing()
    }

    distributed func remove(_ removal: Removal) async throws -> Nothing {
        advance(
            .removed(
                worker: removal.worker, incarnation: removal.incarnation, round: removal.round))
        return Nothing()
    }

    distributed func stop(_ request: StopRequest) async throws -> Nothing {
        stopReason = request.reason
        waiters.wakeAll()
        return Nothing()
    }

    // MARK: Carrying out decisions

    private func advance(_ event: ShardState.Event) {
        guard var state else { return }
        let effects = state.step(event, at: environment.clock.now)
        self.state = state
        carryOut(effects)
    }

    private func carryOut(_ effects: [ShardState.Effect]) {
        for effect in effects {
            environment.observe(effect)
            switch effect {
            case .answer: break
            case .merge(let plan):
                modules[plan.module]?.merge(plan)
                waiters.wakeAll()
            case .apply(let plan):
                modules[plan.module]?.apply(plan)
                waiters.wakeAll()
            case .report(let closing):
                reports?.yield(closing)
            }
        }
    }

    private func keepTicking() async throws -> String? {
        while true {
            try await environment.clock.sleep(for: ShardServer.tick)
            advance(.tick)
            waiters.wakeExpired(at: environment.clock.now)
            if let stopReason { return stopReason }
        }
    }

    // MARK: Talking to the coordinator

    private func coordinator() async throws -> Coordinator {
        let node = try await actorSystem.connect(to: environment.coordinator, role: .coordinator)
        return try Coordinator.resolve(id: node, using: actorSystem)
    }

    private func join() async throws {
        let request = JoinRequest(
            incarnation: environment.incarnation, address: environment.address)
        let reply = try await retrying(on: environment.clock) {
            try await self.coordinator().join(request)
        }
        switch reply {
        case .accepted(let welcome):
            settings = welcome.settings
            state = ShardState(welcome.settings)
        case .refused(let reason): throw ClusterError(.refused, reason)
        case .notYet: throw ClusterError(.protocolViolation, "a shard server is never put off")
        }
    }

    /// Signs of life; fails when the coordinator has been out of reach for too long.
    private func keepHeartbeat() async throws -> String? {
        var answeredAt = environment.clock.now
        while true {
            try await environment.clock.sleep(for: environment.heartbeat)
            let heartbeat = Heartbeat(
                incarnation: environment.incarnation, versions: state?.freeVersions ?? [])
            do {
                _ = try await coordinator().heartbeat(heartbeat)
                answeredAt = environment.clock.now
            } catch  where environment.clock.now - answeredAt < orderPatience {
                environment.logger.debug("a sign of life is not answered: \(error)")
            }
        }
    }

    private func report(_ closing: RoundClosing) async throws {
        _ = try await retrying(on: environment.clock) {
            try await self.coordinator().closed(closing)
        }
    }
}

/// All that a shard server needs from the outside.
package struct ShardEnvironment: Sendable {
    package var coordinator: Address
    /// Where workers reach this server.
    package var address: Address
    package var incarnation: UInt64
    package var clock: any ClusterClock
    package var logger: Logger
    /// Time between two signs of life.
    package var heartbeat: Duration = .seconds(1)
    /// Hears of everything that is decided here.
    package var observe: @Sendable (ShardState.Effect) -> Void = { _ in }

    package init(
        coordinator: Address, address: Address, incarnation: UInt64, clock: any ClusterClock,
        logger: Logger
    ) {
        self.coordinator = coordinator
        self.address = address
        self.incarnation = incarnation
        self.clock = clock
        self.logger = logger
    }
}
