/// What a run is told once, at its start, and every node of it then shares.

/// The optimizer inside a worker.
package struct InnerSettings: Sendable, Equatable, Codable {
    package enum Method: String, Sendable, Codable, CaseIterable { case adamw, sgd }

    package var method: Method = .adamw
    /// Peak learning rate, reached after `warmupSteps`.
    package var learningRate: Double = 3e-3
    /// Inner steps over which the learning rate rises linearly from 0.
    package var warmupSteps: Int = 100
    /// The learning rate at the end of the run, as a fraction of the peak.
    package var finalFraction: Double = 0.1
    package var beta1: Double = 0.9
    package var beta2: Double = 0.95
    package var epsilon: Double = 1e-8
    package var weightDecay: Double = 0.1
    /// Largest L2 norm of a gradient; larger ones are scaled down.
    ///
    /// 0 switches clipping off.
    package var clipNorm: Double = 1
    /// Inner steps over which a worker that starts with empty moments raises its learning rate.
    package var rejoinSteps: Int = 100

    package init() {}
}

/// The optimizer at the shard servers.
package struct OuterSettings: Sendable, Equatable, Codable {
    package var learningRate: Double = 0.7
    package var momentum: Double = 0.8
    package var nesterov: Bool = true
    /// Largest L2 norm of a module's mean pseudo-gradient; larger ones are scaled down.
    ///
    /// 0 for none: then the bound is learnt, if ``PenaltySettings/learnsClip``.
    package var clipNorm: Double = 0

    package init() {}
}

/// How contributions are weighed against each other; the second part of the pseudo-gradient
/// penalty.
///
/// All leave out what was flagged as an anomaly, and ``Penalty`` has the formulas.
package enum Weighting: String, Sendable, Codable, CaseIterable {
    /// In proportion to the tokens each was made from.
    case tokens
    /// All alike.
    case uniform
    /// In proportion to tokens, less for norms above the cohort's median; judged per module.
    case relative
    /// By a softmax over negated norms, per module: EDiT as published, which depends on the scale
    /// of norms and gives fast workers less.
    case edit
    /// In proportion to tokens, among workers whose norm over all modules was no anomaly.
    case dips

    /// T of ``Penalty``'s weights where none is set.
    ///
    /// For `edit` as published. For `relative`, cold enough that a worker on random tokens, whose
    /// norms are some 1.3 times the others', does no harm; with 1 it does (docs/convergence.md).
    package var temperature: Double { self == .relative ? 0.1 : 1 }
}

/// What a round makes of its weighed contributions.
package enum Merge: String, Sendable, Codable, CaseIterable {
    /// Their weighted mean.
    case mean
    /// A mean that keeps their length (``RadialMean``), each expert's for itself; not without
    /// rounds, where there is nothing to take the mean of.
    case radial
}

/// What a worker does with its verdicts on single modules.
package enum VerdictScope: String, Sendable, Codable, CaseIterable {
    /// A module that is flagged stays away, the others are sent: EDiT's way.
    case module
    /// If more than ``UpdateJudge/flaggedShareMax`` of them are flagged, all stay away.
    case worker
}

/// When rounds open and close, and what a worker does in one.
package struct RoundSettings: Sendable, Equatable, Codable {
    /// Rounds of the whole run, warm-up included.
    package var total: Int = 60
    /// Rounds of one step each at the start, in which gradients are averaged.
    package var warmup: Int = 10
    /// Inner steps per round after the warm-up; in the modes without a fixed number, those that
    /// the length of the run and of the learning rate's schedule are counted in.
    package var syncInterval: Int = 16
    /// Seconds that workers train in a round by time.
    package var syncSeconds: Double = 60
    /// Steps of all workers together below which a round by time is extended.
    package var minimumSteps: Int = 1
    /// Sequences per inner step and worker.
    package var batchSize: Int = 8
    package var weighting: Weighting = .relative
    /// With weighting ``Weighting/edit``, the part of each weight that goes by inner steps, 0...1.
    package var stepWeight: Double = 0
    package var merge: Merge = .mean
    /// Fraction of a round's members whose contributions suffice once its deadline has passed.
    package var quorum: Double = 0.5
    /// Seconds from the opening of a round until it may close without its slowest members.
    package var deadlineSeconds: Double = 120
    /// Workers that must have joined before the first round opens, also after a resume.
    package var minimumWorkers: Int = 1

    package init() {}
}

/// What keeps bad updates from doing harm, besides ``RoundSettings/weighting``.
package struct PenaltySettings: Sendable, Equatable, Codable {
    /// Whether workers leave out updates that are out of line with their own past.
    package var detectsAnomalies: Bool = true
    package var verdict: VerdictScope = .module
    package var detector = DetectorSettings()
    /// T of ``Penalty``'s weights; 0 for ``Weighting/temperature``.
    package var temperature: Double = 0
    /// Whether a module's bound on its mean update is learnt from its first rounds.
    package var learnsClip: Bool = true
    package var clip = ClipSettings()

    package init() {}
}

