package import Cluster
internal import Codec
package import Distributed
internal import LocalSGD
internal import Logging
internal import NIOCore
internal import Tensors
internal import Wire

/// Trains. Pulls the global parameters, takes inner steps on its own, pushes what they amount to,
/// and pulls again; what to do when is ``WorkerState``'s to say.
///
/// The way of a float through this file, top to bottom: `train`, `push`, `adopt`.
package distributed actor Worker {
    package typealias ActorSystem = ClusterSystem

    let environment: WorkerEnvironment
    var state = WorkerState()
    var welcome: Welcome?
    var trainer: LocalTrainer?
    var codec = Codec.raw
    var pullCodec = Codec.raw
    var progress: WorkerProgress
    var judge: UpdateJudge?
    var underWay = RoundUnderWay()
    /// When the latest assignment came.
    var planCame: Duration = .zero
    var stepping = Stepping()
    var fetched = FetchedTokens()
    let stepOrders = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
    /// Versions that the anchor is of, by module; none of what is not known to be any version.
    var bases: [Int: UInt64] = [:]

    /// Modules that are encoded, sent or fetched at a time, so that distance costs once and not
    /// once a module.
    static let modulesAtOnce = 4

    /// How far the round under way is.
    struct RoundUnderWay: Sendable {
        var round = -1
        /// When its plan came.
        var began: Duration = .zero
        /// The sequences to train on; it grows in a round by time.
        var lease = Lease(runs: [])
        /// By how much a round by time is longer than planned.
        var extra: Duration = .zero
        /// Inner steps done, and their loss.
        var steps = 0
        var loss = LossSum()
        /// What masks left of each layer with experts, where masks are learnt.
        var masks: [MaskTally] = []
        /// Whether its steps are over and its update is what is pushed.
        var isClosed = false

        mutating func count(_ taken: StepsTaken) {
            steps = taken.steps
            loss = taken.loss
            masks = taken.masks
        }
    }

    package init(_ environment: WorkerEnvironment, actorSystem: ClusterSystem) {
        self.actorSystem = actorSystem
        self.environment = environment
        progress = WorkerProgress(environment)
    }

    /// Works until there is nothing more to do; returns the reason for which it left.
    package func work() async throws -> String {
        try await withThrowingTaskGroup(of: String?.self) { group in
            group.addTask { try await self.keepHeartbeat() }
            group.addTask { try await self.followActions() }
            group.addTask { try await self.keepStepping() }
            defer { group.cancelAll() }
            while let result = try await group.next() {
                if let reason = result { return reason }
            }
            return "stopped"
        }
    }

    private func followActions() async throws -> String {
        var action = state.action
        while !Task.isCancelled {
            if case .leave(let reason) = action { return reason }
            if case .giveUp(let reason) = action { throw ClusterError(.unreachable, reason) }
            let outcome: WorkerState.Outcome
            do { outcome = try await perform(action) } catch let error as ClusterError
                where error.isFinal
            {
                throw error
            } catch {
                environment.logger.notice("\(action.verb) failed: \(error)")
                outcome = .failed(reason: "\(error)")
            }
            action = state.next(outcome, at: environment.clock.now)
        }
        return "stopped"
    }

    private func perform(_ action: WorkerState.Action) async throws -> WorkerState.Outcome {
        switch action {
        case .join: try await timed(.join) { try await join() }
        case .adopt(let version): try await adopt(version)
        case .ask(let report): try await timed(.ask) { try await ask(report) }
        case .evaluate(let version, let sequences):
            try await timed(.evaluate) { try await evaluate(version, sequences) }
        case .saveState(let version): try await timed(.save) { try await saveState(version) }
        case .train(let plan): try await train(plan)
        case .push(let plan): try await push(plan)
        case .rest(let pause): try await timed(.rest) { try await rest(pause) }
        case .leave(let reason), .giveUp(let reason): .turnedAway(reason: reason)
        }
    }

    // MARK: - The way of a float

    /// tokens -> gradients -> inner optimizer -> local, once per inner step.
    private func train(_ plan: RoundPlan) async throws -> WorkerState.Outcome {
        await begin(plan)
        switch plan.kind {
        case .warmup: try await takeGradient(of: plan)
        case .local: try await takeSteps(of: plan)
        }
        try await closeRound(plan)
        return .trained(
            tokens: underWay.loss.tokens, lossSum: underWay.loss.sum, steps: underWay.steps,
            masks: underWay.masks)
    }

    /// One inner step on the sequences at `batch` of `lease`; returns all since a round closed.
    func step(
        on batch: Range<Int>, of lease: Lease, scheduleStep: Int, maskCoefficient: Double,
        _ activity: Span.Activity, round: Int
    ) async throws -> StepsTaken {
        let (trainer, clock, pace) = (try trained(), environment.clock, environment.pace)
        let tokens = try await trainingTokens(batch, of: lease)
        async let more = prefetch(behind: batch, of: lease)
        let (loss, taken) = try await timed(activity, round: round) {
            let started = clock.now
            return try await onComputeExecutor {
                try await trainer.step(
                    tokens: tokens, scheduleStep: scheduleStep, maskCoefficient: maskCoefficient
                ) {
                    try await pace.rest(after: started, on: clock)
                }
            }
        }
        progress.stepped(loss, at: clock.now)
        // What is missing is asked for again when it is needed.
        if let more = try? await more { fetched = more }
        return taken
    }

    /// The gradient of a warm-up round; the step itself is taken when the mean is there.
    private func takeGradient(of plan: RoundPlan) async throws {
        await endSteps()
        progress.begin(plan, steps: underWay.steps)
        guard let batch = try await nextBatch(of: plan) else { return }
        let (trainer, clock, pace) = (try trained(), environment.clock, environment.pace)
        let tokens = try await trainingTokens(batch, of: underWay.lease)
        let (loss, masks) = try await timed(.warmupStep) {
            let started = clock.now
            let found = await onComputeExecutor {
                await trainer.gradientOnly(
                    tokens: tokens, scheduleStep: plan.scheduleStep,
                    maskCoefficient: plan.maskCoefficient)
            }
            try await pace.rest(after: started, on: clock)
            return found
        }
        progress.stepped(loss, at: clock.now)
        underWay.loss = loss
        underWay.masks = masks
        underWay.steps = 1
        progress.stepsInRound = 1
    }

    /// anchor - local = pseudo-gradient -> codec -> frame -> shard server, module by module in
    /// forward order.
    ///
    /// An anomaly stays here, its header goes. It must not enter a codec's residual either: a codec
    /// with error feedback keeps what it has until the outcome says what became of its bytes.
    private func push(_ plan: RoundPlan) async throws -> WorkerState.Outcome {
        let trainer = try trained()
        let norms = await timed(.norms) {
            await onCodingExecutor { await trainer.norms(plan.kind) }
        }
        let verdicts = try judged(norms, in: plan)
        let modules = trainer.layout.modules.count
        let outcomes = try await inOrder(modules, atOnce: Worker.modulesAtOnce) { module in
            try await self.push(module, norms[module], verdicts[module], of: plan)
        }
        let isRefused = outcomes.contains(where: \.isRefusal)
        if isRefused || verdicts.contains(where: { $0 != .sound }) { await dropAhead() }
        // What no server takes, and what is no number, has come from moments that are no good.
        if isRefused || norms.contains(where: { !$0.isFinite }) { await trainer.forgetMoments() }
        if plan.isFree { try await timed(.grace) { try await waitForOthers() } }
        return .pushed(
            zip(outcomes, verdicts).map { $1 == .sound ? $0 : .refused("not sound") })
    }

    private func push(
        _ module: Int, _ norm: Double, _ verdict: Verdict, of plan: RoundPlan
    ) async throws -> PushOutcome {
        let trainer = try trained()
        let codec = codec.coding(plan.kind)
        var payload = ByteBuffer()
        if verdict == .sound {
            payload = await timed(.encode, module: module) {
                await onCodingExecutor {
                    await trainer.encodedUpdate(of: module, plan, with: codec)
                }
            }
        }
        let contribution = try await header(of: module, plan, norm: norm, verdict)
        let outcome = try await timed(.push, module: module) {
            try await send(Push(contribution: contribution, payload: payload), of: plan)
        }
        if outcome != .accepted || verdict == .anomaly {
            environment.logger.notice(
                "push of module \(module), round \(plan.round), \(verdict): \(outcome)")
        }
        await trainer.settle(module, outcome)
        return outcome
    }

    /// Repeats the same bytes under the same key until the server has answered for good.
    private func send(_ push: Push, of plan: RoundPlan) async throws -> PushOutcome {
        while true {
            let shard = try await shardServer(of: push.contribution.key.module)
            progress.sent(push.payload.readableBytes)
            let outcome = try await shard.push(push)
            if outcome != .early { return outcome }
            try await environment.clock.sleep(for: WorkerState.restMin)
        }
    }

    /// shard server -> frame -> codec -> anchor and local.
    ///
    /// After a warm-up round the mean gradient is enough: every worker, and the server, then takes
    /// the same step.
    private func adopt(_ version: UInt64) async throws -> WorkerState.Outcome {
        let settings = try joined().settings
        let warmup = UInt64(settings.rounds.warmup)
        if let held = state.version, held + 1 == version, version <= warmup,
            try await adoptGradient(version, warmup: settings.rounds.warmup)
        {
            return .adopted(version: version)
        }
        if settings.mode == .asynchronous, version >= warmup {
            let withMoments = try await adoptNewest(since: warmup)
            if state.version == nil, !withMoments { try await settleMoments(version) }
            return .adopted(version: version)
        }
        let adopted = try await adoptParameters(version, withMoments: version <= warmup)
        if state.version == nil, !adopted.withMoments { try await settleMoments(adopted.version) }
        return .adopted(version: adopted.version)
    }
}

