import LocalSGD

/// The keys of what differs between the modes, and of the penalty.
extension ConfigurationTable {
    static let modes: [ConfigurationKey] = rounds + penalty + asynchronous

    private static let rounds: [ConfigurationKey] = [
        .number(
            "training.sync_seconds", \.run.rounds.syncSeconds, .above(0, to: 86_400),
            "Seconds that workers train in a round by time (mode a-edit)."),
        .integer(
            "training.minimum_steps", \.run.rounds.minimumSteps, 0...1_000_000,
            "Steps of all workers together below which a round by time is extended."),
        .integer(
            "training.overlap.steps", \.run.overlap.steps, -1...1000,
            "Steps that a worker may take while its push and the next version are on their way;"
                + " 0: it waits; -1: 8, or 0 in mode edit."),
        .choice(
            "training.overlap.mix", \.run.overlap.mix,
            "What a new version makes of those steps: repeated from there, or half of each."),
    ]

    private static let penalty: [ConfigurationKey] = [
        .choice(
            "training.weighting", \.run.rounds.weighting,
            "How contributions are weighed against each other."),
        .number(
            "training.weighting_temperature", \.run.penalty.temperature, .from(0, to: 1e6),
            "Temperature of the weightings relative and edit; 0: 0.1 and 1."),
        .number(
            "training.step_weight", \.run.rounds.stepWeight, .from(0, to: 1),
            "Part of each weight that goes by inner steps instead (weighting edit)."),
        .choice(
            "training.merge", \.run.rounds.merge,
            "What a round makes of contributions: their mean, or one that keeps their length."),
        .toggle(
            "training.anomaly.detection", \.run.penalty.detectsAnomalies,
            "Whether workers leave out updates whose norms are out of line with their own past."),
        .choice(
            "training.anomaly.verdict", \.run.penalty.verdict,
            "Whether more than 20 % of flagged modules make a worker leave out all (worker)."),
        .number(
            "training.anomaly.rate", \.run.penalty.detector.rate, .above(0, to: 1),
            "Share of a new norm in the detector's moving mean."),
        .integer(
            "training.anomaly.warmup", \.run.penalty.detector.warmup, 2...100_000,
            "Updates that a detector sees before it flags the first."),
        .number(
            "training.anomaly.threshold", \.run.penalty.detector.threshold, .above(0, to: 1000),
            "Standard deviations above its mean at which a norm is an anomaly."),
        .integer(
            "training.anomaly.reset_after", \.run.penalty.detector.resetAfter, 0...1000,
            "Anomalies in a row after which a detector starts afresh; 0: never."),
        .choice(
            "training.anomaly.semantics", \.run.penalty.detector.semantics,
            "Statistics of the detector: ours, or those of EDiT's reference code."),
        .toggle(
            "training.clip.adaptive", \.run.penalty.learnsClip,
            "Whether each module's bound on its mean update is learnt from its first rounds."),
        .number(
            "training.clip.factor", \.run.penalty.clip.factor, .above(0, to: 1000),
            "The learnt bound, as a multiple of the median norm of the rounds observed."),
        .integer(
            "training.clip.first_round", \.run.penalty.clip.firstRound, 1...100_000,
            "First round after the warm-up that is observed."),
        .integer(
            "training.clip.last_round", \.run.penalty.clip.lastRound, 1...100_000,
            "Last round that is observed; the bound holds from the next."),
    ]

    private static let asynchronous: [ConfigurationKey] = [
        .integer(
            "training.async.staleness", \.run.asynchronous.stalenessFactor, 1...1000,
            "Versions per worker that a push may be behind (mode async)."),
        .number(
            "training.async.grace", \.run.asynchronous.graceFraction, .from(0, to: 1),
            "Wait between a push and the pull, as a fraction of the time trained."),
        .toggle(
            "training.async.adaptive_steps", \.run.asynchronous.adaptsSteps,
            "Whether a slow worker takes fewer steps between two pushes."),
        .choice(
            "training.async.momentum", \.run.asynchronous.momentum,
            "Whether momentum waits for as many pushes as there are workers; plain diverges."),
    ]
}
