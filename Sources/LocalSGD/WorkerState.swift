package import Tensors

/// What a worker does next.
///
/// A worker does one thing at a time, so its state machine answers each outcome with the one thing
/// to do then; the worker itself only does it.
///
///     join --> adopt --> ask --+--> evaluate? --> train x steps --> push --> adopt --> ask ...
///       ^        ^             |
///       |        +-------------+ (base version is not the one held)
///       +---- rejoin, or the coordinator is gone for a while
package struct WorkerState: Sendable {
    /// What the worker is to do.
    package enum Action: Sendable, Equatable {
        /// Introduce yourself to the coordinator.
        case join
        /// Pull every module at this version and train from there. `exactly` asks for that very
        /// version; otherwise any later one will do.
        case adopt(version: UInt64)
        /// Ask the coordinator what to do, telling what was done.
        case ask(report: RoundReport?)
        /// Measure the anchor on held-out sequences and tell the coordinator.
        case evaluate(version: UInt64, sequences: Range<Int>)
        /// Keep the optimizer's state for a resume from this version.
        case saveState(version: UInt64)
        /// Take the round's inner steps.
        case train(RoundPlan)
        /// Encode and push every module.
        case push(RoundPlan)
        /// Do nothing for a while.
        case rest(Duration)
        /// The end, in good order.
        case leave(reason: String)
        /// The end, because there is no way to go on.
        case giveUp(reason: String)
    }

    /// How an action went.
    package enum Outcome: Sendable {
        case joined(version: UInt64)
        /// The coordinator has no use for workers yet.
        case notYet
        /// The coordinator will not have this worker.
        case turnedAway(reason: String)
        case adopted(version: UInt64)
        case assigned(Assignment)
        case evaluated
        case stateSaved
        /// `steps` where the plan does not say how many.
        case trained(tokens: Int, lossSum: Double, steps: Int? = nil, masks: [MaskTally] = [])
        /// For every module what became of its push.
        case pushed([PushOutcome])
        case rested
        /// The action failed for a reason that may pass: no connection, no answer in time.
        case failed(reason: String)

        /// Whether nothing came of the action that others wait for.
        var isIdle: Bool {
            switch self {
            case .failed, .rested, .notYet: true
            default: false
            }
        }
    }

    /// How long a worker tries to reach the cluster before it gives up.
    package static let patience: Duration = .seconds(300)
    /// Rest after the first failure; doubled with each further one up to `restMax`.
    package static let restMin: Duration = .milliseconds(50)
    package static let restMax: Duration = .seconds(2)

    /// What is being done.
    package private(set) var action: Action = .join
    /// Version of every module held, once adopted.
    package private(set) var version: UInt64?
    /// The assignment under way.
    private var plan: RoundPlan?
    private var hasEvaluated = false
    private var hasSavedState = false
    private var trained: (tokens: Int, lossSum: Double, steps: Int?, masks: [MaskTally]) =
        (0, 0, nil, [])
    private var report: RoundReport?
    private var failingSince: Duration?
    private var failures = 0
    /// What to do after a rest.
    private var afterRest: Action = .join
    private var drainReason: String?

    package init() {}

    /// Asks the worker to go once it has finished what it is doing.
    package mutating func drain(reason: String) { drainReason = reason }

    /// Takes in how the current action went and says what to do now.
    package mutating func next(_ outcome: Outcome, at now: Duration) -> Action {
        action = decide(outcome, at: now)
        return action
    }

    private mutating func decide(_ outcome: Outcome, at now: Duration) -> Action {
        if let drainReason, plan == nil, outcome.isIdle { return .leave(reason: drainReason) }
        if case .failed(let reason) = outcome { return recover(from: reason, at: now) }
        if case .rested = outcome { return afterRest }
        failingSince = nil
        failures = 0
        switch outcome {
        case .joined(let version):
            plan = nil
            return .adopt(version: version)
        case .notYet: return rest(.milliseconds(200), then: .join)
        case .turnedAway(let reason): return .giveUp(reason: reason)
        case .adopted(let version):
            self.version = version
            return proceed()
        case .assigned(let assignment): return take(assignment)
        case .evaluated:
            hasEvaluated = true
            return proceed()
        case .stateSaved:
            hasSavedState = true
            return proceed()
        case .trained(let tokens, let lossSum, let steps, let masks):
            trained = (tokens, lossSum, steps, masks)
            return plan.map { .push($0) } ?? .ask(report: nil)
        case .pushed(let outcomes): return finishRound(outcomes)
        case .rested, .failed: return action
        }
    }

    /// Starts what the coordinator has assigned.
    private mutating func take(_ assignment: Assignment) -> Action {
        if let drainReason { return .leave(reason: drainReason) }
        report = nil
        hasEvaluated = false
        hasSavedState = false
        switch assignment {
        case .round(let plan):
            self.plan = plan
            return proceed()
        case .evaluate(let version, let sequences, let savesState):
            plan = RoundPlan(
                round: Int(version), kind: .local, baseVersion: version, steps: 0, scheduleStep: 0,
                lease: Lease(runs: []), evaluation: sequences, savesState: savesState)
            return proceed()
        case .wait: return .ask(report: nil)
        case .rejoin: return rest(WorkerState.restMin, then: .join)
        case .leave(let reason): return .leave(reason: reason)
        }
    }

    /// The next part of the plan, or a question if there is none.
    private mutating func proceed() -> Action {
        guard let plan else { return .ask(report: report) }
        if !plan.isFree {
            if let version, version > plan.baseVersion {
                // The round has closed without this worker; there will be a new plan.
                self.plan = nil
                return rest(WorkerState.restMin, then: .ask(report: nil))
            }
            guard version == plan.baseVersion else { return .adopt(version: plan.baseVersion) }
        }
        if plan.savesState, !hasSavedState { return .saveState(version: plan.baseVersion) }
        if let sequences = plan.evaluation, !hasEvaluated {
            return .evaluate(version: plan.baseVersion, sequences: sequences)
        }
        if plan.steps > 0 { return .train(plan) }
        self.plan = nil
        // Measured without training: leave the coordinator the time to take note.
        return rest(WorkerState.restMin, then: .ask(report: nil))
    }

    private mutating func finishRound(_ outcomes: [PushOutcome]) -> Action {
        guard let plan else { return .ask(report: nil) }
        let accepted = outcomes.filter { $0 == .accepted }.count
        report = RoundReport(
            round: plan.round, steps: trained.steps ?? plan.steps, tokens: trained.tokens,
            lossSum: trained.lossSum, accepted: accepted, rejected: outcomes.count - accepted,
            masks: trained.masks)
        self.plan = nil
        return .adopt(version: plan.isFree ? plan.baseVersion : plan.baseVersion + 1)
    }

    // MARK: Failures

    /// Tries the same again after a rest, and gives up when its patience ends.
    private mutating func recover(from reason: String, at now: Duration) -> Action {
        let since = failingSince ?? now
        failingSince = since
        failures += 1
        if now - since > WorkerState.patience {
            return .giveUp(reason: "the cluster can't be reached: \(reason)")
        }
        let pause = min(
            WorkerState.restMin * (1 << min(failures - 1, 10)), WorkerState.restMax)
        return rest(pause, then: action)
    }

    private mutating func rest(_ pause: Duration, then action: Action) -> Action {
        afterRest = action
        return .rest(pause)
    }
}
