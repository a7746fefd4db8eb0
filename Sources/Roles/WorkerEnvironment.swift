package import Cluster
package import LocalSGD
package import Logging

/// All that a worker needs from the outside; the composition root makes it.
package struct WorkerEnvironment: Sendable {
    package var coordinator: Address
    /// Grows from one life of a worker with this name to the next.
    package var incarnation: UInt64
    package var clock: any ClusterClock
    package var logger: Logger
    /// Where inner steps run; nil for wherever the worker runs.
    package var computeExecutor: (any TaskExecutor)?
    /// Where updates are encoded and decoded meanwhile.
    package var codingExecutor: (any TaskExecutor)?
    package var pace: Pace = .full
    package var vault: OptimizerVault = .none
    /// The run whose kept optimizer state may be offered when joining.
    package var runHint: String?
    /// Time between two signs of life.
    package var heartbeat: Duration = .seconds(1)
    /// Told of all that takes time, as soon as it is over; must not wait for anything.
    package var timeline: (@Sendable (Span) -> Void)?
    /// Makes the trainer for the run's settings and the model's config.json.
    package var makeTrainer: @Sendable (RunSettings, _ model: String) throws -> LocalTrainer

    package init(
        coordinator: Address, incarnation: UInt64, clock: any ClusterClock, logger: Logger,
        makeTrainer: @escaping @Sendable (RunSettings, String) throws -> LocalTrainer
    ) {
        self.coordinator = coordinator
        self.incarnation = incarnation
        self.clock = clock
        self.logger = logger
        self.makeTrainer = makeTrainer
    }
}

/// How fast a worker may go.
package enum Pace: Sendable, Equatable {
    case full
    /// Rests after each step so that it works only this share of the time, in 0...1.
    case share(Double)
    /// Takes at least this long for each step; how simulated workers take time at all.
    case stepTime(Duration)
    /// Takes at least a time of its own for each step, see ``StepTimes``.
    case stepTimes(StepTimes)

    /// Rests as long as the pace asks for after a step that began at `started`.
    func rest(after started: Duration, on clock: any ClusterClock) async throws {
        let taken = clock.now - started
        switch self {
        case .full: return
        case .share(let share):
            try await clock.sleep(for: taken * (1 / max(share, 0.01) - 1))
        case .stepTime(let time):
            if taken < time { try await clock.sleep(for: time - taken) }
        case .stepTimes(let times):
            let time = times.next()
            if taken < time { try await clock.sleep(for: time - taken) }
        }
    }

    /// As told in heartbeats.
    var throttle: Double {
        if case .share(let share) = self { return share }
        return 1
    }
}

/// What a worker counts, for its heartbeats.
struct WorkerProgress: Sendable {
    /// Bytes of a frame besides its message and bulk; each payload counts with one.
    private static let frameBytes = 40
    /// Weight of the newest step in the running loss.
    private static let newestWeight = 0.1

    private var heartbeat: Heartbeat
    /// Steps of the last `window` and when they ended.
    private var recent: [(at: Duration, tokens: Int)] = []
    private let window: Duration = .seconds(10)

    init(_ environment: WorkerEnvironment) {
        heartbeat = Heartbeat(
            incarnation: environment.incarnation, throttle: environment.pace.throttle)
    }

    var stepsInRound: Int {
        get { heartbeat.stepsInRound }
        set { heartbeat.stepsInRound = newValue }
    }

    mutating func begin(_ plan: RoundPlan, steps: Int) {
        heartbeat.round = plan.round
        heartbeat.stepsInRound = steps
    }

    mutating func stepped(_ loss: LossSum, at now: Duration) {
        heartbeat.tokens += loss.tokens
        recent.append((now, loss.tokens))
        guard loss.tokens > 0 else { return }
        let mean = loss.sum / Double(loss.tokens)
        heartbeat.trainLoss =
            heartbeat.trainLoss.isNaN
            ? mean
            : heartbeat.trainLoss + WorkerProgress.newestWeight * (mean - heartbeat.trainLoss)
    }

    mutating func sent(_ bytes: Int) { heartbeat.bytesUp += bytes + WorkerProgress.frameBytes }
    mutating func received(_ bytes: Int) {
        heartbeat.bytesDown += bytes + WorkerProgress.frameBytes
    }

    /// The figures as they stand; the speed is over the last ten seconds, waits included.
    mutating func heartbeat(at now: Duration) -> Heartbeat {
        recent.removeAll { now - $0.at > window }
        let span = min(now, window).inSeconds
        heartbeat.tokensPerSecond =
            span > 0 ? Double(recent.reduce(0) { $0 + $1.tokens }) / span : 0
        return heartbeat
    }
}

extension WorkerState.Action {
    /// For the log.
    var verb: String {
        switch self {
        case .join: "joining"
        case .adopt(let version): "pulling version \(version)"
        case .ask: "asking what to do"
        case .evaluate(let version, _): "measuring version \(version)"
        case .saveState(let version): "keeping the state of version \(version)"
        case .train(let plan): "training in round \(plan.round)"
        case .push(let plan): "pushing round \(plan.round)"
        case .rest: "resting"
        case .leave, .giveUp: "leaving"
        }
    }
}
