import LocalSGD
import MoE
import Roles
import Storage

/// What all runs of a comparison share; kept in each run's file, so that runs of different plans
/// are never compared.
struct ConvergencePlan: Codable, Equatable, Sendable {
    // The model: a small mixture of experts that reads bytes.
    var hiddenSize = 32
    var layers = 2
    var heads = 4
    var experts = 8
    var expertsPerToken = 2
    var expertHiddenSize = 32
    var precision = "fp32"
    // The cluster.
    var workers = 4
    var shards = 2
    // The budget.
    var tokens = 16_000_000
    var sequenceLength = 128
    /// Sequences per inner step and worker.
    var batchSize = 8
    /// Inner steps per round, where rounds have a fixed number.
    var syncInterval = 16
    // The optimizers.
    var learningRate = 4e-3
    /// Of synchronous training, whose best is another.
    var synchronousLearningRate = 1.2e-2
    var outerLearningRate = 0.7
    var outerMomentum = 0.8
    /// With a codec that says later what it leaves out, which is momentum of a kind.
    var sparseOuterLearningRate = 2.0
    var sparseOuterMomentum = 0.0
    /// Part of the steps that are synchronous, at the start.
    var warmupShare = 0.0625
    /// Settings of all runs besides, each `KEY=VALUE` as in a configuration; they go before those
    /// above, and a method's own before them.
    var overrides: [String] = []
    // The measurements.
    var heldOutSequences = 128
    /// Measurements on the way to the end.
    var curvePoints = 64
    // The machines.
    /// Seconds that an inner step takes.
    var stepSeconds = 1.0
    /// How much longer the straggler's steps take.
    var straggling = 4.0
    /// Chance that a step stalls where steps do, and for how many seconds.
    var stallChance = 0.1
    var stallSeconds = 5.0
    /// Of a node's limited line, each way.
    var linkMegabits = 100.0
    /// Of every node's line.
    var latencySeconds = 0.001
    /// Seconds of a round by time.
    var syncSeconds = 24.0
    /// Stands for the text and how it is split.
    var corpus: UInt64 = 0

    /// Small enough to see the whole way in a minute; nothing can be concluded from it.
    static let quick: ConvergencePlan = {
        var plan = ConvergencePlan()
        plan.hiddenSize = 32
        plan.layers = 2
        plan.heads = 2
        plan.experts = 4
        plan.expertHiddenSize = 32
        plan.tokens = 65_536
        plan.sequenceLength = 64
        plan.batchSize = 2
        plan.syncInterval = 16
        plan.learningRate = 3e-3
        plan.synchronousLearningRate = 3e-3
        plan.syncSeconds = 30
        plan.heldOutSequences = 32
        plan.curvePoints = 8
        return plan
    }()

    /// Steps of each worker, if all take as many.
    var steps: Int { max(1, tokens / tokensPerGlobalStep) }
    /// Tokens of an inner step of one worker.
    var tokensPerStep: Int { batchSize * sequenceLength }
    private var tokensPerGlobalStep: Int { workers * tokensPerStep }
    /// The text has to have more tokens than that to train on: rounds may go beyond the budget.
    var textTokensMin: Int { tokens + tokensPerGlobalStep * syncInterval }
    /// Steps of the synchronous warm-up, about their share; the rest are whole rounds.
    var warmupSteps: Int { steps - rounds * syncInterval }
    /// Rounds behind the warm-up.
    var rounds: Int {
        max(0, (steps - Int((Double(steps) * warmupShare).rounded(.up))) / syncInterval)
    }

    /// Throws where the budget is too small for a round, or `text` for the budget.
    ///
    /// Text that is seen twice would make methods look alike.
    func check(_ text: Corpus) throws {
        for setting in overrides where !setting.hasPrefix("training.") {
            throw CommandError(.usage, "--set \(setting): only keys of training can be set here")
        }
        guard try !settings(seed: 1).masks.isOn else {
            throw CommandError(
                .usage, "the model of this comparison has no masks; see martlet bench beam")
        }
        guard rounds > 0 else {
            let steps = Double(syncInterval + 1) / (1 - min(max(warmupShare, 0), 0.99))
            let least = tokensPerGlobalStep * (Int(steps) + 1)
            throw CommandError(
                .usage, "--tokens \(tokens) is too little for one round; give \(least) or more")
        }
        guard text.train.count > textTokensMin else {
            throw CommandError(
                .badData,
                "the text has \(text.train.count) tokens to train on, and no part of it may be seen"
                    + " twice in \(tokens); give more --corpus or fewer --tokens")
        }
    }

    var model: ModelConfiguration {
        ModelConfiguration(
            vocabularySize: (ByteTokenizer.vocabularySize + 31) / 32 * 32, hiddenSize: hiddenSize,
            layers: layers, heads: heads, keyValueHeads: heads, headWidth: hiddenSize / heads,
            experts: experts, expertsPerToken: expertsPerToken,
            expertHiddenSize: expertHiddenSize, positionsMax: sequenceLength)
    }

    /// What is the same in every method: rounds with a fixed number of steps, raw.
    func settings(seed: UInt64) throws -> RunSettings {
        var settings = RunSettings()
        settings.mode = .edit
        settings.seed = seed
        settings.sequenceLength = sequenceLength
        settings.inner.learningRate = learningRate
        settings.inner.warmupSteps = max(1, steps / 20)
        settings.outer.learningRate = outerLearningRate
        settings.outer.momentum = outerMomentum
        // A bound fits a model and a sync interval; the penalty learns one.
        settings.outer.clipNorm = 0
        settings.rounds.batchSize = batchSize
        settings.rounds.syncInterval = syncInterval
        settings.rounds.warmup = warmupSteps
        settings.rounds.total = warmupSteps + rounds
        settings.rounds.minimumWorkers = workers
        // Nobody is lost, so every round waits for everybody.
        settings.rounds.deadlineSeconds = 86_400
        // The losses are measured from outside, where it takes no time and no bytes.
        settings.observation.evaluateEvery = 0
        settings.observation.evaluationSequences = 0
        settings.observation.checkpointEvery = 0
        var loaded = LoadedConfiguration()
        loaded.configuration.run = settings
        try loaded.set(overrides)
        return loaded.configuration.run
    }

    /// The machine of worker `index`; the last one straggles where one does.
    func machine(_ index: Int, under condition: ConvergenceCondition) -> StepTimes.Machine {
        guard condition == .straggler else { return .init(step: .seconds(stepSeconds)) }
        let factor = index == workers - 1 ? straggling : 1
        return .init(
            step: .seconds(stepSeconds * factor), stallChance: stallChance,
            stall: .seconds(stallSeconds))
    }
}

/// What a method runs on.
enum ConvergenceCondition: String, Codable, CaseIterable, Sendable {
    /// Equal machines that never stall, on lines without a limit.
    case even
    /// One machine is slower, all stall at times, and lines are limited.
    case straggler
}
