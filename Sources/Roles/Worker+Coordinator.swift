internal import Cluster
internal import Codec
internal import Distributed
internal import LocalSGD
internal import Logging
internal import NIOCore
internal import Tensors
internal import Wire

/// What a worker and the coordinator tell each other.
extension Worker {
    func join() async throws -> WorkerState.Outcome {
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
                guard let pullCodec = Codec.pulls(welcome.settings) else {
                    return .turnedAway(
                        reason: "this build has no codec \(welcome.settings.pulls.codec)")
                }
                self.codec = codec
                self.pullCodec = pullCodec
                let trainer = try environment.makeTrainer(welcome.settings, welcome.model)
                self.trainer = trainer
                judge = UpdateJudge(
                    welcome.settings, modules: trainer.layout.modules.count)
            }
            self.welcome = welcome
            await dropAhead()
            underWay.round = -1
            return .joined(version: welcome.version)
        }
    }

    func ask(_ report: RoundReport?) async throws -> WorkerState.Outcome {
        let coordinator = try await coordinator()
        let assignment = try await coordinator.ask(
            AskRequest(incarnation: environment.incarnation, report: report))
        planCame = environment.clock.now
        return .assigned(assignment)
    }

    /// Where in its lease the sequences of the next inner step are; nil once the round is over for
    /// this worker.
    func nextBatch(of plan: RoundPlan) async throws -> Range<Int>? {
        let rounds = try joined().settings.rounds
        let done = underWay.steps
        let next = done * rounds.batchSize..<(done + 1) * rounds.batchSize
        guard plan.syncTime != nil else { return done < plan.steps ? next : nil }
        if try timeLeft(of: plan) <= .zero, try await isTimeOver(plan, after: done) { return nil }
        if next.upperBound > underWay.lease.count {
            underWay.lease = try await allowance(plan, steps: done, isOver: false).lease
            guard next.upperBound <= underWay.lease.count else { return nil }
        }
        return next
    }

    /// Until a round by time is over, extensions included; for ever in one of so many steps.
    func timeLeft(of plan: RoundPlan) throws -> Duration {
        guard let syncTime = plan.syncTime else { return .seconds(Int64.max) }
        return SyncTime(duration: syncTime)
            .left(after: environment.clock.now - underWay.began, extra: underWay.extra)
    }

    /// Whether a round whose time is over stays so: it is extended while all workers together have
    /// taken too few steps.
    func isTimeOver(_ plan: RoundPlan, after steps: Int) async throws -> Bool {
        // Enough steps of its own are enough of all.
        guard steps < (try joined().settings.rounds.minimumSteps) else { return true }
        let extra = try await allowance(plan, steps: steps, isOver: true).extra
        guard extra > underWay.extra else { return true }
        underWay.extra = extra
        return false
    }

    func allowance(_ plan: RoundPlan, steps: Int, isOver: Bool) async throws -> Allowance {
        try await timed(.ask) {
            try await coordinator().allow(
                AllowanceRequest(
                    incarnation: environment.incarnation, round: plan.round, steps: steps,
                    isOver: isOver))
        }
    }

    func evaluate(
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

    /// The tokens at `range` of `lease`, fetched before if it can be.
    func trainingTokens(_ range: Range<Int>, of lease: Lease) async throws -> [Int32] {
        if let tokens = fetched.take(lease.part(range)) { return tokens }
        fetched = try await timed(.fetch) {
            try await fetch(range.lowerBound, of: lease, batch: range.count)
        }
        return fetched.take(lease.part(range)) ?? []
    }

    /// Fetches what comes behind `range` while others compute on that, so that distance costs no
    /// step any time.
    func prefetch(behind range: Range<Int>, of lease: Lease) async throws -> FetchedTokens? {
        let next = range.upperBound..<range.upperBound + range.count
        guard fetched.isEmpty, next.upperBound <= lease.count else { return nil }
        return try await fetch(next.lowerBound, of: lease, batch: range.count)
    }

    private func fetch(
        _ first: Int, of lease: Lease, batch: Int
    ) async throws -> FetchedTokens {
        let many = max(min(FetchedTokens.batches * batch, Coordinator.sequencesMax), batch)
        let last = min(first + many, lease.count)
        let part = lease.part(first..<last)
        return FetchedTokens(part, try await sequences(part, of: .training))
    }

    func sequences(
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

    func keepHeartbeat() async throws -> String? {
        while true {
            try await environment.clock.sleep(for: environment.heartbeat)
            // A heartbeat that fails is simply missed; the actions find out for themselves.
            let heartbeat = progress.heartbeat(at: environment.clock.now)
            let reply = try? await coordinator().heartbeat(heartbeat)
            if let reason = reply?.leaveReason { return reason }
        }
    }

    // MARK: Before and after a push

    /// What this worker says of its updates of these `norms`; a gradient is never judged.
    func judged(_ norms: [Double], in plan: RoundPlan) throws -> [Verdict] {
        guard plan.kind == .local else { return norms.map { _ in .sound } }
        return judge?.verdicts(round: plan.round, norms: norms, steps: underWay.steps) ?? []
    }

    func header(
        of module: Int, _ plan: RoundPlan, norm: Double, _ verdict: Verdict
    ) async throws -> Contribution {
        let settings = try joined().settings
        return Contribution(
            key: PushKey(
                worker: id.name, incarnation: environment.incarnation, module: module,
                sequence: UInt64(plan.round)),
            round: plan.round, kind: plan.kind,
            baseVersion: plan.isFree ? bases[module] ?? 0 : plan.baseVersion, steps: underWay.steps,
            tokens: underWay.steps * settings.rounds.batchSize * settings.sequenceLength,
            norm: norm, codec: codec.coding(plan.kind).name, verdict: verdict,
            expertTokens: await (try trained()).expertTokens(of: module))
    }

    /// Lets others push at about the same time, so that their updates are in the next pull.
    func waitForOthers() async throws {
        let fraction = try joined().settings.asynchronous.graceFraction
        let grace = (environment.clock.now - underWay.began) * fraction
        if grace > .zero { try await environment.clock.sleep(for: grace) }
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
