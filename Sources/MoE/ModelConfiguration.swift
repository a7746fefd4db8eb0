/// What a model is made of, apart from its numbers.
///
/// One description for every family: a family is a combination of these options, and a spelling of
/// names, never a type of its own.
///
/// Values that came through ``init(configurationJSON:)`` or ``validate()`` hold every invariant
/// below.
package struct ModelConfiguration: Sendable, Equatable {
    /// Whose names the tensors and the keys of config.json have; see ``publishedFamily``.
    package var family = ModelFamily.qwen3

    /// V, entries of the vocabulary, padding entries included.
    package var vocabularySize: Int
    /// D, width of the residual stream.
    package var hiddenSize: Int
    /// L, decoder layers; each has experts, but for ``denseLayers``.
    package var layers: Int

    /// H query heads share G key/value heads (G divides H); all are C wide (even).
    ///
    /// With ``latentAttention`` C is the sum of its plain and rotated channels, and G is H.
    package var heads: Int
    package var keyValueHeads: Int
    package var headWidth: Int
    /// Whether queries and keys are normalised before the rotation: per head or, if
    /// `normalizesAcrossHeads`, over the whole projection (OLMoE).
    package var normalizesQueriesAndKeys = true
    package var normalizesAcrossHeads = false
    /// Whether the projections to queries, keys and values have a bias, and the one back; with
    /// ``latentAttention`` the projections to the latents.
    package var biasesQueriesKeysAndValues = false
    package var biasesOutput = false
    /// Set if queries, keys and values come from compressed latents (DeepSeek-V2).
    package var latentAttention: LatentAttention?
    /// Base of the rotary position embedding's wavelengths.
    package var ropeTheta = 10_000.0
    package var ropeScaling = RopeScaling.none

    /// E experts a layer, of which each token uses K.
    package var experts: Int
    package var expertsPerToken: Int
    /// F, width of an expert's hidden layer.
    package var expertHiddenSize: Int
    /// Whether the K routing weights of a token are scaled to sum to 1.
    package var normalizesTopK = true
    /// Factor on the routing weights.
    package var routedScalingFactor = 1.0
    /// The experts are this many groups of neighbours, and a token chooses only among the
    /// `routingGroupsChosen` groups whose best experts are the most probable.
    package var routingGroups = 1
    package var routingGroupsChosen = 1
    /// Width of the hidden layer of an expert that sees every token; 0 is none.
    package var sharedExpertHiddenSize = 0
    /// Whether that expert is behind a sigmoid gate.
    package var gatesSharedExpert = true
    /// Layers that have one MLP, `denseHiddenSize` wide, in place of experts.
    package var denseLayers: Set<Int> = []
    package var denseHiddenSize = 0
    /// Whether each layer with experts has a mask router, which closes slots of tokens that do
    /// without (BEAM).
    package var masksExperts = false
    /// Factor on the load-balancing loss.
    package var loadBalancingCoefficient = 0.001

    /// Whether the head uses the embedding's weights.
    package var tiesEmbeddings = false
    package var normEpsilon = 1e-6
    /// Standard deviation of freshly made weights.
    package var initializerRange = 0.02
    /// Tokens of the longest sequence the model is meant for.
    package var positionsMax: Int
    /// Ids of the tokens that begin and end a document and that fill up batches, where there are
    /// any.
    package var beginToken: Int?
    package var endToken: Int?
    package var paddingToken: Int?

    package init(
        vocabularySize: Int, hiddenSize: Int, layers: Int, heads: Int, keyValueHeads: Int,
        headWidth: Int, experts: Int, expertsPerToken: Int, expertHiddenSize: Int,
        positionsMax: Int
    ) {
        self.vocabularySize = vocabularySize
        self.hiddenSize = hiddenSize
        self.layers = layers
        self.heads = heads
        self.keyValueHeads = keyValueHeads
        self.headWidth = headWidth
        self.experts = experts
        self.expertsPerToken = expertsPerToken
        self.expertHiddenSize = expertHiddenSize
        self.positionsMax = positionsMax
    }

    /// W, width of a value.
    package var valueWidth: Int { latentAttention?.valueWidth ?? headWidth }
    /// R, channels at the end of each head that the rotary position embedding turns.
    package var rotatedWidth: Int { latentAttention?.rotatedWidth ?? headWidth }
    /// Indices of the layers that have experts, ascending.
    package var expertLayers: [Int] { (0..<layers).filter { !denseLayers.contains($0) } }
}

/// Multi-head latent attention, after DeepSeek-V2 (2024), section 2.1.
package struct LatentAttention: Sendable, Equatable {
    /// Epsilon of the norms of both latents, whatever that of the others.
    static let normEpsilon = 1e-6

    /// Width of the latent that queries come from; `nil` if they come from the stream itself.
    package var queryRank: Int?
    /// Width of the latent that keys and values come from.
    package var keyValueRank: Int
    /// N channels of each query and key that are not rotated, and R behind them that are; the
    /// rotated part of the keys is one for all heads.
    package var plainWidth: Int
    package var rotatedWidth: Int
    /// W, width of each value.
    package var valueWidth: Int

    package init(
        queryRank: Int? = nil, keyValueRank: Int, plainWidth: Int, rotatedWidth: Int,
        valueWidth: Int
    ) {
        self.queryRank = queryRank
        self.keyValueRank = keyValueRank
        self.plainWidth = plainWidth
        self.rotatedWidth = rotatedWidth
        self.valueWidth = valueWidth
    }
}

/// A key of config.json whose value this program cannot honour.
package struct ModelConfigurationError: Error, Equatable, CustomStringConvertible {
    /// The key as config.json spells it; empty when the text as a whole is not a configuration.
    package let key: String
    package let found: String
    package let allowed: String

    package init(key: String, found: String, allowed: String) {
        self.key = key
        self.found = found
        self.allowed = allowed
    }

    package var description: String {
        let place = key.isEmpty ? "config.json" : "config.json: \(key)"
        return "\(place) is \(found); allowed is \(allowed)"
    }
}
