/// What a model is made of, apart from its numbers.
///
/// One description for every family: a family is a combination of these options, never a type of
/// its own.
///
/// Values that came through ``init(configurationJSON:)`` or ``validate()`` hold every invariant
/// below.
package struct ModelConfiguration: Sendable, Equatable {
    /// V, entries of the vocabulary, padding entries included.
    package var vocabularySize: Int
    /// D, width of the residual stream.
    package var hiddenSize: Int
    /// L, decoder layers; each has experts.
    package var layers: Int

    /// H query heads share G key/value heads (G divides H); all are C wide (even).
    package var heads: Int
    package var keyValueHeads: Int
    package var headWidth: Int
    /// Whether queries and keys are normalised per head before the rotation.
    package var normalizesQueriesAndKeys = true
    /// Base of the rotary position embedding's wavelengths.
    package var ropeTheta = 10_000.0

    /// E experts a layer, of which each token uses K.
    package var experts: Int
    package var expertsPerToken: Int
    /// F, width of an expert's hidden layer.
    package var expertHiddenSize: Int
    /// Whether the K routing weights of a token are scaled to sum to 1.
    package var normalizesTopK = true
    /// Width of the hidden layer of an expert that sees every token, behind a sigmoid gate; 0 is
    /// none.
    package var sharedExpertHiddenSize = 0
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

    /// Throws the first setting that no model can have, by its key in config.json.
    ///
    /// The upper limits keep every count of elements far from overflowing 64 bits.
    package func validate() throws(ModelConfigurationError) {
        try check("vocab_size", vocabularySize, in: 2...1 << 22)
        try check("hidden_size", hiddenSize, in: 1...1 << 16)
        try check("num_hidden_layers", layers, in: 1...1 << 10)
        try check("num_attention_heads", heads, in: 1...1 << 10)
        try check("num_key_value_heads", keyValueHeads, in: 1...heads)
        try check("head_dim", headWidth, in: 2...1 << 10)
        try check("num_experts", experts, in: 1...1 << 12)
        try check("num_experts_per_tok", expertsPerToken, in: 1...experts)
        try check("moe_intermediate_size", expertHiddenSize, in: 1...1 << 18)
        try check("shared_expert_intermediate_size", sharedExpertHiddenSize, in: 0...1 << 20)
        try check("max_position_embeddings", positionsMax, in: 1...1 << 24)
        try require(
            heads % keyValueHeads == 0, "num_key_value_heads", keyValueHeads,
            "a divisor of num_attention_heads (\(heads))")
        try require(headWidth % 2 == 0, "head_dim", headWidth, "an even number")
        try require(
            ropeTheta.isFinite && ropeTheta > 0, "rope_theta", ropeTheta, "a number above 0")
        try require(
            normEpsilon.isFinite && normEpsilon > 0, "rms_norm_eps", normEpsilon, "a number above 0"
        )
        try require(
            initializerRange.isFinite && initializerRange > 0, "initializer_range",
            initializerRange, "a number above 0")
        try require(
            loadBalancingCoefficient.isFinite && loadBalancingCoefficient >= 0,
            "router_aux_loss_coef", loadBalancingCoefficient, "0 or a number above it")
        let specials = [
            ("bos_token_id", beginToken), ("eos_token_id", endToken),
            ("pad_token_id", paddingToken),
        ]
        for case (let key, let token?) in specials {
            try check(key, token, in: 0...vocabularySize - 1)
        }
    }

    private func check(
        _ key: String, _ found: Int, in allowed: ClosedRange<Int>
    ) throws(ModelConfigurationError) {
        try require(
            allowed.contains(found), key, found,
            "a whole number from \(allowed.lowerBound) to \(allowed.upperBound)")
    }

    private func require(
        _ holds: Bool, _ key: String, _ found: some CustomStringConvertible, _ allowed: String
    ) throws(ModelConfigurationError) {
        guard holds else {
            throw ModelConfigurationError(key: key, found: found.description, allowed: allowed)
        }
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
