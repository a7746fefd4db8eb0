package import FoundationEssentials

/// config.json as `transformers` writes it, both its present style (`rope_parameters`,
/// `num_local_experts`) and the older one (`rope_theta`, `num_experts`).
///
/// Every key is accounted for: it is a setting of ``ModelConfiguration``, or it must have the one
/// value that leaves the arithmetic as it is here, or it is known not to touch the arithmetic. Any
/// other key is refused by name, since a model computed wrongly looks like a model that learned
/// badly.
extension ModelConfiguration: Codable {
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

    package init(from decoder: any Decoder) throws {
        try self.init([String: JSONValue](from: decoder))
    }

    package func encode(to encoder: any Encoder) throws {
        try values.encode(to: encoder)
    }

    /// config.json, with sorted keys, so that equal configurations are equal bytes.
    package func configurationJSON() throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(self)
    }

    private init(_ values: [String: JSONValue]) throws(ModelConfigurationError) {
        var reader = ConfigurationReader(values)
        let family = try reader.string("model_type", oneOf: Family.allCases.map(\.rawValue))
        let isOwn = family == Family.martlet.rawValue
        let heads = try reader.integer("num_attention_heads")
        let hiddenSize = try reader.integer("hidden_size")
        self.init(
            vocabularySize: try reader.integer("vocab_size"), hiddenSize: hiddenSize,
            layers: try reader.integer("num_hidden_layers"), heads: heads,
            keyValueHeads: try reader.integer("num_key_value_heads"),
            headWidth: try reader.integer(
                "head_dim", default: heads > 0 ? hiddenSize / heads : 0),
            experts: try reader.integer("num_experts", or: "num_local_experts"),
            expertsPerToken: try reader.integer("num_experts_per_tok"),
            expertHiddenSize: try reader.integer("moe_intermediate_size"),
            positionsMax: try reader.integer("max_position_embeddings"))
        ropeTheta = try reader.ropeTheta()
        // What `transformers` assumes where config.json is silent.
        normalizesTopK = try reader.bool("norm_topk_prob", default: false)
        loadBalancingCoefficient = try reader.number("router_aux_loss_coef", default: 0.001)
        tiesEmbeddings = try reader.bool("tie_word_embeddings", default: false)
        normEpsilon = try reader.number("rms_norm_eps", default: 1e-6)
        initializerRange = try reader.number("initializer_range", default: 0.02)
        beginToken = try reader.optionalInteger("bos_token_id")
        endToken = try reader.optionalInteger("eos_token_id")
        paddingToken = try reader.optionalInteger("pad_token_id")
        if isOwn {
            normalizesQueriesAndKeys = try reader.bool("qk_norm")
            sharedExpertHiddenSize = try reader.integer("shared_expert_intermediate_size")
        }
        try reader.requireFullAttention()
        try reader.requireSupported()
        try validate()
    }

    /// The families whose arithmetic this is, by `model_type`.
    private enum Family: String, CaseIterable {
        /// Readable by `transformers`: QK-norm, no shared expert.
        case qwen3 = "qwen3_moe"
        /// Our own name for the combinations that no published family has, so that no other program
        /// mistakes them for one that it knows.
        case martlet = "martlet_moe"
    }

    private var values: [String: JSONValue] {
        let isQwen3 = normalizesQueriesAndKeys && sharedExpertHiddenSize == 0
        let family = isQwen3 ? Family.qwen3 : .martlet
        var values: [String: JSONValue] = [
            "architectures": .array([.string(isQwen3 ? "Qwen3MoeForCausalLM" : "MartletMoE")]),
            "model_type": .string(family.rawValue),
            "vocab_size": .integer(vocabularySize),
            "hidden_size": .integer(hiddenSize),
            "num_hidden_layers": .integer(layers),
            "num_attention_heads": .integer(heads),
            "num_key_value_heads": .integer(keyValueHeads),
            "head_dim": .integer(headWidth),
            "num_experts": .integer(experts),
            "num_experts_per_tok": .integer(expertsPerToken),
            "moe_intermediate_size": .integer(expertHiddenSize),
            // Width of dense layers, of which there are none; readers want the key.
            "intermediate_size": .integer(expertHiddenSize * expertsPerToken),
            "norm_topk_prob": .bool(normalizesTopK),
            "router_aux_loss_coef": .number(loadBalancingCoefficient),
            "tie_word_embeddings": .bool(tiesEmbeddings),
            "rms_norm_eps": .number(normEpsilon),
            "initializer_range": .number(initializerRange),
            "max_position_embeddings": .integer(positionsMax),
            "rope_theta": .number(ropeTheta),
            "hidden_act": .string("silu"),
            "attention_bias": .bool(false),
            "decoder_sparse_step": .integer(1),
            "mlp_only_layers": .array([]),
            "use_sliding_window": .bool(false),
            "torch_dtype": .string("float32"),
        ]
        let specials = [
            ("bos_token_id", beginToken), ("eos_token_id", endToken),
            ("pad_token_id", paddingToken),
        ]
        for case (let key, let token?) in specials { values[key] = .integer(token) }
        if !isQwen3 {
            values["qk_norm"] = .bool(normalizesQueriesAndKeys)
            values["shared_expert_intermediate_size"] = .integer(sharedExpertHiddenSize)
        }
        return values
    }
}
