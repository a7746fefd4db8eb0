import FoundationEssentials
import LocalSGD
import MoE
import Roles
import Storage
import Tensors

/// Trains one run of a study of masks, on one thread, and measures it.
struct MaskTraining: Sendable {
    let plan: MaskPlan
    let tokens: TokenSource

    /// Where a run begins.
    struct Start: Sendable {
        let configuration: ModelConfiguration
        let parameters: FloatBuffer
    }

    /// What a run came to.
    struct End {
        let configuration: ModelConfiguration
        let parameters: FloatBuffer
        let result: MaskResult
    }

    /// Runs `run` from `start`, or from fresh parameters; `progress` is told of tokens trained on.
    func end(
        of run: MaskRun, from start: Start?, progress: (_ tokens: Int) -> Void = { _ in }
    ) -> End {
        var (choices, masks) = (plan.expertsPerToken, MaskSettings())
        switch run {
        case .base, .continued: break
        case .reduced(let count): choices = count
        case .masked(let coefficient):
            masks = plan.masks
            masks.coefficient = coefficient
        case .steered(let target):
            masks = plan.masks
            masks.target = target
        }
        let configuration = plan.model(choices: choices, isMasked: masks.isOn)
        let parameters = beginning(configuration, from: start)
        train(parameters, configuration, masks, as: run, progress)
        let rules = run == .continued ? prunings : []
        var result = MaskResult(plan: plan, run: run)
        result.whole = measure(parameters, configuration, masks.measuring)
        if !rules.isEmpty {
            // The same parameters with masks that are never looked at.
            let masked = plan.model(choices: choices, isMasked: true)
            let copy = beginning(
                masked, from: Start(configuration: configuration, parameters: parameters))
            result.pruned = rules.map { rule in
                MaskResult.Pruned(
                    choices: rule.choices, probability: rule.probability,
                    renormalizes: rule.renormalizes,
                    point: measure(copy, masked, Masking(.pruning(rule))))
            }
        }
        return End(configuration: configuration, parameters: parameters, result: result)
    }

    /// Rules without training that masks are compared with.
    private var prunings: [Pruning] {
        [false, true].flatMap { renormalizes in
            (1..<plan.expertsPerToken).map {
                Pruning(choices: $0, renormalizes: renormalizes)
            }
                + [0.3, 0.45, 0.6, 0.75, 0.9].map {
                    Pruning(
                        choices: plan.expertsPerToken, probability: $0,
                        renormalizes: renormalizes)
                }
        }
    }

    /// The parameters of `start` by the names of its tensors; mask routers that it has not are 0.
    private func beginning(_ configuration: ModelConfiguration, from start: Start?) -> FloatBuffer {
        let parameters = configuration.initialParameters(seed: plan.seed)
        guard let start else { return parameters }
        let layout = start.configuration.layout
        for tensor in configuration.layout.tensors {
            guard let source = layout.tensor(named: tensor.name) else { continue }
            parameters[tensor.range].copy(from: start.parameters[source.range])
        }
        return parameters
    }

    private func train(
        _ parameters: FloatBuffer, _ configuration: ModelConfiguration, _ masks: MaskSettings,
        as run: MaskRun, _ progress: (Int) -> Void
    ) {
        let isBase = run == .base
        let steps = plan.steps(isBase ? plan.baseTokens : plan.tuneTokens)
        let first = isBase ? 0 : plan.steps(plan.baseTokens)
        let layout = configuration.layout
        let transformer = Transformer<Float>(
            configuration: configuration, batch: plan.batchSize, sequence: plan.sequenceLength)
        var optimizer = InnerOptimizer(
            plan.optimizer(
                rate: isBase ? plan.learningRate : plan.tuneLearningRate, steps: steps),
            count: layout.count, totalSteps: steps, groups: masks.groups(of: layout))
        let gradients = FloatBuffer(count: layout.count)
        var steering = MaskSteering(masks, steps: plan.steeringSteps)
        for step in 0..<steps {
            let place = UInt64((first + step) * plan.batchSize)
            let batch = tokens.sequences(place..<place + UInt64(plan.batchSize))
            let report = transformer.gradients(
                of: parameters, tokens: batch,
                masking: masks.masking(atStep: step, steering.coefficient), into: gradients)
            if masks.isSteered(atStep: step) { steering.note(report.masks) }
            _ = optimizer.clip(gradients)
            optimizer.step(parameters, gradients: gradients, scheduleStep: step)
            progress((step + 1) * plan.batchSize * plan.sequenceLength)
        }
    }

    /// Held-out loss and what the experts had to do for it, always on the same sequences.
    private func measure(
        _ parameters: FloatBuffer, _ configuration: ModelConfiguration, _ masking: Masking
    ) -> MaskResult.Point {
        let transformer = Transformer<Float>(
            configuration: configuration, batch: plan.batchSize, sequence: plan.sequenceLength)
        let batches = min(plan.heldOutSequences, tokens.heldOutCount) / plan.batchSize
        var (loss, targets) = (0.0, 0)
        var masks: [MaskTally] = []
        for batch in 0..<batches {
            // Spread over the text, which is in the order of its documents.
            let sequences = (0..<plan.batchSize).flatMap { index in
                let number = batch * plan.batchSize + index
                let place = number * tokens.heldOutCount / (batches * plan.batchSize)
                return tokens.heldOutSequences(place..<place + 1)
            }
            let report = transformer.loss(of: parameters, tokens: sequences, masking: masking)
            loss += report.crossEntropySum
            targets += report.tokens
            masks.add(report.masks)
        }
        return MaskResult.Point(
            loss: loss / Double(max(targets, 1)), layers: masks.map(MaskShare.init),
            choices: configuration.expertsPerToken)
    }
}

/// Steers the weight of a regulariser as a cluster does, with some steps for a round.
private struct MaskSteering {
    private(set) var coefficient: Double
    private let settings: MaskSettings
    private let steps: Int
    private var seen = 0
    private var masks: [MaskTally] = []

    init(_ settings: MaskSettings, steps: Int) {
        self.settings = settings
        self.steps = steps
        coefficient = settings.coefficient
    }

    /// Takes note of what a step left of each layer.
    mutating func note(_ step: [MaskTally]) {
        masks.add(step)
        seen += 1
        guard seen == steps, let active = masks.map(MaskShare.init).active else { return }
        coefficient = settings.steered(coefficient, active: active)
        (seen, masks) = (0, [])
    }
}

/// What a run of a study of masks came to; nothing of the machine that computed it is in it.
struct MaskResult: Codable, Equatable, Sendable {
    /// A measurement on held-out text.
    struct Point: Codable, Equatable, Sendable {
        /// In nats per token.
        var loss = 0.0
        /// What is left of each layer; nothing where nothing is closed.
        var layers: [MaskShare] = []
        /// Experts that a token chooses.
        var choices = 0

        /// Live experts of a token and layer.
        var active: Double { layers.active ?? Double(choices) }

        /// Share of tokens without a live expert, over layers.
        var empty: Double { layers.empty ?? 0 }
    }

    /// The model with slots closed by a rule.
    struct Pruned: Codable, Equatable, Sendable {
        var choices: Int
        var probability: Double
        var renormalizes: Bool
        var point: Point
    }

    var plan: MaskPlan
    var run: MaskRun
    var whole = Point()
    var pruned: [Pruned] = []
}
