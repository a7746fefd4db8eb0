import MoE

/// The options of every family, on any model.
enum ModelVariant: CaseIterable {
    case qwen2, qwen2Dense, olmoe, mixtral, deepseek, deepseekGrouped, biases, dense, linear, yarn

    func applied(to base: ModelConfiguration) -> ModelConfiguration {
        var model = base
        model.sharedExpertHiddenSize = 0
        switch self {
        case .qwen2, .qwen2Dense:
            model.family = .qwen2
            model.normalizesQueriesAndKeys = false
            model.biasesQueriesKeysAndValues = true
            model.sharedExpertHiddenSize = 5
            if self == .qwen2Dense { makeDense(&model, [1]) }
        case .olmoe:
            model.family = .olmoe
            model.normalizesAcrossHeads = true
            model.hiddenSize = model.heads * model.headWidth
        case .mixtral:
            model.family = .mixtral
            model.normalizesQueriesAndKeys = false
            model.normalizesTopK = true
        case .deepseek:
            makeDeepseek(&model, queryRank: nil)
            makeDense(&model, [0])
        case .deepseekGrouped:
            makeDeepseek(&model, queryRank: 5)
            model.biasesQueriesKeysAndValues = true
            model.biasesOutput = true
            model.experts = 12
            model.routingGroups = 4
            model.routingGroupsChosen = 2
            model.routedScalingFactor = 2.5
            var yarn = Yarn(factor: 4, originalPositions: 3)
            yarn.mscale = 0.7
            yarn.mscaleAllDimensions = 1.1
            model.ropeScaling = .yarn(yarn)
        case .biases:
            model.biasesQueriesKeysAndValues = true
            model.biasesOutput = true
        case .dense: makeDense(&model, [0])
        case .linear: model.ropeScaling = .linear(factor: 2.5)
        case .yarn: model.ropeScaling = .yarn(Yarn(factor: 3, originalPositions: 4))
        }
        return model
    }

    private func makeDense(_ model: inout ModelConfiguration, _ layers: Set<Int>) {
        model.denseLayers = layers
        model.denseHiddenSize = 7
    }

    private func makeDeepseek(_ model: inout ModelConfiguration, queryRank: Int?) {
        model.family = .deepseek
        model.latentAttention = LatentAttention(
            queryRank: queryRank, keyValueRank: 4, plainWidth: 3, rotatedWidth: 4, valueWidth: 2)
        model.headWidth = 7
        model.keyValueHeads = model.heads
        model.normalizesQueriesAndKeys = false
        model.normalizesTopK = false
        model.gatesSharedExpert = false
        model.sharedExpertHiddenSize = 2 * model.expertHiddenSize
    }
}
