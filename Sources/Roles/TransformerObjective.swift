package import MoE
package import Tensors

/// The loss of an MoE transformer.
package final class TransformerObjective: Objective {
    package let layout: ParameterLayout
    private let training: Transformer<Float>
    /// For held-out parts that do not fill a batch.
    private let single: Transformer<Float>
    private let batch: Int
    private let sequenceLength: Int

    /// Plans for batches of `batch` sequences of `sequenceLength` tokens (and one target more).
    package init(configuration: ModelConfiguration, batch: Int, sequenceLength: Int) {
        layout = configuration.layout
        training = Transformer(
            configuration: configuration, batch: batch, sequence: sequenceLength)
        single = Transformer(configuration: configuration, batch: 1, sequence: sequenceLength)
        self.batch = batch
        self.sequenceLength = sequenceLength
    }

    package func gradients(
        of parameters: FloatBuffer, tokens: [Int32], sequences: Int, into gradients: FloatBuffer
    ) -> LossSum {
        precondition(sequences == batch, "planned for batches of \(batch), not \(sequences)")
        let report = training.gradients(of: parameters, tokens: tokens, into: gradients)
        return LossSum(sum: report.crossEntropySum, tokens: report.tokens)
    }

    package func loss(of parameters: FloatBuffer, tokens: [Int32], sequences: Int) -> LossSum {
        let width = sequenceLength + 1
        var total = LossSum()
        var first = 0
        while first < sequences {
            let count = sequences - first >= batch ? batch : 1
            let part = Array(tokens[first * width..<(first + count) * width])
            let report = (count == batch ? training : single).loss(of: parameters, tokens: part)
            total += LossSum(sum: report.crossEntropySum, tokens: report.tokens)
            first += count
        }
        return total
    }
}
