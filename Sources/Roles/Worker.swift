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

    private let environment: WorkerEnvironment
    private var state = WorkerState()
    private var welcome: Welcome?
    private var trainer: LocalTrainer?
    private var codec = Codec.raw
    private var progress: WorkerProgress
    /// Inner steps done of the round under way, and their loss.
    private var progressInRound: (round: Int, steps: Int, loss: LossSum) = (-1, 0, LossSum())

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
        case .join: try await join()
        case .adopt(let version): try await adopt(version)
        case .ask(let report): try await ask(report)
        case .evaluate(let version, let sequences): try await evaluate(version, sequences)
        case .saveState(let version): try await saveState(version)
        case .train(let plan): try await train(plan)
        case .push(let plan): try await push(plan)
        case .rest(let pause): try await rest(pause)
        case .leave(let reason), .giveUp(let reason): .turnedAway(reason: reason)
        }
    }

    // MARK: - The way of a float

    /// tokens -> gradients -> inner optimizer -> local, once per inner step.
    private func train(_ plan: RoundPlan) async throws -> WorkerState.Outcome {
        let trainer = try trained()
        let batch = try joined().settings.rounds.batchSize
        if progressInRound.round != plan.round { progressInRound = (plan.round, 0, LossSum()) }
        progress.begin(plan)
        // After a failure the round goes on where it was: its first steps have moved `local`.
        for step in progressInRound.steps..<plan.steps {
            let lease = plan.lease.part(step * batch..<(step + 1) * batch)
            let tokens = try await sequences(lease, of: .training)
            let started = environment.clock.now
            let loss = await onComputeExecutor {
                switch plan.kind {
                case .warmup: await trainer.gradientOnly(tokens: tokens)
                case .local:
                    await trainer.step(tokens: tokens, scheduleStep: plan.scheduleStep + step)
                }
            }
            progressInRound.loss += loss
            progressInRound.steps += 1
            try await environment.pace.rest(after: started, on: environment.clock)
            progress.stepped(loss, at: environment.clock.now)
        }
        return .trained(tokens: progressInRound.loss.tokens, lossSum: progressInRound.loss.sum)
    }

    /// anchor - local = pseudo-gradient -> codec -> frame -> shard server, module by module in
    /// forward order.
    private func push(_ plan: RoundPlan) async throws -> WorkerState.Outcome {
        let trainer = try trained()
        let batch = try joined().settings.rounds.batchSize
        let length = try joined().settings.sequenceLength
        var outcomes: [PushOutcome] = []
        for module in trainer.layout.modules.indices {
            let codec = codec
            let update = await onComputeExecutor {
                await trainer.encodedUpdate(of: module, kind: plan.kind, with: codec)
            }
            let contribution = Contribution(
                key: PushKey(
                    worker: id.name, incarnation: environment.incarnation, module: module,
                    sequence: UInt64(plan.round)),
                round: plan.round, kind: plan.kind, baseVersion: plan.baseVersion,
                steps: plan.steps, tokens: plan.steps * batch * length, norm: update.norm,
                codec: codec.name)
            let outcome = try await send(
                Push(contribution: contribution, payload: update.payload), of: plan)
            if outcome != .accepted {
                environment.logger.notice(
                    "push of module \(module), round \(plan.round): \(outcome)")
            }
            outcomes.append(outcome)
        }
        // An update that no server takes has come from moments that are no good either.
        if outcomes.contains(where: \.isRefusal) { await trainer.forgetMoments() }
        return .pushed(outcomes)
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
        if let held = state.version, held + 1 == version, version <= UInt64(settings.rounds.warmup),
            try await adoptGradient(version, warmup: settings.rounds.warmup)
        {
            return .adopted(version: version)
        }
        let isWarm = version <= UInt64(settings.rounds.warmup)
        let adopted = try await adoptParameters(version, withMoments: isWarm)
        if state.version == nil, !adopted.withMoments { try await settleMoments(adopted.version) }
        return .adopted(version: adopted.version)
    }
}

// MARK: - Pulling

