internal import Cluster
internal import Distributed
internal import LocalSGD
internal import Logging
internal import Tensors

/// Inner steps that a worker takes while its push and the next version are on their way.
///
/// They belong to the round that the worker has no plan for yet, and are taken on what is left of
/// the last one's lease; the coordinator lets the next lease begin there.
///
///     push(r) ----------- adopt(r + 1) -- ask --> plan(r + 1) -- train(r + 1)
///        \__ step, step, step (rebased when a module arrives) ____/
struct AheadOfPlan: Sendable {
    /// The round that was pushed; steps are taken while it is here.
    var plan: RoundPlan?
    /// Its sequences, and those that its own steps took.
    var lease = Lease(runs: [])
    var used = 0
    /// Steps taken since, and their loss.
    var steps = 0
    var loss = LossSum()
    /// Whether a step is being taken.
    var isStepping = false
    /// Waits for that step.
    var ended: CheckedContinuation<Void, Never>?
}

extension Worker {
    /// Ends the round of `plan` for the trainer, and goes on training where the run wants that.
    ///
    /// A push that is repeated finds it done.
    func closeRound(_ plan: RoundPlan) async throws {
        guard !underWay.isClosed else { return }
        let settings = try joined().settings
        let goesOn = settings.stepsAhead > 0 && plan.kind == .local
        await endAhead()
        await (try trained()).closeRound(goesOn: goesOn)
        underWay.isClosed = true
        guard goesOn else { return }
        ahead = AheadOfPlan(
            plan: plan, lease: underWay.lease, used: underWay.steps * settings.rounds.batchSize)
        aheadOrders.continuation.yield()
    }

    /// Takes steps ahead whenever there is an order to.
    func keepAhead() async throws -> String? {
        for await _ in aheadOrders.stream {
            ahead.isStepping = true
            defer { noteAheadEnded() }
            do {
                while let plan = ahead.plan, let batch = try await nextBatchAhead(of: plan) {
                    ahead.loss += try await step(
                        on: batch, of: ahead.lease, plan.kind,
                        scheduleStep: plan.scheduleStep + underWay.steps + ahead.steps)
                    ahead.steps += 1
                }
            } catch {
                try Task.checkCancellation()
                environment.logger.debug("no more steps ahead of the plan: \(error)")
            }
        }
        return nil
    }

    private func noteAheadEnded() {
        ahead.isStepping = false
        ahead.ended?.resume()
        ahead.ended = nil
    }

    /// Where in the lease the sequences of the next step ahead are; nil if there are none yet.
    private func nextBatchAhead(of plan: RoundPlan) async throws -> Range<Int>? {
        let settings = try joined().settings
        let limit =
            plan.syncTime == nil
            ? min(settings.stepsAhead, plan.steps) : settings.stepsAhead
        guard ahead.steps < limit else { return nil }
        let first = ahead.used + ahead.steps * settings.rounds.batchSize
        let next = first..<first + settings.rounds.batchSize
        if next.upperBound > ahead.lease.count {
            ahead.lease = try await allowance(
                plan, steps: next.lowerBound / settings.rounds.batchSize, isOver: false
            ).lease
            guard ahead.plan != nil, next.upperBound <= ahead.lease.count else { return nil }
        }
        return next
    }

    /// Takes no further step ahead; returns when the one under way is done.
    func endAhead() async {
        ahead.plan = nil
        guard ahead.isStepping else { return }
        await withCheckedContinuation { ahead.ended = $0 }
    }

    /// Begins the round of `plan` with the steps taken ahead of it; they are void if its lease does
    /// not begin with their sequences.
    func countAhead(in plan: RoundPlan) async throws {
        await endAhead()
        let taken = ahead
        ahead = AheadOfPlan()
        guard taken.steps > 0 else { return }
        let batch = try joined().settings.rounds.batchSize
        let used = taken.lease.part(taken.used..<taken.used + taken.steps * batch)
        let isEnough = plan.syncTime != nil || taken.steps <= plan.steps
        if underWay.steps == 0, plan.kind == .local, isEnough, plan.lease.begins(with: used) {
            underWay.steps = taken.steps
            underWay.loss = taken.loss
        } else {
            environment.logger.notice("\(taken.steps) steps ahead of round \(plan.round) are void")
            await (try trained()).dropProgress()
        }
    }

    /// Forgets the steps taken ahead: they come from parameters that are no good, or not known to
    /// the cluster any more.
    func dropAhead() async {
        await endAhead()
        ahead = AheadOfPlan()
        await trainer?.dropProgress()
    }
}
