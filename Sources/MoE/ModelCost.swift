internal import Tensors

/// What a model costs: parameters and floating-point operations.
extension ModelConfiguration {
    /// Number of parameters.
    package var parameterCount: Int { layout.count }

    /// Parameters that one token's forward pass uses: K of the E experts, and everything else.
    ///
    /// Of the embedding it reads one row, but the figure counts the whole table, as is usual.
    package var activeParametersPerToken: Int {
        let parametersPerExpert = 3 * hiddenSize * expertHiddenSize
        return parameterCount
            - expertLayers.count * (experts - expertsPerToken) * parametersPerExpert
    }

    /// Floating-point operations of forward and backward for one token of a sequence of `sequence`:
    /// 6 for each weight of a matrix that the token meets, and 6 for each channel of the average
    /// (causal) half of the keys and values it looks at, per layer.
    ///
    /// Recomputation and elementwise work are not counted.
    package func flopsPerToken(sequence: Int) -> Double {
        let vectors = layout.tensors.filter { $0.shape.count == 1 }.map(\.range.count)
        let embedding = tiesEmbeddings ? 0 : vocabularySize * hiddenSize
        let weights = activeParametersPerToken - vectors.reduce(0, +) - embedding
        let attention = layers * heads * (headWidth + valueWidth) * (sequence + 1) / 2
        return 6 * Double(weights) + 6 * Double(attention)
    }
}
