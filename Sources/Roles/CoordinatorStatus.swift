internal import Cluster
internal import Distributed
package import LocalSGD
internal import Tensors
package import Wire

/// What the coordinator shows of the run.
extension Coordinator {
    /// The state of the run now.
    package func status() -> Martlet_V1_RunStatus {
        var status = Martlet_V1_RunStatus()
        status.id = environment.runID
        status.name = environment.runName
        (status.state, status.reason) = shownPhase
        status.round = UInt64(state.version)
        status.roundsTotal = UInt64(environment.settings.rounds.total)
        status.steps = UInt64(state.history.steps)
        status.tokens = UInt64(state.history.appliedTokens)
        status.lostTokens = UInt64(state.history.lostTokens)
        status.parameters = UInt64(environment.layout.count)
        status.contributionsApplied = UInt64(state.history.appliedContributions)
        status.contributionsLate = UInt64(state.history.missedContributions)
        if let loss = state.history.latestTrainLoss { status.trainLoss = loss }
        if let measured = state.history.latestHeldOut {
            status.heldOutLoss = measured.loss
            status.heldOutRound = measured.version
        }
        if let best = state.history.bestHeldOutLoss { status.bestHeldOutLoss = best }
        if let kept = state.latestCheckpoint {
            status.checkpoint.path = kept.path
            status.checkpoint.round = kept.version
        }
        status.history = state.history.points.map(Martlet_V1_LossPoint.init(showing:))
        showMasks(in: &status)
        showTraffic(in: &status)
        showTime(in: &status)
        status.members = shownMembers
        status.modules = shownModules
        return status
    }

    /// Carries out an operator's order.
    package func order(_ event: CoordinatorState.Event) async {
        if case .drain(let worker) = event {
            advance(event)
            let node = NodeID(role: .worker, name: worker)
            if let actor = try? Worker.resolve(id: node, using: actorSystem) {
                // The plan tells it as well; this only spares it the next question.
                _ = try? await actor.drain(DrainRequest(reason: "drained by an operator"))
            }
            return
        }
        advance(event)
    }

    private var shownPhase: (Martlet_V1_RunStatus.State, String) {
        switch state.phase {
        case .gathering:
            let missing = state.shardCount - state.shards.count
            return (.starting, "waiting for \(missing) shard server\(missing == 1 ? "" : "s")")
        case .seeding: return (.starting, "placing modules")
        case .idle: return (state.version == 0 ? .starting : .training, "waiting for workers")
        case .opening(let opening), .running(let opening):
            if state.stopRequested { return (.draining, "the open round is the last") }
            return (opening.kind == .warmup ? .warmup : .training, "")
        case .concluding: return (.draining, "measuring the last version")
        case .keeping: return (.draining, "writing the checkpoint")
        case .finished: return (.finished, "")
        case .failed(let reason): return (.failed, reason)
        }
    }

    private func showTraffic(in status: inout Martlet_V1_RunStatus) {
        let beats = state.members.values.compactMap(\.heartbeat)
        let up = beats.reduce(0) { $0 + $1.bytesUp }
        let down = beats.reduce(0) { $0 + $1.bytesDown }
        let tokens = beats.reduce(0) { $0 + $1.tokens }
        status.bytesUp = UInt64(up)
        status.bytesDown = UInt64(down)
        guard tokens > 0 else { return }
        status.bytesUpPerToken = Double(up) / Double(tokens)
        status.bytesDownPerToken = Double(down) / Double(tokens)
    }

    private func showTime(in status: inout Martlet_V1_RunStatus) {
        let elapsed = state.secondsBefore + environment.clock.now.inSeconds
        status.elapsedSeconds = elapsed
        status.tokensPerSecond = state.members.values
            .filter { $0.state == .training || $0.state == .ready || $0.state == .draining }
            .compactMap(\.heartbeat?.tokensPerSecond).reduce(0, +)
        guard !state.isOver, let left = state.secondsLeft else { return }
        status.remainingSeconds = left
    }

