import Cluster
import MoE
import Roles
import Storage
import Synchronization
import Tensors

extension ConvergencePlan {
    /// What workers make small.
    func objective(batch: Int) -> any Objective {
        precision == "bf16"
            ? TransformerObjective<BFloat16>(
                configuration: model, batch: batch, sequenceLength: sequenceLength)
            : TransformerObjective<Float>(
                configuration: model, batch: batch, sequenceLength: sequenceLength)
    }
}

/// Measures the held-out loss of parameters, always on the same sequences.
final class LossGauge: Sendable {
    private let plan: ConvergencePlan
    private let tokens: [Int32]
    private let points = Mutex<[ConvergenceResult.Point]>([])

    init(_ plan: ConvergencePlan, _ source: TokenSource) {
        self.plan = plan
        let count = min(plan.heldOutSequences, source.heldOutCount)
        // Spread over the text, which is in the order of its documents.
        tokens = (0..<count).flatMap { index in
            let place = index * source.heldOutCount / count
            return source.heldOutSequences(place..<place + 1)
        }
    }

    var curve: [ConvergenceResult.Point] { points.withLock { $0 } }

    /// Measures `parameters` and notes it.
    func note(_ parameters: FloatBuffer, tokens trained: Int, seconds: Double) {
        let objective = plan.objective(batch: plan.batchSize)
        let count = tokens.count / (plan.sequenceLength + 1)
        let sum = objective.loss(
            of: parameters, tokens: tokens, sequences: count, masking: .off)
        let loss = sum.sum / Double(max(sum.tokens, 1))
        // JSON has no word for what is not finite; a loss like that stands for it.
        let point = ConvergenceResult.Point(
            tokens: trained, seconds: seconds, loss: loss.isFinite ? loss : 1e9)
        points.withLock { $0.append(point) }
    }
}

/// A worker's objective that sees random tokens in place of its text.
final class RandomTokens: Objective {
    private let objective: any Objective
    private var generator: SeededGenerator

    init(_ objective: any Objective, seed: UInt64) {
        self.objective = objective
        generator = SeededGenerator(seed: ~seed)
    }

    var layout: ParameterLayout { objective.layout }
    var expertTokens: [[Int]] { objective.expertTokens }
    var masks: [MaskTally] { objective.masks }

    func gradients(
        of parameters: FloatBuffer, tokens: [Int32], sequences: Int, masking: Masking,
        into gradients: FloatBuffer
    ) -> LossSum {
        let noise = tokens.map { _ in
            Int32(generator.next() % UInt64(ByteTokenizer.vocabularySize))
        }
        return objective.gradients(
            of: parameters, tokens: noise, sequences: sequences, masking: masking,
            into: gradients)
    }

    func loss(
        of parameters: FloatBuffer, tokens: [Int32], sequences: Int, masking: Masking
    ) -> LossSum {
        objective.loss(of: parameters, tokens: tokens, sequences: sequences, masking: masking)
    }
}
