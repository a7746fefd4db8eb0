internal import Cluster
internal import Distributed
internal import LocalSGD
internal import Logging
internal import Tensors

/// Inner steps, taken one after the other by a task of their own, so that a round can end, and be
/// pushed, while a step is under way.
///
/// Whether a step belongs to a round or to the next one is decided by whether it ended before the
/// round closed:
///
///     train(r) --time--> close -- push(r) -- adopt(r + 1) -- ask --> train(r + 1)
///        \__ step, step, st|ep, step (rebased when a module arrives) ____/
struct Stepping: Sendable {
    /// The plan that steps are begun for; after its round has closed, those ahead of the next.
    var plan: RoundPlan?
    /// Whether a step is under way, or about to be.
    var isUnderWay = false
    /// Whether there will never be a step again.
    var hasStopped = false
    /// What ended the steps of a round.
    var failure: (any Error)?
    /// Steps since the trainer's round last closed.
    var taken = StepsTaken()
    /// Resumed when a step has ended.
    var waiter: CheckedContinuation<Void, Never>?
    /// What is left of the last round's lease, and how much of it that round used.
    var lease = Lease(runs: [])
    var used = 0

    /// Takes in what the trainer has counted, unless that is of a stretch that has closed since.
    mutating func note(_ found: StepsTaken) {
        if found.stretch == taken.stretch { taken = found }
    }

    /// Whether the steps taken ahead, of `batch` sequences each, are the first of those that `next`
    /// asks for.
    func begins(_ next: RoundPlan, batch: Int) -> Bool {
        let end = used + taken.steps * batch
        guard next.syncTime != nil || taken.steps <= next.steps, end <= lease.count else {
            return false
        }
        return next.lease.begins(with: lease.part(used..<end))
    }
}

extension Worker {
    /// Makes the round of `plan` the one under way, behind the last step ahead of it.
    ///
    /// After a failure it goes on where it was: its first steps have moved the local parameters.
    func begin(_ plan: RoundPlan) async {
        guard plan.round != underWay.round else { return }
        await endSteps()
        underWay = RoundUnderWay(round: plan.round, began: planCame, lease: plan.lease)
    }

    /// Steps of the round of `plan`, until they are all taken or its time is over.
    func takeSteps(of plan: RoundPlan) async throws {
        try await countAhead(in: plan)
        progress.begin(plan, steps: underWay.steps)
        stepping.failure = nil
        beginSteps(of: plan)
        var isTimed = plan.syncTime != nil
        while stepping.isUnderWay, !stepping.hasStopped {
            let left = try timeLeft(of: plan)
            // Who has not taken a step yet ends one first; whoever waits anyway ends it, too.
            if isTimed, left <= .zero, underWay.steps > 0, try joined().settings.stepsAhead > 0 {
                if try await isTimeOver(plan, after: underWay.steps) { return }
                isTimed = try timeLeft(of: plan) > .zero
            }
            await stepEnd(within: isTimed && left > .zero ? left : nil)
        }
        try Task.checkCancellation()
        if let failure = stepping.failure {
            stepping.plan = nil
            throw failure
        }
    }

    /// Takes steps whenever there is an order to.
    func keepStepping() async throws -> String? {
        defer {
            stepping.hasStopped = true
            noteStepEnd()
        }
        for await _ in stepOrders.stream {
            stepping.isUnderWay = true
            do {
                while let plan = stepping.plan, let (batch, lease) = try await batch(of: plan),
                    stepping.plan != nil
                {
                    try await takeStep(on: batch, of: lease, plan)
                    noteStepEnd()
                }
            } catch {
                try Task.checkCancellation()
                if underWay.isClosed {
                    environment.logger.debug("no more steps ahead of the plan: \(error)")
                } else {
                    stepping.failure = error
                }
            }
            stepping.isUnderWay = false
            noteStepEnd()
        }
        return nil
    }

    private func beginSteps(of plan: RoundPlan) {
        stepping.plan = plan
        stepping.isUnderWay = !stepping.hasStopped
        stepOrders.continuation.yield()
    }

    /// The sequences of the next step, and the lease that they are of; the round may close while
    /// they are asked for.
    private func batch(of plan: RoundPlan) async throws -> (Range<Int>, Lease)? {
        if underWay.isClosed { return try await batchAhead(of: plan).map { ($0, stepping.lease) } }
        return try await nextBatch(of: plan).map { ($0, underWay.lease) }
    }

