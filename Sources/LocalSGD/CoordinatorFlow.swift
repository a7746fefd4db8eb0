/// How the coordinator leads a run without rounds: every worker has a plan of its own and gets the
/// next when it has reported.
///
/// A version of the run is as many inner steps per worker as a round would have; it is what
/// measurements, checkpoints and the history are counted in. Modules count their own pushes.
///
///     opening(members) --shards know--> running --joined--> opening(more members)
///         running --reported--> next plan | end of the run, all have reported--> idle
extension CoordinatorState {
    /// What there is to remember where there are no rounds.
    struct Flow: Sendable {
        /// Number of the next opening and of the next plan.
        var nextOpening = 0
        var nextPlan = 0
        /// When each worker got its plan.
        var issuedAt: [String: Duration] = [:]
        /// Loss of the version under way.
        var lossSum = 0.0
        var lossTokens = 0
        /// The version of which the latest checkpoint was begun.
        var keptVersion = -1
        var updates = LocalUpdates(syncInterval: 1)
    }

    // MARK: Members

    /// Makes everyone who is here a member; who trains goes on.
    mutating func openFlow() -> [Effect] {
        hasOpenedRound = true
        flow.nextOpening = max(flow.nextOpening, version)
        flow.nextPlan = max(flow.nextPlan, version)
        let workers = presentWorkers
        for worker in workers { members[worker]?.state = .training }
        let leaving = members.filter { $0.value.state == .draining && plans[$0.key] != nil }.keys
        let opening = RoundOpening(
            round: flow.nextOpening, kind: .local,
            members: (workers + leaving).sorted().compactMap { name in
                members[name].map {
                    RoundMember(
                        worker: name, incarnation: $0.incarnation, isObserving: false)
                }
            }, scheduleStep: scheduleStep, retainsBase: false, isFree: true)
        flow.nextOpening += 1
        if case .idle = phase { plans = [:] }
        closings = [:]
        phase = .opening(opening)
        return [.open(opening)]
    }

    mutating func flowOpened(_ opening: RoundOpening, at now: Duration) -> [Effect] {
        var effects: [Effect] = [.wake]
        effects += removals(from: opening)
        issueAll(at: now)
        return effects + reopenFlowIfJoined() + finishFlowIfEmpty(at: now)
    }

    /// Opens again if somebody has come since.
    mutating func reopenFlowIfJoined() -> [Effect] {
        guard case .running(let opening) = phase, opening.isFree, !isEnding else { return [] }
        return members.contains { $0.value.state == .ready } ? openFlow() : []
    }

    // MARK: Plans

    private var isEnding: Bool { stopRequested || isAtEnd }

    private mutating func issueAll(at now: Duration) {
        for member in openRound?.members ?? [] { issue(to: member.worker, at: now) }
    }

    /// Gives `worker` its next plan, unless it has one or the run has no steps left to give.
    private mutating func issue(to worker: String, at now: Duration) {
        guard members[worker]?.state == .training, plans[worker] == nil, !isEnding,
            let opening = openRound
        else { return }
        let wanted =
            settings.asynchronous.adaptsSteps ? flow.updates.steps(of: worker) : roundSteps
        let given = plans.values.reduce(0) { $0 + $1.steps }
        let left =
            (Double(settings.totalSteps) - history.position) * Double(opening.members.count)
            - Double(given)
        let steps = min(wanted, Int((left - positionSlack).rounded(.up)))
        guard steps > 0 else { return }
        let isMeasured = evaluation?.version == UInt64(version)
        let lease = lease(of: worker, steps: steps)
        plans[worker] = RoundPlan(
            round: flow.nextPlan, kind: .local, baseVersion: UInt64(version), steps: steps,
            scheduleStep: scheduleStep,
            lease: lease,
            evaluation: isMeasured ? evaluation?.missingPart(of: worker) : nil,
            savesState: flow.keptVersion == version, isFree: true,
            maskCoefficient: maskCoefficient)
        flow.issuedAt[worker] = now
        flow.nextPlan += 1
    }

    /// Books what `name` did and gives it the next plan.
    mutating func settleFreely(
        _ report: RoundReport, of name: String, at now: Duration
    ) -> [Effect] {
        guard let plan = plans[name], plan.round == report.round, let opening = openRound else {
            return []
        }
        members[name]?.lastReported = plan.round
        members[name]?.isSettled = true
        plans[name] = nil
        let steps = min(max(report.steps, 0), plan.steps)
        closeLease(of: name, used: steps * settings.rounds.batchSize)
        let tokens = steps * settings.rounds.batchSize * settings.sequenceLength
        if report.accepted > 0 {
            history.appliedContributions += 1
            history.appliedTokens += tokens
            history.steps += steps
        } else {
            history.missedContributions += 1
            history.lostTokens += tokens
        }
        if let began = flow.issuedAt[name] {
            flow.updates.note(name, steps: steps, in: now - began)
        }
        if let told = maskShares([report]) {
            noteMasks(told, share: 1 / Double(max(opening.members.count, 1)))
        }
        flow.lossSum += report.lossSum
        flow.lossTokens += report.tokens
        movePosition(opening, by: steps)
        let effects = countVersions(at: now)
        if members[name]?.state == .draining {
            members[name]?.state = .left
            return effects + [
                .remove(
                    worker: name, incarnation: members[name]?.incarnation ?? 0,
                    round: opening.round), .wake,
            ] + finishFlowIfEmpty(at: now)
        }
        issueAll(at: now)
        return effects + [.wake] + finishFlowIfEmpty(at: now)
    }

    /// A worker that is gone has given its lease back.
    mutating func abandonPlan(of name: String) {
        flow.updates.remove(name)
        plans[name] = nil
        ledger.close(name, used: 0)
    }

    // MARK: Versions

    /// Counts the versions that the run has reached; what is due at one is done.
    private mutating func countVersions(at now: Duration) -> [Effect] {
        var effects: [Effect] = []
        while version < settings.rounds.total,
            history.position + positionSlack >= Double(settings.step(atRound: version + 1))
        {
            effects += countVersion(at: now)
        }
        return effects
    }

    private mutating func countVersion(at now: Duration) -> [Effect] {
        history.append(
            RunHistory.Point(
                round: version, tokens: history.appliedTokens,
                seconds: secondsBefore + now.inSeconds))
        if flow.lossTokens > 0 {
            history.recordTrainLoss(flow.lossSum / Double(flow.lossTokens), round: version)
        }
        (flow.lossSum, flow.lossTokens) = (0, 0)
        version += 1
        if !isEnding { evaluation = evaluationDue(workers: presentWorkers) ?? evaluation }
        guard isKeepDue, !isEnding else { return [] }
        keepRequested = false
        keeping = snapshot(at: now)
        flow.keptVersion = version
        return orderKeeping(at: now)
    }

    /// Ends the flow when nobody has a plan any more: for good, or until somebody comes.
    mutating func finishFlowIfEmpty(at now: Duration) -> [Effect] {
        guard case .running(let opening) = phase, opening.isFree, plans.isEmpty else { return [] }
        guard isEnding || presentWorkers.isEmpty else {
            // Whoever had the last steps is gone; they are anyone's again.
            issueAll(at: now)
            return [.wake]
        }
        var effects: [Effect] = [.wake]
        for name in members.keys.sorted() where members[name]?.state == .training {
            members[name]?.state = .ready
        }
        let moved = history.position - Double(settings.step(atRound: version))
        if isEnding, moved > positionSlack, version < settings.rounds.total {
            effects += countVersion(at: now)
        }
        phase = .idle
        return effects + proceedIfIdle(at: now)
    }
}
