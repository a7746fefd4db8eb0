/// How rounds open and close and how the run ends; the other half of ``CoordinatorState``'s
/// transitions is in `CoordinatorMembership.swift`.
extension CoordinatorState {
    // MARK: Between rounds

    /// Goes on from `idle` if there is a reason to.
    mutating func proceedIfIdle(at now: Duration) -> [Effect] {
        guard phase == .idle else { return [] }
        if stopRequested || isAtEnd { return conclude(at: now) }
        let needed = hasOpenedRound ? 1 : settings.rounds.minimumWorkers
        return presentWorkers.count >= max(needed, 1) ? openNext(at: now) : []
    }

    /// Opens the round that starts from the current version, with everyone who is here.
    private mutating func openNext(at now: Duration) -> [Effect] {
        let round = version
        let kind: RoundKind = round < settings.rounds.warmup ? .warmup : .local
        if kind == .local, settings.mode == .asynchronous { return openFlow() }
        let isTimed = kind == .local && settings.mode == .aEdit
        let syncTime = isTimed ? syncTime(of: presentWorkers) : nil
        let scheduleStep = scheduleStep
        let workers = presentWorkers
        let retains = isKeepDue
        hasOpenedRound = true
        if retains { keeping = snapshot(at: now) }
        evaluation = evaluationDue(workers: workers) ?? evaluation
        plans = [:]
        closings = [:]
        // Whoever has gone since its last round leaves what it carried over.
        for holder in ledger.open.keys.sorted() where !workers.contains(holder) {
            ledger.close(holder, used: 0)
        }
        for worker in workers {
            members[worker]?.state = .training
            let steps = kind == .warmup ? 1 : isTimed ? expectedSteps(worker) : roundSteps
            let lease = lease(of: worker, steps: steps)
            plans[worker] = RoundPlan(
                round: round, kind: kind, baseVersion: UInt64(round), steps: steps,
                scheduleStep: scheduleStep,
                lease: lease,
                evaluation: evaluation?.version == UInt64(round) ? evaluation?.parts[worker] : nil,
                savesState: retains, syncTime: syncTime, maskCoefficient: maskCoefficient)
        }
        let opening = RoundOpening(
            round: round, kind: kind,
            members: workers.compactMap { name in
                members[name].map {
                    RoundMember(
                        worker: name, incarnation: $0.incarnation, isObserving: !$0.isSettled)
                }
            },
            scheduleStep: scheduleStep, retainsBase: retains)
        phase = .opening(opening)
        return [.open(opening)]
    }

    /// The measurement that the round from the current version starts with, if one is due.
    func evaluationDue(workers: [String]) -> Evaluation? {
        let every = settings.observation.evaluateEvery
        let sequences = min(heldOutSequences, settings.observation.evaluationSequences)
        guard every > 0, sequences > 0, !workers.isEmpty else { return nil }
        let sinceWarmup = version - settings.rounds.warmup
        guard version == 0 || (sinceWarmup >= 0 && sinceWarmup % every == 0) else { return nil }
        return Evaluation(version: UInt64(version), sequences: sequences, workers: workers)
    }

    // MARK: A round

    mutating func opened(_ round: Int, at now: Duration) -> [Effect] {
        guard case .opening(let opening) = phase, opening.round == round else { return [] }
        phase = .running(opening)
        if opening.isFree { return flowOpened(opening, at: now) }
        timing.begin(at: now)
        var effects: [Effect] = [.wake]
        effects += removals(from: opening)
        if opening.retainsBase { keepRequested = false }
        effects += orderKeeping(at: now)
        return effects + finishRoundIfClosed(at: now)
    }

    mutating func closed(_ shard: String, _ closing: RoundClosing, at now: Duration) -> [Effect] {
        guard openRound?.round == closing.round, shards.contains(shard) else { return [] }
        closings[shard] = closing
        return finishRoundIfClosed(at: now)
    }

