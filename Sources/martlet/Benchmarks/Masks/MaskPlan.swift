import LocalSGD
import MoE
import Storage

/// What all runs of a study of masks share; kept in each run's file, so that runs of different
/// plans are never compared.
struct MaskPlan: Codable, Equatable, Sendable {
    // The model: a mixture of experts that reads bytes, most of whose work is the experts'.
    var hiddenSize = 64
    var layers = 2
    var heads = 4
    var experts = 8
    var expertsPerToken = 4
    var expertHiddenSize = 128
    var sequenceLength = 128
    var batchSize = 16
    // The budgets, in tokens: of the model before masks, and of what follows from it.
    var baseTokens = 8_388_608
    var tuneTokens = 6_291_456
    // The optimizer, a peak for each part.
    var learningRate = 6e-3
    var tuneLearningRate = 2e-3
    /// How masks are learnt; the coefficient is each run's own.
    var masks = MaskPlan.usualMasks
    /// Regulariser weights that are tried; numbers of live experts that the weight is steered to,
    /// at most once in `steeringSteps` steps; and how many experts the model is reduced to.
    var coefficients = [0.05, 0.1, 0.3]
    var targets = [2.0, 1.0]
    var steeringSteps = 16
    var reduced = [1, 2]
    var heldOutSequences = 512
    var seed: UInt64 = 1
    /// Stands for the text and how it is split.
    var corpus: UInt64 = 0

    /// Small enough to see the whole way in a minute; nothing can be concluded from it.
    static let quick: MaskPlan = {
        var plan = MaskPlan()
        plan.hiddenSize = 32
        plan.expertHiddenSize = 32
        plan.sequenceLength = 64
        plan.batchSize = 4
        plan.baseTokens = 65_536
        plan.tuneTokens = 32_768
        plan.masks.delay = 16
        plan.coefficients = [0.1, 1]
        plan.targets = [2]
        plan.reduced = [2]
        plan.heldOutSequences = 32
        return plan
    }()

    /// Throws where the model can't be, or `text` is too short for the budgets: what is seen twice
    /// would make runs look better than they are.
    func check(_ text: Corpus) throws {
        try model(choices: expertsPerToken, isMasked: true).validate()
        guard reduced.allSatisfy({ (1..<expertsPerToken).contains($0) }) else {
            throw CommandError(.usage, "a model of top-\(expertsPerToken) is reduced to fewer")
        }
        let wanted = baseTokens + tuneTokens + batchSize * sequenceLength
        guard text.train.count > wanted else {
            throw CommandError(
                .badData,
                "the text has \(text.train.count) tokens to train on, and no part of it may be"
                    + " seen twice in \(wanted); give more --corpus, or a plan of less")
        }
    }

    /// Whether it differs from `other` in the seed alone, if in anything.
    func isComparable(with other: MaskPlan) -> Bool {
        var other = other
        other.seed = seed
        return self == other
    }

    private static var usualMasks: MaskSettings {
        var masks = MaskSettings()
        masks.training = .all
        masks.delay = 100
        masks.rateFactor = 4
        // Only where it is steered: what it begins with.
        masks.coefficient = 0.1
        return masks
    }

    /// The model with `choices` experts a token, with mask routers or without.
    func model(choices: Int, isMasked: Bool) -> ModelConfiguration {
        var model = ModelConfiguration(
            vocabularySize: (ByteTokenizer.vocabularySize + 31) / 32 * 32, hiddenSize: hiddenSize,
            layers: layers, heads: heads, keyValueHeads: heads, headWidth: hiddenSize / heads,
            experts: experts, expertsPerToken: choices, expertHiddenSize: expertHiddenSize,
            positionsMax: sequenceLength)
        model.masksExperts = isMasked
        return model
    }

    /// Steps of `tokens` tokens.
    func steps(_ tokens: Int) -> Int { max(1, tokens / (batchSize * sequenceLength)) }

    /// The optimizer of a run of `steps` steps with this peak learning rate.
    func optimizer(rate: Double, steps: Int) -> InnerSettings {
        var settings = InnerSettings()
        settings.learningRate = rate
        settings.warmupSteps = max(1, steps / 20)
        return settings
    }

    /// Runs in the order in which they need each other.
    var runs: [MaskRun] {
        [.base, .continued] + reduced.map(MaskRun.reduced) + masked
    }

    /// Those of them that learn masks.
    var masked: [MaskRun] { coefficients.map(MaskRun.masked) + targets.map(MaskRun.steered) }
}

/// A run of the study; all but the first begin where that one ends.
enum MaskRun: Codable, Hashable, Sendable {
    /// The model with K experts a token.
    case base
    /// The same for as long again as the others.
    case continued
    /// Trained on with so many experts a token.
    case reduced(Int)
    /// Trained on with masks, at this weight of their regulariser.
    case masked(Double)
    /// Trained on with masks, whose weight is steered to so many live experts a token.
    case steered(Double)

    /// As files are called.
    var name: String {
        switch self {
        case .base: "base"
        case .continued: "continued"
        case .reduced(let choices): "top-\(choices)"
        case .masked(let coefficient): "masks-\(coefficient)"
        case .steered(let target): "masks-to-\(target)"
        }
    }
}
