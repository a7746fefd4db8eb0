import LocalSGD
import MoE
import Storage

extension RunConfiguration {
    /// Entries of the vocabulary are padded to a multiple of this, for the kernels' sake.
    static let vocabularyMultiple = 8

    /// The fresh model that the configuration describes, over the tokens of `text`.
    ///
    /// - Throws: `ModelConfigurationError` for what no model can have.
    func modelConfiguration(
        for text: TrainingText
    ) throws(ModelConfigurationError) -> ModelConfiguration {
        let multiple = Self.vocabularyMultiple
        var result = ModelConfiguration(
            vocabularySize: (text.vocabularySize + multiple - 1) / multiple * multiple,
            hiddenSize: model.hiddenSize, layers: model.layers, heads: model.heads,
            keyValueHeads: model.kvHeads, headWidth: model.headDimension, experts: model.experts,
            expertsPerToken: model.expertsPerToken, expertHiddenSize: model.expertHiddenSize,
            positionsMax: run.sequenceLength)
        result.normalizesQueriesAndKeys = model.qkNorm
        result.normalizesTopK = model.normalizeTopK
        result.ropeTheta = model.ropeTheta
        result.sharedExpertHiddenSize = model.sharedExpertHiddenSize
        result.loadBalancingCoefficient = model.loadBalancingCoefficient
        result.tiesEmbeddings = model.tieEmbeddings
        result.masksExperts = learnsMasks
        result.endToken = text.endToken
        result.paddingToken = text.paddingToken
        try result.validate()
        return result
    }
}
