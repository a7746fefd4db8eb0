internal import Tensors

/// Computes losses and gradients of parameters that stay as they are meanwhile; an actor of its
/// own, so that the trainer can close a round, and encode it, while a step is computed.
actor GradientComputer {
    nonisolated let layout: ParameterLayout
    private let objective: any Objective

    init(_ objective: @Sendable () -> any Objective) {
        self.objective = objective()
        layout = self.objective.layout
    }

    /// Writes the gradients [n] of the mean loss, and returns the summed one with the tokens that
    /// each module's experts saw.
    func gradients(
        of parameters: FloatBuffer, tokens: [Int32], sequences: Int, into gradients: FloatBuffer
    ) -> (loss: LossSum, expertTokens: [[Int]]) {
        let loss = objective.gradients(
            of: parameters, tokens: tokens, sequences: sequences, into: gradients)
        return (loss, objective.expertTokens)
    }

    func loss(of parameters: FloatBuffer, tokens: [Int32], sequences: Int) -> LossSum {
        objective.loss(of: parameters, tokens: tokens, sequences: sequences)
    }
}
