import LocalSGD
import Tensors

/// Drives a coordinator's state machine by hand, as shells would.
struct CoordinatorDriver {
    var state: CoordinatorState
    var now: Duration = .zero
    var effects: [CoordinatorState.Effect] = []

    init(
        rounds: Int = 4, warmup: Int = 0, shards: Int = 1, minimumWorkers: Int = 1,
        heldOut: Int = 0, checkpointEvery: Int = 0, version: Int = 0,
        mode: RunMode = .edit, masks: MaskSettings.Training = .off
    ) {
        var settings = RunSettings()
        settings.masks.training = masks
        settings.mode = mode
        settings.sequenceLength = 10
        settings.rounds.total = rounds
        settings.rounds.warmup = warmup
        settings.rounds.syncInterval = 3
        settings.rounds.batchSize = 2
        settings.rounds.minimumWorkers = minimumWorkers
        settings.observation.evaluateEvery = heldOut > 0 ? 2 : 0
        settings.observation.evaluationSequences = heldOut
        settings.observation.checkpointEvery = checkpointEvery
        state = CoordinatorState(
            settings: settings, moduleSizes: [10, 20], shardCount: shards,
            heldOutSequences: heldOut, version: version)
    }

    @discardableResult
    mutating func step(_ event: CoordinatorState.Event) -> [CoordinatorState.Effect] {
        now += .milliseconds(10)
        effects = state.step(event, at: now)
        return effects
    }

    /// Shard servers join and get their modules.
    mutating func start(_ shards: [String] = ["s0"]) {
        for shard in shards { step(.shardJoined(name: shard)) }
        step(.seeded)
    }

    /// A worker joins and asks for work.
    mutating func add(_ worker: String, isComplete: Bool = false) {
        step(.workerJoined(name: worker, incarnation: 1, isComplete: isComplete))
        step(.asked(name: worker, incarnation: 1, report: nil))
    }

    /// The shard servers are told of the round that is opening.
    mutating func open() {
        if case .opening(let opening) = state.phase { step(.opened(round: opening.round)) }
    }

    /// The open round closes with these workers applied on both modules.
    mutating func close(_ applied: [String]) {
        guard let round = state.openRound?.round else { return }
        step(
            .closed(
                shard: "s0",
                RoundClosing(
                    round: round, applied: Dictionary(uniqueKeysWithValues: applied.map { ($0, 2) })
                )))
    }

    /// A worker asks for work again and tells that masks left `live` of 4 slots in `round`.
    mutating func tell(_ worker: String, round: Int, live: Int) {
        var tally = MaskTally()
        (tally.tokens, tally.live) = (4, live)
        let report = RoundReport(
            round: round, steps: 3, tokens: 4, lossSum: 4, accepted: 2, rejected: 0,
            masks: [tally])
        step(.asked(name: worker, incarnation: 1, report: report))
    }

    func plan(_ worker: String) -> RoundPlan? {
        if case .round(let plan) = state.assignment(for: worker, incarnation: 1, at: now) {
            return plan
        }
        return nil
    }
}