    private mutating func finishRoundIfClosed(at now: Duration) -> [Effect] {
        guard case .running(let opening) = phase, !opening.isFree, closings.count == shards.count
        else { return [] }
        settle(opening, at: now)
        // Whoever has not told of the round before by now will not be heeded any more.
        let kept = orderKeeping(at: now, isLate: true)
        plans = [:]
        for name in members.keys.sorted() where members[name]?.state == .draining {
            members[name]?.state = .left
        }
        version += 1
        // Whoever was in this round has told of the one before.
        noteMasks(ofRound: version - 2)
        phase = .idle
        return kept + [.wake] + proceedIfIdle(at: now)
    }

    /// Books what the round used, applied and lost.
    private mutating func settle(_ opening: RoundOpening, at now: Duration) {
        var steps = 0
        var used = 0
        for member in opening.members {
            guard let plan = plans[member.worker] else { continue }
            let applied = closings.values.reduce(0) { $0 + ($1.applied[member.worker] ?? 0) }
            let isTurnedDown = closings.values.contains { $0.turnedDown.contains(member.worker) }
            let taken = stepsTaken(by: member.worker, plan)
            let isUsed = applied > 0 || isTurnedDown
            let usedUp = isUsed ? taken * settings.rounds.batchSize : 0
            closeLease(of: member.worker, used: usedUp)
            if isUsed { used += taken }
            let tokens = taken * settings.rounds.batchSize * settings.sequenceLength
            if applied == 0, taken == 0 {
                continue
            } else if applied == 0 {
                history.missedContributions += 1
                if isTurnedDown { history.lostTokens += tokens }
            } else if member.isObserving && opening.members.contains(where: { !$0.isObserving }) {
                history.lostTokens += tokens
                members[member.worker]?.isSettled = true
            } else {
                history.appliedContributions += 1
                history.appliedTokens += tokens
                steps += taken
                members[member.worker]?.isSettled = true
            }
        }
        history.steps += steps
        movePosition(opening, by: used)
        history.append(
            RunHistory.Point(
                round: opening.round, tokens: history.appliedTokens,
                seconds: secondsBefore + now.inSeconds))
        noteTrainLoss(ofRound: opening.round)
    }

    /// The sequences of a plan of `steps` steps; where workers do not wait, with those of the steps
    /// that they take before the next plan.
    mutating func lease(of worker: String, steps: Int) -> Lease {
        ledger.renew(worker, to: (steps + settings.stepsAhead) * settings.rounds.batchSize)
    }

    /// Ends the lease of `worker` for a round; who trains on meanwhile keeps what it did not use.
    mutating func closeLease(of worker: String, used count: Int) {
        let goesOn = settings.stepsAhead > 0 && members[worker]?.state == .training
        if goesOn, count > 0 {
            ledger.carryOver(worker, used: count)
        } else {
            ledger.close(worker, used: count)
        }
    }

    // MARK: Measuring

    mutating func evaluated(
        _ name: String, _ report: EvaluationReport, at now: Duration
    ) -> [Effect] {
        evaluation?.record(report, from: name)
        return finishEvaluationIfComplete(at: now)
    }

    mutating func finishEvaluationIfComplete(at now: Duration) -> [Effect] {
        guard let current = evaluation, current.isComplete(among: Set(presentWorkers)) else {
            return []
        }
        evaluation = nil
        if let loss = current.loss { history.recordHeldOut(loss, version: current.version) }
        return phase == .concluding ? keepLast(at: now) : []
    }

    // MARK: The end

    /// Measures the last version, if anyone is here to do it, and keeps it.
    mutating func conclude(at now: Duration) -> [Effect] {
        phase = .concluding
        let sequences = min(heldOutSequences, settings.observation.evaluationSequences)
        let workers = presentWorkers
        let isMeasured = history.latestHeldOut?.version == UInt64(version)
        guard sequences > 0, !workers.isEmpty, !isMeasured else {
            evaluation = nil
            return keepLast(at: now)
        }
        evaluation = Evaluation(version: UInt64(version), sequences: sequences, workers: workers)
        return [.wake]
    }
}

extension Duration {
    /// As fractional seconds.
    package var inSeconds: Double {
        Double(components.seconds) + Double(components.attoseconds) * 1e-18
    }
}