extension Worker {
    /// Pulls the mean gradient that leads to `version` and applies it; false if the server has gone
    /// on, or if the result is not the server's, bit for bit.
    private func adoptGradient(_ version: UInt64, warmup: Int) async throws -> Bool {
        let trainer = try trained()
        var expected: [UInt32] = []
        for module in trainer.layout.modules.indices {
            let pulled = try await pull(module, version, exactly: true, .gradient)
            guard let pulled, pulled.arrays.count == 1 else { return false }
            await trainer.collect(meanGradient: pulled.arrays[0], module: module)
            expected.append(pulled.checksum)
        }
        let step = try joined().settings.step(atRound: Int(version) - 1)
        let found = await onComputeExecutor {
            await trainer.applyMeanGradient(scheduleStep: step)
        }
        if found != expected {
            environment.logger.warning("warm-up step differs from the servers' at \(version)")
        }
        return found == expected
    }

    /// Pulls all modules, again where needed, until all are of one version.
    private func adoptParameters(
        _ version: UInt64, withMoments: Bool
    ) async throws -> (version: UInt64, withMoments: Bool) {
        let trainer = try trained()
        var wanted = version
        var hasMoments = true
        var held = [UInt64?](repeating: nil, count: trainer.layout.modules.count)
        while let module = held.firstIndex(where: { $0 != wanted }) {
            let content: PullContent = withMoments ? .state : .parameters
            guard let pulled = try await pull(module, wanted, exactly: false, content) else {
                throw ClusterError(.protocolViolation, "a pull without a result")
            }
            await trainer.adopt(pulled.arrays[0], module: module)
            hasMoments = hasMoments && pulled.arrays.count == 3
            if pulled.arrays.count == 3 {
                await trainer.adoptMoments(
                    first: pulled.arrays[1], second: pulled.arrays[2], module: module,
                    steps: Int(pulled.version))
            }
            held[module] = pulled.version
            wanted = max(wanted, pulled.version)
        }
        return (wanted, hasMoments)
    }

    /// One pull, asked again until the version is there; nil if `exactly` that one is gone.
    private func pull(
        _ module: Int, _ version: UInt64, exactly: Bool, _ content: PullContent
    ) async throws -> (version: UInt64, arrays: [FloatBuffer], checksum: UInt32)? {
        let count = try trained().layout.modules[module].range.count
        while true {
            let shard = try await shardServer(of: module)
            let reply = try await shard.pull(
                PullRequest(module: module, version: version, isExact: exactly, content: content))
            switch reply {
            case .present(let version, let arrays, let checksum, let bytes):
                progress.received(bytes.readableBytes)
                let values = try RawCodec.arrays(arrays, of: count, from: bytes)
                return (version, values, checksum)
            case .gone: return nil
            case .notYet: continue
            }
        }
    }

    /// The moments of a worker that has just joined and got none from the servers: those it has
    /// kept of this very version, or none.
    private func settleMoments(_ version: UInt64) async throws {
        let trainer = try trained()
        if let runID = welcome?.runID,
            await environment.vault.versions(runID).contains(version)
        {
            let saved = try await environment.vault.load(runID, version)
            if await trainer.restore(saved) {
                environment.logger.notice("optimizer state of version \(version) restored")
                return
            }
        }
        if version > 0 { await trainer.forgetMoments() }
    }
}

// MARK: - Talking to the coordinator

extension Worker {
    private func join() async throws -> WorkerState.Outcome {
        let coordinator = try await coordinator()
        var request = JoinRequest(incarnation: environment.incarnation)
        if let known = welcome?.runID ?? environment.runHint {
            request.restoredRun = known
            request.restoredVersions = await environment.vault.versions(known)
        }
        switch try await coordinator.join(request) {
        case .notYet: return .notYet
        case .refused(let reason): return .turnedAway(reason: reason)
        case .accepted(let welcome):
            if trainer == nil {
                guard let codec = Codec(name: welcome.settings.codec) else {
                    return .turnedAway(reason: "this build has no codec \(welcome.settings.codec)")
                }
                self.codec = codec
                trainer = try environment.makeTrainer(welcome.settings, welcome.model)
            }
            self.welcome = welcome
            progressInRound.round = -1
            return .joined(version: welcome.version)
        }
    }

