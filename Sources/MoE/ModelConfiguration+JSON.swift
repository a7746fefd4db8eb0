package import FoundationEssentials

/// config.json as `transformers` writes it, both its present style (`rope_parameters`,
/// `num_local_experts`) and the older one (`rope_theta`, `num_experts`).
///
/// Every key is accounted for: it is a setting of ``ModelConfiguration``, or it must have the one
/// value that leaves the arithmetic as it is, or it is known not to touch the arithmetic. Any
/// other key is refused by name, since a model computed wrongly looks like a model that learned
/// badly.
extension ModelConfiguration {
    /// Reads config.json and validates what it says.
    package init(configurationJSON json: Data) throws(ModelConfigurationError) {
        let values: [String: JSONValue]
        do {
            values = try JSONDecoder().decode([String: JSONValue].self, from: json)
        } catch {
            throw ModelConfigurationError(
                key: "", found: "not a JSON object", allowed: "a model configuration")
        }
        try self.init(values)
    }

    /// config.json, with sorted keys, so that equal configurations are equal bytes.
    ///
    /// Throws what ``validate()`` throws: what no model can have is not written.
    package func configurationJSON() throws(ModelConfigurationError) -> Data {
        try validate()
        return Data((JSONValue.object(values).text() + "\n").utf8)
    }

    private init(_ values: [String: JSONValue]) throws(ModelConfigurationError) {
        var reader = ConfigurationReader(values)
        let name = try reader.string(
            "model_type", oneOf: ModelFamily.allCases.map(\.rawValue))
        let published = ModelFamily(rawValue: name) ?? .martlet
        // Ours are Qwen3-MoEs with options that no Qwen3-MoE has.
        let family = published == .martlet ? .qwen3 : published
        let heads = try reader.integer("num_attention_heads")
        let hiddenSize = try reader.integer("hidden_size")
        let latent = family == .deepseek ? try LatentAttention(&reader) : nil
        let headWidth: Int
        if let latent {
            headWidth = latent.plainWidth + latent.rotatedWidth
        } else {
            headWidth = try reader.integer("head_dim", default: heads > 0 ? hiddenSize / heads : 0)
        }
        self.init(
            vocabularySize: try reader.integer("vocab_size"), hiddenSize: hiddenSize,
            layers: try reader.integer("num_hidden_layers"), heads: heads,
            keyValueHeads: try reader.keyValueHeads(of: family, heads: heads),
            headWidth: headWidth,
            experts: try reader.integer(family.expertsKey, or: family.otherExpertsKey),
            expertsPerToken: try reader.integer("num_experts_per_tok"),
            expertHiddenSize: try reader.integer(family.expertHiddenSizeKey),
            positionsMax: try reader.integer("max_position_embeddings"))
        self.family = family
        latentAttention = latent
        try validateLayers()
        let defaults = family.defaults
        (ropeTheta, ropeScaling) = try reader.rope(
            theta: defaults.ropeTheta, positions: positionsMax)
        loadBalancingCoefficient = try reader.number(
            "router_aux_loss_coef", default: defaults.loadBalancingCoefficient)
        tiesEmbeddings = try reader.bool("tie_word_embeddings", default: false)
        normEpsilon = try reader.number("rms_norm_eps", default: defaults.normEpsilon)
        initializerRange = try reader.number("initializer_range", default: 0.02)
        beginToken = try reader.token(
            "bos_token_id", default: defaults.beginToken, vocabulary: vocabularySize)
        endToken = try reader.token(
            "eos_token_id", default: defaults.endToken, vocabulary: vocabularySize)
        paddingToken = try reader.token(
            "pad_token_id", default: defaults.paddingToken, vocabulary: vocabularySize)
        masksExperts = try reader.bool("expert_masks", default: false)
        try readOptions(of: published, &reader)
        try reader.requireFullAttention()
        try reader.requireSupported(in: published)
        try validate()
    }