    private var shownMembers: [Martlet_V1_Member] {
        let now = environment.clock.now
        var members: [Martlet_V1_Member] = []
        var own = Martlet_V1_Member()
        own.name = id.name
        own.address = environment.address.map { "\($0)" } ?? ""
        own.role = .coordinator
        own.state = .active
        own.throttle = 1
        members.append(own)
        for name in state.shards {
            var shown = Martlet_V1_Member()
            shown.name = name
            shown.role = .shard
            let presence = presence[NodeID(role: .shard, name: name)]
            shown.state = presence == nil ? .lost : .active
            shown.incarnation = presence?.incarnation ?? 0
            shown.address = addresses[name].map { "\($0)" } ?? ""
            shown.lastSeenSeconds = presence.map { (now - $0.lastHeard).inSeconds } ?? 0
            shown.throttle = 1
            shown.round = UInt64(state.version)
            members.append(shown)
        }
        for (name, member) in state.members.sorted(by: { $0.key < $1.key }) {
            members.append(shownWorker(name, member, at: now))
        }
        return members
    }

    private func shownWorker(
        _ name: String, _ member: CoordinatorState.Member, at now: Duration
    ) -> Martlet_V1_Member {
        var shown = Martlet_V1_Member()
        shown.name = name
        shown.role = .worker
        shown.incarnation = member.incarnation
        shown.state =
            switch member.state {
            case .joining, .ready: .joining
            case .training: member.isSettled ? .active : .observing
            case .draining: .draining
            case .left: .left
            case .lost: .lost
            }
        let heard = presence[NodeID(role: .worker, name: name)]?.lastHeard ?? member.lastHeard
        shown.lastSeenSeconds = (now - heard).inSeconds
        shown.throttle = 1
        guard let beat = member.heartbeat else { return shown }
        shown.tokensPerSecond = beat.tokensPerSecond
        shown.tokens = UInt64(beat.tokens)
        shown.bytesUp = UInt64(beat.bytesUp)
        shown.bytesDown = UInt64(beat.bytesDown)
        shown.round = UInt64(beat.round)
        shown.stepsInRound = UInt64(beat.stepsInRound)
        shown.throttle = beat.throttle
        if beat.trainLoss.isFinite { shown.trainLoss = beat.trainLoss }
        return shown
    }

    /// Takes in the versions of the modules at `shard`; what does not fit its modules says nothing.
    func noteVersions(_ versions: [UInt64], of shard: String) {
        guard let modules = state.shardMap?.modules(of: shard), versions.count == modules.count
        else { return }
        for (module, version) in zip(modules, versions) { noteVersion(version, of: module) }
    }

    func noteVersion(_ version: UInt64, of module: Int) {
        moduleVersions[module] = max(moduleVersions[module] ?? 0, version)
    }

    private func showMasks(in status: inout Martlet_V1_RunStatus) {
        let history = state.history
        guard state.settings.masks.isOn, let active = history.activeExperts,
            let empty = history.emptyShare
        else { return }
        status.activeExperts = active
        status.emptyShare = empty
        status.maskCoefficient = state.maskCoefficient
        status.masks = (history.masks ?? []).map { share in
            var shown = Martlet_V1_MaskShare()
            shown.activeExperts = share.active
            shown.emptyShare = share.empty
            return shown
        }
    }

    private var shownModules: [Martlet_V1_Module] {
        environment.layout.modules.enumerated().map { index, module in
            var shown = Martlet_V1_Module()
            shown.name = module.name
            shown.version = moduleVersions[index] ?? UInt64(state.version)
            shown.shard = state.shardMap?.owner(of: index) ?? ""
            shown.parameters = UInt64(module.range.count)
            return shown
        }
    }
}

extension Martlet_V1_LossPoint {
    fileprivate init(showing point: RunHistory.Point) {
        self.init()
        round = UInt64(point.round)
        tokens = UInt64(point.tokens)
        seconds = point.seconds
        if let loss = point.trainLoss { trainLoss = loss }
        if let loss = point.heldOutLoss { heldOutLoss = loss }
        if let active = point.activeExperts { activeExperts = active }
    }
}
