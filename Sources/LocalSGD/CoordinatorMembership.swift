/// How nodes come and go; the other half of ``CoordinatorState``'s transitions is in
/// `CoordinatorRounds.swift`.
extension CoordinatorState {
    mutating func shardJoined(_ name: String) -> [Effect] {
        guard phase == .gathering, !shards.contains(name) else { return [] }
        shards = (shards + [name]).sorted()
        guard shards.count == shardCount else { return [] }
        let map = ShardMap(placing: moduleSizes, on: shards)
        shardMap = map
        phase = .seeding
        return [.log("all \(shardCount) shard servers are here"), .seed(map)]
    }

    mutating func seeded(at now: Duration) -> [Effect] {
        guard phase == .seeding else { return [] }
        phase = .idle
        return [.log("modules are placed at version \(version)"), .wake] + proceedIfIdle(at: now)
    }

    mutating func workerJoined(
        _ name: String, _ incarnation: UInt64, isComplete: Bool, at now: Duration
    ) -> [Effect] {
        guard !isOver else { return [] }
        if let known = members[name], known.incarnation == incarnation, known.state != .lost,
            known.state != .left
        {
            members[name]?.lastHeard = now
            return []
        }
        let effects = members[name].map { retire(name, $0, as: .lost) } ?? []
        let isFirst = version == 0 && openRound == nil
        members[name] = Member(
            incarnation: incarnation, state: .joining, isSettled: isComplete || isFirst,
            lastHeard: now)
        return effects + [.log("worker \(name) joins at version \(version)")]
    }

    mutating func asked(
        _ name: String, _ incarnation: UInt64, _ report: RoundReport?, at now: Duration
    ) -> [Effect] {
        guard let member = members[name], member.incarnation == incarnation else { return [] }
        members[name]?.lastHeard = now
        var effects: [Effect] = []
        if let report {
            effects = openRound?.isFree == true ? settleFreely(report, of: name, at: now) : []
            record(report, from: name)
        } else {
            noteSilence(of: name)
        }
        effects += orderKeeping(at: now)
        guard member.state == .joining else { return effects }
        members[name]?.state = .ready
        return effects + [.log("worker \(name) is ready")] + proceedIfIdle(at: now)
            + reopenFlowIfJoined() + finishFlowIfEmpty(at: now)
    }

    /// Notes what `name` did in a round, once.
    private mutating func record(_ report: RoundReport, from name: String) {
        guard report.round > members[name]?.lastReported ?? -1, report.round <= version else {
            return
        }
        members[name]?.lastReported = report.round
        reports[report.round, default: [:]][name] = report
        reports = reports.filter { $0.key >= report.round - 2 }
        noteTrainLoss(ofRound: report.round)
    }

    /// Sums the loss over the reports of `round` in the order of names.
    mutating func noteTrainLoss(ofRound round: Int) {
        guard let told = reports[round] else { return }
        let tokens = told.values.map(\.tokens).reduce(0, +)
        guard tokens > 0 else { return }
        let sum = told.sorted { $0.key < $1.key }.reduce(0) { $0 + $1.value.lossSum }
        history.recordTrainLoss(sum / Double(tokens), round: round)
    }

    mutating func lost(_ name: String, at now: Duration) -> [Effect] {
        guard let member = members[name], member.state != .lost, member.state != .left else {
            return []
        }
        return [.log("worker \(name) is lost")] + retire(name, member, as: .lost)
            + finishEvaluationIfComplete(at: now) + finishFlowIfEmpty(at: now)
    }

    mutating func drain(_ name: String, at now: Duration) -> [Effect] {
        guard let member = members[name] else { return [.log("no worker \(name) to drain")] }
        switch member.state {
        case .training:
            members[name]?.state = .draining
            return [.log("worker \(name) leaves after this round")]
        case .joining, .ready:
            return retire(name, member, as: .left) + [.wake] + finishFlowIfEmpty(at: now)
        case .draining, .left, .lost:
            return []
        }
    }

    /// Ends a membership; an open round stops waiting for it.
    mutating func retire(
        _ name: String, _ member: Member, as state: Member.State
    ) -> [Effect] {
        members[name]?.state = state
        if openRound?.isFree == true { abandonPlan(of: name) }
        guard let round = openRound,
            round.members.contains(where: {
                $0.worker == name && $0.incarnation == member.incarnation
            })
        else { return [] }
        return [.remove(worker: name, incarnation: member.incarnation, round: round.round)]
    }

    /// Orders to wait no more for those members of `opening` that have gone while the shard servers
    /// were being told of it.
    ///
    /// An order at the time was for nothing where the opening was not known yet. Who has come back
    /// since is gone from this round too, and would be waited for until everyone gives up.
    func removals(from opening: RoundOpening) -> [Effect] {
        opening.members.compactMap { member in
            if let known = members[member.worker], known.incarnation == member.incarnation,
                known.state == .training || known.state == .draining
            {
                return nil
            }
            return .remove(
                worker: member.worker, incarnation: member.incarnation, round: opening.round)
        }
    }

    mutating func shardLost(_ name: String) -> [Effect] {
        guard !isOver, shards.contains(name) else { return [] }
        return fail("shard server \(name) is lost, and its modules with it")
    }

    mutating func fail(_ reason: String) -> [Effect] {
        phase = .failed(reason: reason)
        return [.log("the run fails: \(reason)"), .wake]
    }
}