    /// The settings that not all families have.
    private mutating func readOptions(
        of family: ModelFamily, _ reader: inout ConfigurationReader
    ) throws(ModelConfigurationError) {
        switch family {
        case .qwen3, .martlet:
            normalizesTopK = try reader.bool("norm_topk_prob", default: false)
            try readBiases(&reader)
            if family == .martlet {
                normalizesQueriesAndKeys = try reader.bool("qk_norm")
                sharedExpertHiddenSize = try reader.integer("shared_expert_intermediate_size")
            }
            try readSparseLayers(&reader)
        case .qwen2:
            normalizesQueriesAndKeys = false
            normalizesTopK = try reader.bool("norm_topk_prob", default: false)
            biasesQueriesKeysAndValues = try reader.bool("qkv_bias", default: true)
            sharedExpertHiddenSize = try reader.integer("shared_expert_intermediate_size")
            if sharedExpertHiddenSize < 1 {
                throw reader.mistake(
                    "shared_expert_intermediate_size", .integer(sharedExpertHiddenSize),
                    "a number above 0")
            }
            try readSparseLayers(&reader)
        case .olmoe:
            normalizesAcrossHeads = true
            normalizesTopK = try reader.bool("norm_topk_prob", default: false)
            try readBiases(&reader)
            try reader.requireNoWindow(positions: positionsMax)
        case .mixtral:
            normalizesQueriesAndKeys = false
            normalizesTopK = true
            try reader.requireNoWindow(positions: positionsMax)
        case .deepseek: try readDeepseek(&reader)
        }
    }

    private mutating func readBiases(
        _ reader: inout ConfigurationReader
    ) throws(ModelConfigurationError) {
        biasesQueriesKeysAndValues = try reader.bool("attention_bias", default: false)
        biasesOutput = biasesQueriesKeysAndValues
    }

    /// Layers have experts where decoder_sparse_step says so and mlp_only_layers does not object.
    private mutating func readSparseLayers(
        _ reader: inout ConfigurationReader
    ) throws(ModelConfigurationError) {
        let step = try reader.integer("decoder_sparse_step", default: 1)
        guard (1...1 << 10).contains(step) else {
            throw reader.mistake(
                "decoder_sparse_step", .integer(step), "a whole number from 1 to 1024")
        }
        denseLayers = Set(try reader.integers("mlp_only_layers"))
        if let stray = denseLayers.first(where: { !(0..<layers).contains($0) }) {
            throw reader.mistake(
                "mlp_only_layers", .integer(stray), "layers from 0 to \(layers - 1)")
        }
        denseLayers.formUnion((0..<layers).filter { ($0 + 1) % step != 0 })
        try readDenseWidth(&reader)
    }

    private mutating func readDenseWidth(
        _ reader: inout ConfigurationReader
    ) throws(ModelConfigurationError) {
        if !denseLayers.isEmpty { denseHiddenSize = try reader.integer("intermediate_size") }
    }

    private mutating func readDeepseek(
        _ reader: inout ConfigurationReader
    ) throws(ModelConfigurationError) {
        normalizesQueriesAndKeys = false
        normalizesTopK = false
        gatesSharedExpert = false
        try readBiases(&reader)
        let shared = try reader.integer("n_shared_experts", default: 2)
        guard (1...1 << 10).contains(shared) else {
            throw reader.mistake(
                "n_shared_experts", .integer(shared), "a whole number from 1 to 1024")
        }
        // Whatever overflows is out of range without being multiplied.
        sharedExpertHiddenSize = shared &* expertHiddenSize
        routedScalingFactor = try reader.number("routed_scaling_factor", default: 1)
        let method = try reader.string(
            "topk_method", oneOf: ["greedy", "group_limited_greedy"], default: "greedy")
        let groups = try reader.optionalInteger("n_group")
        let chosen = try reader.optionalInteger("topk_group")
        if method != "greedy" {
            guard let groups else { throw reader.mistake("n_group", nil, "a whole number") }
            guard let chosen else { throw reader.mistake("topk_group", nil, "a whole number") }
            (routingGroups, routingGroupsChosen) = (groups, chosen)
        }
        let dense = try reader.integer("first_k_dense_replace", default: 0)
        guard (0..<layers).contains(dense) else {
            throw reader.mistake(
                "first_k_dense_replace", .integer(dense),
                "a whole number from 0 to \(layers - 1)")
        }
        denseLayers = Set(0..<dense)
        try readDenseWidth(&reader)
    }
}

extension LatentAttention {
    fileprivate init(_ reader: inout ConfigurationReader) throws(ModelConfigurationError) {
        self.init(
            queryRank: try reader.queryRank(),
            keyValueRank: try reader.integer("kv_lora_rank", default: 512),
            plainWidth: try reader.width("qk_nope_head_dim", default: 128),
            rotatedWidth: try reader.width("qk_rope_head_dim", default: 64),
            valueWidth: try reader.integer("v_head_dim", default: 128))
    }
}
