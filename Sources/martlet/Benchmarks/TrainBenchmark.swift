import LocalSGD
import MoE
import Tensors

/// Times whole training steps of a model on random tokens: forward, backward, AdamW.
struct TrainBenchmark {
    /// Names of the sizes that are measured, smallest first.
    enum Size: String, CaseIterable, Sendable {
        /// 9.2 million parameters, 3.4 million of them active.
        case tiny
        /// 111 million parameters, 21 million of them active.
        case small
    }

    /// What to measure.
    struct Plan: Sendable {
        var size: Size
        var precision: Precision
        var threads: Int
        var steps: Int
        /// Sequences a step and tokens a sequence; those of the size unless given.
        var batch: Int?
        var sequence: Int?
        /// Whether the backward pass computes activations again.
        var recomputes = false
    }

    /// What was measured; times are medians over the steps.
    struct Result: Sendable {
        var tokensPerStep: Int
        var parameters: Int
        var activationBytes: Int
        var flopsPerToken: Double
        var forward: [Duration] = []
        var backward: [Duration] = []
        var optimizer: [Duration] = []
        var firstLoss = 0.0
        var lastLoss = 0.0
    }

    private let plan: Plan
    private let configuration: ModelConfiguration
    private let batch: Int
    private let sequence: Int
    private let clock = ContinuousClock()

    init(_ plan: Plan) {
        self.plan = plan
        configuration = plan.size.configuration
        batch = plan.batch ?? plan.size.batch
        sequence = plan.sequence ?? plan.size.sequence
    }

    /// Runs two steps unmeasured and `plan.steps` measured ones.
    func run() -> Result {
        KernelThreads.set(plan.threads)
        defer { KernelThreads.stop() }
        let parameters = configuration.initialParameters(seed: 1)
        switch plan.precision {
        case .fp32:
            return measure(Transformer<Float>.self, parameters: parameters, weights: parameters) {}
        case .bf16:
            let weights = Buffer<BFloat16>(count: parameters.count)
            return measure(Transformer<BFloat16>.self, parameters: parameters, weights: weights) {
                weights.round(parameters)
            }
        }
    }

    /// Times steps of a transformer whose `weights` are those that `refresh` makes of `parameters`.
    private func measure<Element: KernelElement>(
        _: Transformer<Element>.Type, parameters: FloatBuffer, weights: Buffer<Element>,
        refresh: () -> Void
    ) -> Result where Element.Sum == Float {
        let transformer = Transformer<Element>(
            configuration: configuration, batch: batch, sequence: sequence,
            recomputes: plan.recomputes)
        let gradients = FloatBuffer(count: parameters.count)
        var settings = InnerSettings()
        settings.learningRate = 1e-4
        settings.warmupSteps = 0
        var optimizer = InnerOptimizer(settings, count: parameters.count, totalSteps: plan.steps)
        var result = Result(
            tokensPerStep: batch * sequence, parameters: parameters.count,
            activationBytes: transformer.activationBytes,
            flopsPerToken: configuration.flopsPerToken(sequence: sequence))
        let tokens = [Int32].random(
            batch * (sequence + 1), below: configuration.vocabularySize)
        for step in -2..<plan.steps {
            let start = clock.now
            var afterForward = start
            refresh()
            let report = transformer.gradients(of: weights, tokens: tokens, into: gradients) {
                afterForward = clock.now
            }
            let afterBackward = clock.now
            optimizer.step(parameters, gradients: gradients, scheduleStep: max(step, 0))
            let end = clock.now
            if step == -2 { result.firstLoss = report.meanCrossEntropy }
            result.lastLoss = report.meanCrossEntropy
            guard step >= 0 else { continue }
            result.forward.append(start.duration(to: afterForward))
            result.backward.append(afterForward.duration(to: afterBackward))
            result.optimizer.append(afterBackward.duration(to: end))
        }
        return result
    }
}

extension TrainBenchmark.Size {
    /// Shapes of Qwen3-MoE.
    var configuration: ModelConfiguration {
        var configuration: ModelConfiguration
        switch self {
        case .tiny:
            configuration = ModelConfiguration(
                vocabularySize: 4096, hiddenSize: 256, layers: 4, heads: 4, keyValueHeads: 2,
                headWidth: 64, experts: 16, expertsPerToken: 4, expertHiddenSize: 128,
                positionsMax: 4096)
        case .small:
            configuration = ModelConfiguration(
                vocabularySize: 4096, hiddenSize: 512, layers: 8, heads: 8, keyValueHeads: 4,
                headWidth: 64, experts: 32, expertsPerToken: 4, expertHiddenSize: 256,
                positionsMax: 4096)
        }
        configuration.loadBalancingCoefficient = 0
        return configuration
    }

    var batch: Int { self == .tiny ? 8 : 4 }
    var sequence: Int { self == .tiny ? 256 : 512 }
}