    private func takeStep(
        on batch: Range<Int>, of lease: Lease, _ plan: RoundPlan
    ) async throws {
        let isAhead = underWay.isClosed
        let ahead = isAhead ? stepping.taken.steps : 0
        let taken = try await step(
            on: batch, of: lease, scheduleStep: plan.scheduleStep + underWay.steps + ahead,
            maskCoefficient: plan.maskCoefficient, isAhead ? .stepAhead : .step,
            round: isAhead ? plan.round + 1 : plan.round)
        stepping.note(taken)
        if underWay.isClosed, lease.count > stepping.lease.count { stepping.lease = lease }
        guard !underWay.isClosed, taken.stretch == stepping.taken.stretch else { return }
        underWay.steps = taken.steps
        progress.stepsInRound = taken.steps
    }

    /// Where in the lease the sequences of the next step ahead are; nil if there are none yet.
    private func batchAhead(of plan: RoundPlan) async throws -> Range<Int>? {
        let settings = try joined().settings
        let limit =
            plan.syncTime == nil
            ? min(settings.stepsAhead, plan.steps) : settings.stepsAhead
        guard stepping.taken.steps < limit else { return nil }
        let first = stepping.used + stepping.taken.steps * settings.rounds.batchSize
        let next = first..<first + settings.rounds.batchSize
        if next.upperBound > stepping.lease.count {
            let more = try await allowance(
                plan, steps: next.lowerBound / settings.rounds.batchSize, isOver: false
            ).lease
            // Of a round that has closed meanwhile nothing is left to have, and nothing is lost.
            guard next.upperBound <= more.count else { return nil }
            stepping.lease = more
        }
        return next
    }

    // MARK: Waiting for steps

    /// Returns when a step has ended, or nothing can end any more, or `time` has passed.
    private func stepEnd(within time: Duration?) async {
        let clock = environment.clock
        await withTaskGroup(of: Void.self) { group in
            if let time {
                group.addTask {
                    try? await clock.sleep(for: time)
                    await self.noteStepEnd()
                }
            }
            await withCheckedContinuation { stepping.waiter = $0 }
            group.cancelAll()
        }
    }

    private func noteStepEnd() {
        stepping.waiter?.resume()
        stepping.waiter = nil
    }

    /// Begins no further step; returns when the one under way is done.
    func endSteps() async {
        stepping.plan = nil
        while stepping.isUnderWay, !stepping.hasStopped { await stepEnd(within: nil) }
    }

    // MARK: Between rounds

    /// Ends the round of `plan` for the trainer, and goes on training where the run wants that.
    func closeRound(_ plan: RoundPlan) async throws {
        guard !underWay.isClosed else { return }
        let settings = try joined().settings
        let goesOn = settings.stepsAhead > 0 && plan.kind == .local
        if !goesOn { await endSteps() }
        let began = environment.clock.now
        let closed = await (try trained()).closeRound(goesOn: goesOn)
        if plan.kind == .local {
            underWay.count(closed)
        }
        underWay.isClosed = true
        note(.closeRound, steps: underWay.steps, since: began)
        // A step that ended while this was on its way belongs to what has begun.
        if stepping.taken.stretch <= closed.stretch {
            stepping.taken = StepsTaken(stretch: closed.stretch + 1)
        }
        guard goesOn else { return }
        stepping.lease = underWay.lease
        stepping.used = underWay.steps * settings.rounds.batchSize
        beginSteps(of: plan)
    }

    /// Begins the round of `plan` with the steps taken ahead of it; they are void if its lease does
    /// not begin with their sequences.
    private func countAhead(in plan: RoundPlan) async throws {
        let taken = stepping.taken
        guard underWay.steps == 0, taken.steps > 0 else { return }
        if stepping.begins(plan, batch: try joined().settings.rounds.batchSize) {
            underWay.steps = taken.steps
        } else {
            environment.logger.notice("\(taken.steps) steps ahead of round \(plan.round) are void")
            await dropAhead()
        }
    }

    /// Forgets the steps taken ahead: they come from parameters that are no good, or not known to
    /// the cluster any more.
    func dropAhead() async {
        await endSteps()
        guard let trainer else { return }
        stepping.taken = StepsTaken(stretch: await trainer.dropProgress())
    }
}
