package import Tensors

/// What one forward pass found.
package struct LossReport: Sendable, Equatable {
    /// Sum of the cross-entropy over all targets that were not ignored, in nats.
    package let crossEntropySum: Double
    /// Number of those targets.
    package let tokens: Int
    /// Load-balancing loss over all layers with experts, before its coefficient; K when all experts
    /// are used evenly.
    package let loadBalancing: Double
    /// K, experts that a token chooses in each layer that has some.
    package let expertsPerToken: Int
    /// How often each expert of each layer was chosen, [layer][expert]; none in a dense layer.
    package let expertTokens: [[Int]]
    /// What the masks left of each layer with experts; none if they were not looked at.
    package let masks: [MaskTally]

    package init(
        crossEntropySum: Double, tokens: Int, loadBalancing: Double, expertsPerToken: Int,
        expertTokens: [[Int]], masks: [MaskTally] = []
    ) {
        self.crossEntropySum = crossEntropySum
        self.tokens = tokens
        self.loadBalancing = loadBalancing
        self.expertsPerToken = expertsPerToken
        self.expertTokens = expertTokens
        self.masks = masks
    }

    /// Cross-entropy per target, in nats; 0 when every target was ignored.
    package var meanCrossEntropy: Double { tokens == 0 ? 0 : crossEntropySum / Double(tokens) }

    /// What gradients are of: mean cross-entropy plus the load-balancing loss and the masks'
    /// regulariser, each times its coefficient.
    package func total(loadBalancingCoefficient: Double, masking: Masking = .off) -> Double {
        meanCrossEntropy + loadBalancingCoefficient * loadBalancing
            + masking.coefficient * softMask
    }

    /// The soft mask, or its square, as a mean over K slots of each token and over layers: BEAM's
    /// L_reg.
    package var softMask: Double {
        let slots = masks.reduce(0) { $0 + $1.tokens } * expertsPerToken
        return slots == 0 ? 0 : masks.reduce(0) { $0 + $1.soft } / Double(slots)
    }
}
