/// What one forward pass found.
package struct LossReport: Sendable, Equatable {
    /// Sum of the cross-entropy over all targets that were not ignored, in nats.
    package let crossEntropySum: Double
    /// Number of those targets.
    package let tokens: Int
    /// Load-balancing loss over all layers with experts, before its coefficient; K when all experts
    /// are used evenly.
    package let loadBalancing: Double
    /// How often each expert of each layer was chosen, [layer][expert]; none in a dense layer.
    package let expertTokens: [[Int]]

    package init(
        crossEntropySum: Double, tokens: Int, loadBalancing: Double, expertTokens: [[Int]]
    ) {
        self.crossEntropySum = crossEntropySum
        self.tokens = tokens
        self.loadBalancing = loadBalancing
        self.expertTokens = expertTokens
    }

    /// Cross-entropy per target, in nats; 0 when every target was ignored.
    package var meanCrossEntropy: Double { tokens == 0 ? 0 : crossEntropySum / Double(tokens) }

    /// What gradients are of: mean cross-entropy plus `coefficient` times the load-balancing loss.
    package func total(loadBalancingCoefficient coefficient: Double) -> Double {
        meanCrossEntropy + coefficient * loadBalancing
    }
}
