internal import MoE
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

    /// Writes the gradients [n] of the mean loss, and returns the summed one with what the experts
    /// had to do.
    func gradients(
        of parameters: FloatBuffer, tokens: [Int32], sequences: Int, masking: Masking,
        into gradients: FloatBuffer
    ) -> (loss: LossSum, found: ExpertFindings) {
        let loss = objective.gradients(
            of: parameters, tokens: tokens, sequences: sequences, masking: masking,
            into: gradients)
        return (
            loss, ExpertFindings(expertTokens: objective.expertTokens, masks: objective.masks)
        )
    }

    func loss(
        of parameters: FloatBuffer, tokens: [Int32], sequences: Int, masking: Masking
    ) -> LossSum {
        objective.loss(of: parameters, tokens: tokens, sequences: sequences, masking: masking)
    }
}

/// What a step found of the experts.
struct ExpertFindings: Sendable {
    /// The tokens that each module's experts saw.
    let expertTokens: [[Int]]
    /// What masks left of each layer with experts, where masks are learnt.
    let masks: [MaskTally]
}