// MARK: - Means

extension Worker {
    func saveState(_ version: UInt64) async throws -> WorkerState.Outcome {
        if let runID = welcome?.runID {
            var saved = await (try trained()).savedState()
            saved.judge = judge
            do { try await environment.vault.save(saved, runID, version) } catch {
                // Training goes on without it; only the resume is less exact.
                environment.logger.warning("optimizer state is not kept: \(error)")
            }
        }
        return .stateSaved
    }

    func rest(_ pause: Duration) async throws -> WorkerState.Outcome {
        try await environment.clock.sleep(for: pause)
        return .rested
    }

    func coordinator() async throws -> Coordinator {
        let node = try await actorSystem.connect(to: environment.coordinator, role: .coordinator)
        return try Coordinator.resolve(id: node, using: actorSystem)
    }

    func shardServer(of module: Int) async throws -> ShardServer {
        let welcome = try joined()
        let index = welcome.shardMap.owners[module]
        let expected = NodeID(role: .shard, name: welcome.shardMap.shards[index])
        let node = try await actorSystem.connect(to: welcome.addresses[index], role: .shard)
        guard node == expected else {
            throw ClusterError(.refused, "\(welcome.addresses[index]) is \(node), not \(expected)")
        }
        return try ShardServer.resolve(id: node, using: actorSystem)
    }

    func joined() throws -> Welcome {
        guard let welcome else { throw ClusterError(.protocolViolation, "not joined yet") }
        return welcome
    }

    func trained() throws -> LocalTrainer {
        guard let trainer else { throw ClusterError(.protocolViolation, "not joined yet") }
        return trainer
    }

    /// Runs `body` where computing does not keep calls and heartbeats waiting.
    func onComputeExecutor<Value: Sendable>(
        _ body: @Sendable () async throws -> Value
    ) async rethrows -> Value {
        guard let executor = environment.computeExecutor else { return try await body() }
        return try await withTaskExecutorPreference(executor) { try await body() }
    }

    /// The same for what must not wait for a step.
    func onCodingExecutor<Value: Sendable>(
        _ body: @Sendable () async throws -> Value
    ) async rethrows -> Value {
        guard let executor = environment.codingExecutor else { return try await body() }
        return try await withTaskExecutorPreference(executor) { try await body() }
    }
}
