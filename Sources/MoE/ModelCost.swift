/// What a model costs: parameters and floating-point operations.
extension ModelConfiguration {
    /// Parameters of the attention, norms and router of one layer.
    private var denseParametersPerLayer: Int {
        let queries = hiddenSize * heads * headWidth
        let keysAndValues = 2 * hiddenSize * keyValueHeads * headWidth
        let headNorms = normalizesQueriesAndKeys ? 2 * headWidth : 0
        return 2 * queries + keysAndValues + headNorms + 2 * hiddenSize + experts * hiddenSize
    }

    /// Parameters of one expert: gate, up and down projection.
    private var parametersPerExpert: Int { 3 * hiddenSize * expertHiddenSize }

    /// Parameters of the shared expert and its gate, if there is one.
    private var parametersOfSharedExpert: Int {
        sharedExpertHiddenSize == 0 ? 0 : 3 * hiddenSize * sharedExpertHiddenSize + hiddenSize
    }

    private var parametersOutsideLayers: Int {
        vocabularySize * hiddenSize * (tiesEmbeddings ? 1 : 2) + hiddenSize
    }

    /// Number of parameters.
    package var parameterCount: Int {
        parametersOutsideLayers + layers
            * (denseParametersPerLayer + experts * parametersPerExpert + parametersOfSharedExpert)
    }

    /// Parameters that one token's forward pass uses: K of the E experts, and everything else.
    ///
    /// Of the embedding it reads one row, but the figure counts the whole table, as is usual.
    package var activeParametersPerToken: Int {
        parametersOutsideLayers + layers
            * (denseParametersPerLayer + expertsPerToken * parametersPerExpert
                + parametersOfSharedExpert)
    }

    /// Floating-point operations of forward and backward for one token of a sequence of `sequence`:
    /// 6 for each weight of a matrix that the token meets, and 12 for each channel of the average
    /// (causal) half of the keys it looks at, per layer.
    ///
    /// Recomputation and elementwise work are not counted.
    package func flopsPerToken(sequence: Int) -> Double {
        let norms =
            hiddenSize + layers * (2 * hiddenSize + (normalizesQueriesAndKeys ? 2 * headWidth : 0))
        let embedding = tiesEmbeddings ? 0 : vocabularySize * hiddenSize
        let weights = activeParametersPerToken - norms - embedding
        let attention = layers * heads * headWidth * (sequence + 1) / 2
        return 6 * Double(weights) + 12 * Double(attention)
    }
}
