package import MoE
package import Tensors

/// The loss of an MoE transformer that computes in `Element`s.
package final class TransformerObjective<Element: KernelElement>: Objective
where Element.Sum == Float {
    package let layout: ParameterLayout
    package private(set) var expertTokens: [[Int]] = []
    package private(set) var masks: [MaskTally] = []
    private let training: Transformer<Element>
    /// For held-out parts that do not fill a batch.
    private let single: Transformer<Element>
    private let batch: Int
    private let sequenceLength: Int
    /// What the transformer computes with, from the parameters as they are.
    private let weights: (FloatBuffer) -> Buffer<Element>

    private init(
        _ configuration: ModelConfiguration, batch: Int, sequenceLength: Int, recomputes: Bool,
        weights: @escaping (FloatBuffer) -> Buffer<Element>
    ) {
        layout = configuration.layout
        training = Transformer(
            configuration: configuration, batch: batch, sequence: sequenceLength,
            recomputes: recomputes)
        single = Transformer(
            configuration: configuration, batch: 1, sequence: sequenceLength, recomputes: true)
        self.batch = batch
        self.sequenceLength = sequenceLength
        self.weights = weights
    }

    package func gradients(
        of parameters: FloatBuffer, tokens: [Int32], sequences: Int, masking: Masking,
        into gradients: FloatBuffer
    ) -> LossSum {
        precondition(sequences == batch, "planned for batches of \(batch), not \(sequences)")
        let report = training.gradients(
            of: weights(parameters), tokens: tokens, masking: masking, into: gradients)
        // The modules are the embedding, the layers and the head.
        expertTokens = [[]] + report.expertTokens + [[]]
        masks = report.masks
        return LossSum(sum: report.crossEntropySum, tokens: report.tokens)
    }

    package func loss(
        of parameters: FloatBuffer, tokens: [Int32], sequences: Int, masking: Masking
    ) -> LossSum {
        let weights = weights(parameters)
        let width = sequenceLength + 1
        var total = LossSum()
        var first = 0
        while first < sequences {
            let count = sequences - first >= batch ? batch : 1
            let part = Array(tokens[first * width..<(first + count) * width])
            let report = (count == batch ? training : single)
                .loss(of: weights, tokens: part, masking: masking)
            total += LossSum(sum: report.crossEntropySum, tokens: report.tokens)
            first += count
        }
        return total
    }
}

extension TransformerObjective where Element == Float {
    /// Plans for batches of `batch` sequences of `sequenceLength` tokens (and one target more).
    package convenience init(
        configuration: ModelConfiguration, batch: Int, sequenceLength: Int,
        recomputes: Bool = false
    ) {
        self.init(
            configuration, batch: batch, sequenceLength: sequenceLength, recomputes: recomputes
        ) { $0 }
    }
}

extension TransformerObjective where Element == BFloat16 {
    /// The same with a rounded copy of the parameters, made anew for every step.
    package convenience init(
        configuration: ModelConfiguration, batch: Int, sequenceLength: Int,
        recomputes: Bool = false
    ) {
        let rounded = Buffer<BFloat16>(count: configuration.layout.count)
        self.init(
            configuration, batch: batch, sequenceLength: sequenceLength, recomputes: recomputes
        ) { parameters in
            rounded.round(parameters)
            return rounded
        }
    }
}