    private func ask(_ report: RoundReport?) async throws -> WorkerState.Outcome {
        let coordinator = try await coordinator()
        let assignment = try await coordinator.ask(
            AskRequest(incarnation: environment.incarnation, report: report))
        return .assigned(assignment)
    }

    private func evaluate(
        _ version: UInt64, _ sequences: Range<Int>
    ) async throws -> WorkerState.Outcome {
        let trainer = try trained()
        let lease = Lease(runs: [UInt64(sequences.lowerBound)..<UInt64(sequences.upperBound)])
        let tokens = try await self.sequences(lease, of: .heldOut)
        let loss = await onComputeExecutor { await trainer.evaluate(tokens: tokens) }
        _ = try await coordinator().evaluated(
            EvaluationReport(
                version: version, sequences: sequences, lossSum: loss.sum, tokens: loss.tokens))
        return .evaluated
    }

    private func sequences(
        _ lease: Lease, of stream: SequenceRequest.Stream
    ) async throws -> [Int32] {
        let width = try joined().settings.sequenceLength + 1
        let batch = try await coordinator().sequences(
            SequenceRequest(stream: stream, lease: lease))
        guard batch.tokens.count == lease.count * width else {
            throw ClusterError(
                .protocolViolation,
                "\(batch.tokens.count) tokens for \(lease.count) sequences of \(width)")
        }
        progress.received(batch.tokens.count * 2)
        return batch.tokens
    }

    private func keepHeartbeat() async throws -> String? {
        while true {
            try await environment.clock.sleep(for: environment.heartbeat)
            // A heartbeat that fails is simply missed; the actions find out for themselves.
            let heartbeat = progress.heartbeat(at: environment.clock.now)
            let reply = try? await coordinator().heartbeat(heartbeat)
            if let reason = reply?.leaveReason { return reason }
        }
    }

    /// Makes this worker go once its round is over.
    package func leaveAfterRound(_ reason: String) { state.drain(reason: reason) }

    /// The coordinator wants this worker to go once its round is over.
    distributed func drain(_ request: DrainRequest) async throws -> Nothing {
        environment.logger.notice("told to leave: \(request.reason)")
        state.drain(reason: request.reason)
        return Nothing()
    }
}

// MARK: - Means

extension Worker {
    private func saveState(_ version: UInt64) async throws -> WorkerState.Outcome {
        if let runID = welcome?.runID {
            let saved = await (try trained()).savedState()
            do { try await environment.vault.save(saved, runID, version) } catch {
                // Training goes on without it; only the resume is less exact.
                environment.logger.warning("optimizer state is not kept: \(error)")
            }
        }
        return .stateSaved
    }

    private func rest(_ pause: Duration) async throws -> WorkerState.Outcome {
        try await environment.clock.sleep(for: pause)
        return .rested
    }

    private func coordinator() async throws -> Coordinator {
        let node = try await actorSystem.connect(to: environment.coordinator, role: .coordinator)
        return try Coordinator.resolve(id: node, using: actorSystem)
    }

    private func shardServer(of module: Int) async throws -> ShardServer {
        let welcome = try joined()
        let index = welcome.shardMap.owners[module]
        let expected = NodeID(role: .shard, name: welcome.shardMap.shards[index])
        let node = try await actorSystem.connect(to: welcome.addresses[index], role: .shard)
        guard node == expected else {
            throw ClusterError(.refused, "\(welcome.addresses[index]) is \(node), not \(expected)")
        }
        return try ShardServer.resolve(id: node, using: actorSystem)
    }

    private func joined() throws -> Welcome {
        guard let welcome else { throw ClusterError(.protocolViolation, "not joined yet") }
        return welcome
    }

    private func trained() throws -> LocalTrainer {
        guard let trainer else { throw ClusterError(.protocolViolation, "not joined yet") }
        return trainer
    }

    /// Runs `body` where computing does not keep calls and heartbeats waiting.
    private func onComputeExecutor<Value: Sendable>(
        _ body: @Sendable () async -> Value
    ) async -> Value {
        guard let executor = environment.computeExecutor else { return await body() }
        return await withTaskExecutorPreference(executor) { await body() }
    }
}