/// What holds without rounds.
package struct AsynchronousSettings: Sendable, Equatable, Codable {
    /// Versions per live worker that a push may be behind.
    package var stalenessFactor: Int = Staleness.versionsPerWorkerMax
    /// Part of its time between two pushes that a worker waits after a push, so that what others
    /// push at about the same time is in what it pulls.
    package var graceFraction: Double = 0.03
    /// Whether slow workers take fewer steps between two pushes (``LocalUpdates``).
    package var adaptsSteps: Bool = true
    package var momentum: DelayedNesterov.Method = .delayed

    package init() {}
}

/// Whether workers train on while what they have pushed is on its way.
package struct OverlapSettings: Sendable, Equatable, Codable {
    /// What becomes of the steps taken meanwhile when the new version is there.
    package enum Mix: String, Sendable, Codable, CaseIterable {
        /// They are repeated from there: `local = A + (local - pushed)`; the next update has them.
        case rebase
        /// Halfway between both: `local = (local + A) / 2` (Streaming DiLoCo, 2501.18512).
        case alpha

        /// Weight of the local parameters in a mean; 1 for no mean at all.
        package var keep: Double { self == .rebase ? 1 : 0.5 }
    }

    /// As the mode does by itself: in mode `edit` workers wait, so that the same data gives the
    /// same bits whatever the machines' speeds are.
    package static let byMode = -1
    /// What the other modes allow by themselves.
    package static let usual = 8

    /// Inner steps that a worker may take between its push and the next version; with 0 it waits.
    package var steps: Int = OverlapSettings.byMode
    package var mix: Mix = .rebase

    package init() {}
}

/// How versions travel from shard servers to workers.
package struct PullSettings: Sendable, Equatable, Codable {
    /// The codec that goes with the run's codec of contributions.
    package static let automatic = "auto"

    /// Name of the codec of what has changed from one version to the next, or ``automatic``; `raw`
    /// sends all parameters instead.
    package var codec: String = PullSettings.automatic
    /// Versions after which all workers get all parameters as they are; 0 for never.
    ///
    /// Without rounds a module has as many versions a round as there are workers.
    package var fullEvery: Int = 0

    package init() {}
}

/// How often the global parameters are measured and kept.
package struct ObservationSettings: Sendable, Equatable, Codable {
    /// Rounds between two measurements of the held-out loss.
    ///
    /// 0 measures only the end of the run.
    package var evaluateEvery: Int = 4
    /// Held-out sequences per measurement, at most.
    package var evaluationSequences: Int = 48
    /// Rounds between two checkpoints.
    ///
    /// 0 keeps only the last version of the run.
    package var checkpointEvery: Int = 20

    package init() {}
}

/// Everything about training that all nodes of a run share.
package struct RunSettings: Sendable, Equatable, Codable {
    package var seed: UInt64 = 1
    /// Tokens per sequence.
    package var sequenceLength: Int = 128
    /// Name of the codec of contributions.
    package var codec: String = "raw"
    /// Factor from round to round on what a codec has left unsaid, 0...1; SparseLoCo's beta.
    package var feedbackDecay: Double = 0.95
    package var pulls = PullSettings()
    package var mode: RunMode = .aEdit
    package var inner = InnerSettings()
    package var outer = OuterSettings()
    package var rounds = RoundSettings()
    package var penalty = PenaltySettings()
    package var asynchronous = AsynchronousSettings()
    package var overlap = OverlapSettings()
    package var masks = MaskSettings()
    package var observation = ObservationSettings()

    package init() {}

    /// How a module's mean update is clipped.
    package var clip: ClipSettings {
        var clip = penalty.clip
        clip.absoluteBound = outer.clipNorm
        if !penalty.learnsClip { clip.lastRound = 0 }
        return clip
    }

    /// Inner steps that a worker may take between its push and the next version.
    package var stepsAhead: Int {
        guard overlap.steps < 0 else { return overlap.steps }
        return mode == .edit ? 0 : OverlapSettings.usual
    }

    /// How long a round by time lasts.
    package var syncTime: SyncTime {
        SyncTime(duration: .seconds(rounds.syncSeconds), stepsMin: rounds.minimumSteps)
    }

    /// The same with all extensions that it may need.
    package var longestRound: Duration {
        syncTime.duration * (rounds.minimumSteps > 1 ? SyncTime.extensionsMax : 1)
    }

    /// Inner steps of a run in which no round is missed.
    package var totalSteps: Int { step(atRound: rounds.total) }

    /// Inner steps that a worker present from the start has taken when `round` opens.
    package func step(atRound round: Int) -> Int {
        let warmup = min(round, rounds.warmup)
        return warmup + (round - warmup) * rounds.syncInterval
    }
}
