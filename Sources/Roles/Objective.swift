package import MoE
package import Tensors

/// What a worker makes small: the loss of parameters on tokens.
///
/// The real one is a transformer's; in simulation a formula takes its place, so that thousands of
/// rounds cost nothing.
package protocol Objective: AnyObject {
    /// Where each parameter lies.
    var layout: ParameterLayout { get }

    /// Sum of the cross-entropy over the targets of `sequences` sequences in `tokens`, and their
    /// number; writes d(mean loss)/d(parameters) to `gradients` [n].
    ///
    /// `masking` is what happens with the model's masks, if it has some.
    func gradients(
        of parameters: FloatBuffer, tokens: [Int32], sequences: Int, masking: Masking,
        into gradients: FloatBuffer
    ) -> LossSum

    /// For each module the tokens that each of its experts saw in the last call of ``gradients``;
    /// empty for a module without experts, and for an objective without any.
    var expertTokens: [[Int]] { get }

    /// What masks left of each layer with experts in the last call of ``gradients``; empty where
    /// it did not look at them.
    var masks: [MaskTally] { get }

    /// The same without gradients.
    func loss(
        of parameters: FloatBuffer, tokens: [Int32], sequences: Int, masking: Masking
    ) -> LossSum
}

/// A sum of cross-entropies in nats, and the number of tokens it is over.
package struct LossSum: Sendable, Equatable {
    package var sum: Double
    package var tokens: Int

    package init(sum: Double = 0, tokens: Int = 0) {
        self.sum = sum
        self.tokens = tokens
    }

    package static func += (left: inout LossSum, right: LossSum) {
        left.sum += right.sum
        left.tokens += right.tokens
    }
}
