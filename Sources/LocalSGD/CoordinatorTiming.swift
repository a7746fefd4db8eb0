/// How the coordinator keeps rounds by time, and how far a run is whose workers differ in the steps
/// they take.
extension CoordinatorState {
    /// What a round by time has come to.
    struct Timing: Sendable {
        /// When the round under way was opened.
        var openedAt: Duration = .zero
        /// By how much it is longer than planned.
        var extra: Duration = .zero
        /// Steps of the round under way, as far as they are known.
        var steps: [String: Int] = [:]
        /// Steps of the last round, which the next lease is for.
        var lastSteps: [String: Int] = [:]

        mutating func begin(at now: Duration) {
            openedAt = now
            extra = .zero
            steps = [:]
        }
    }

    // MARK: Length

    /// Inner steps of a round of fixed length.
    var roundSteps: Int { settings.rounds.syncInterval }

    /// Inner steps that `worker` is expected to take in a round by time.
    func expectedSteps(_ worker: String) -> Int {
        max(timing.lastSteps[worker] ?? settings.rounds.syncInterval, 1)
    }

    /// How long the round by time lasts that `workers` begin now: as long as ever, or as they need
    /// for the steps that the run has left, at the pace of their last rounds.
    func syncTime(of workers: [String]) -> Duration {
        let whole = settings.syncTime.duration
        let expected = workers.reduce(0) { $0 + Double(expectedSteps($1)) }
        let left = Double(settings.totalSteps) - history.position + positionSlack
        let share = left * Double(workers.count) / max(expected, 1)
        return share < 1 ? whole * share : whole
    }

    /// A lease that is used up grows by a quarter; a round that is over is extended while all steps
    /// together are too few.
    mutating func usedUp(_ name: String, steps: Int, isOver: Bool, at now: Duration) {
        timing.steps[name] = max(timing.steps[name] ?? 0, steps)
        let batch = settings.rounds.batchSize
        guard isOver else {
            // Nobody has taken more steps than there were sequences for.
            let done = min(steps, (ledger.open[name]?.count ?? 0) / batch)
            ledger.extend(name, to: (done + max(done / 4, 1)) * batch)
            return
        }
        let elapsed = now - timing.openedAt
        let total = timing.steps.values.reduce(0, +)
        var time = settings.syncTime
        time.duration = plans[name]?.syncTime ?? time.duration
        if let missing = time.timeMissing(at: elapsed, steps: total) {
            let extra = elapsed + missing - time.duration
            timing.extra = max(timing.extra, extra)
        }
    }

    /// `plan` for a worker that begins at `now`: a round by time ends for all at once.
    func begun(_ plan: RoundPlan, at now: Duration) -> RoundPlan {
        guard let syncTime = plan.syncTime else { return plan }
        var plan = plan
        plan.syncTime = max(syncTime - (now - timing.openedAt), SyncTime.least)
        return plan
    }

    /// Whether `round` is what `worker` has a plan for.
    func isUnderWay(_ round: Int, for worker: String) -> Bool {
        plans[worker]?.round == round && openRound != nil
    }

    /// What `name` may go on with in `round`; nothing once that is over.
    package func allowance(for name: String, round: Int) -> Allowance {
        let lease = isUnderWay(round, for: name) ? ledger.open[name] : nil
        return Allowance(lease: lease ?? Lease(runs: []), extra: timing.extra)
    }

    mutating func noteSteps(of name: String, _ heartbeat: Heartbeat) {
        guard let round = openRound, round.round == heartbeat.round else { return }
        timing.steps[name] = max(timing.steps[name] ?? 0, heartbeat.stepsInRound)
    }

    /// Steps of `worker` in the round that has just closed, as its contributions say; no more than
    /// it had sequences for.
    mutating func stepsTaken(by worker: String, _ plan: RoundPlan) -> Int {
        let told = closings.values.compactMap { $0.steps[worker] }.max() ?? plan.steps
        let steps = min(max(told, 0), (ledger.open[worker]?.count ?? 0) / settings.rounds.batchSize)
        // The last round of a run is shorter and tells nothing of a whole one.
        if plan.syncTime == settings.syncTime.duration, steps > 0 {
            timing.lastSteps[worker] = steps
        }
        return steps
    }

    // MARK: Position

    /// Inner step of the run from which the next plan starts; sets its learning rate.
    var scheduleStep: Int {
        isByPosition ? Int(history.position + positionSlack) : settings.step(atRound: version)
    }

    /// Whether the run has had all its rounds, or as many steps per worker as these stand for.
    var isAtEnd: Bool {
        isByPosition
            ? history.position + positionSlack >= Double(settings.totalSteps)
            : version >= settings.rounds.total
    }

    /// Whether steps differ from round to round and from worker to worker.
    private var isByPosition: Bool {
        settings.mode != .edit && version >= settings.rounds.warmup
    }

    /// Thirds do not add up to ones.
    var positionSlack: Double { 1e-6 }

    /// Takes in a round in which all workers together took `steps` steps.
    mutating func movePosition(_ opening: RoundOpening, by steps: Int) {
        guard settings.mode != .edit else { return }
        switch opening.kind {
        case .warmup: history.position = Double(settings.step(atRound: opening.round + 1))
        case .local: history.position += Double(steps) / Double(max(opening.members.count, 1))
        }
    }

    /// Estimate of the run time left, from the pace since the warm-up.
    var secondsLeftByPosition: Double? {
        let points = history.points.filter { $0.round >= settings.rounds.warmup - 1 }
        guard let first = points.first, let last = points.last, last.round > first.round else {
            return nil
        }
        let done = history.position - Double(settings.step(atRound: first.round + 1))
        let left = Double(settings.totalSteps) - history.position
        guard done > 0 else { return nil }
        return max(0, (last.seconds - first.seconds) / done * left)
    }
}
