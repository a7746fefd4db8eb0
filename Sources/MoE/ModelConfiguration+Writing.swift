/// The members of config.json, spelled so that every version of `transformers` that knows the
/// family reads them.
extension ModelConfiguration {
    var values: [String: JSONValue] {
        let family = publishedFamily
        var values: [String: JSONValue] = [
            "architectures": .array([.string(family.architecture)]),
            "model_type": .string(family.rawValue),
            "vocab_size": .integer(vocabularySize),
            "hidden_size": .integer(hiddenSize),
            "num_hidden_layers": .integer(layers),
            "num_attention_heads": .integer(heads),
            "num_key_value_heads": .integer(keyValueHeads),
            family.expertsKey: .integer(experts),
            "num_experts_per_tok": .integer(expertsPerToken),
            family.expertHiddenSizeKey: .integer(expertHiddenSize),
            "router_aux_loss_coef": .number(loadBalancingCoefficient),
            "tie_word_embeddings": .bool(tiesEmbeddings),
            "rms_norm_eps": .number(normEpsilon),
            "initializer_range": .number(initializerRange),
            "max_position_embeddings": .integer(positionsMax),
            "rope_theta": .number(ropeTheta),
            "hidden_act": .string("silu"),
            "torch_dtype": .string("float32"),
            // Null where there is none: an absent key stands for the family's own.
            "bos_token_id": beginToken.map { .integer($0) } ?? .null,
            "eos_token_id": endToken.map { .integer($0) } ?? .null,
            "pad_token_id": paddingToken.map { .integer($0) } ?? .null,
        ]
        // Unknown to `transformers`, which passes over it and over the masks' tensors.
        if masksExperts { values["expert_masks"] = .bool(true) }
        if let scaling = ropeScaling.values { values["rope_scaling"] = .object(scaling) }
        values.merge(options(of: family)) { $1 }
        return values
    }

    /// The members that not all families have.
    private func options(of family: ModelFamily) -> [String: JSONValue] {
        switch family {
        case .qwen3: qwenValues.merging(headValues) { $1 }
        case .martlet:
            qwenValues.merging(headValues) { $1 }.merging([
                "qk_norm": .bool(normalizesQueriesAndKeys),
                "shared_expert_intermediate_size": .integer(sharedExpertHiddenSize),
            ]) { $1 }
        case .qwen2:
            qwenValues.merging([
                "head_dim": .integer(headWidth),
                "qkv_bias": .bool(biasesQueriesKeysAndValues),
                "shared_expert_intermediate_size": .integer(sharedExpertHiddenSize),
            ]) { $1 }
        case .olmoe:
            headValues.merging(["norm_topk_prob": .bool(normalizesTopK), "clip_qkv": .null]) { $1 }
        case .mixtral: ["head_dim": .integer(headWidth), "sliding_window": .null]
        case .deepseek: deepseekValues
        }
    }

    private var headValues: [String: JSONValue] {
        [
            "head_dim": .integer(headWidth), "attention_bias": .bool(biasesQueriesKeysAndValues),
        ]
    }

    private var qwenValues: [String: JSONValue] {
        [
            "intermediate_size": .integer(denseWidth),
            "norm_topk_prob": .bool(normalizesTopK),
            "decoder_sparse_step": .integer(1),
            "mlp_only_layers": .array(denseLayers.sorted().map { .integer($0) }),
            "use_sliding_window": .bool(false),
        ]
    }

    private var deepseekValues: [String: JSONValue] {
        guard let latent = latentAttention else { return [:] }
        return [
            "attention_bias": .bool(biasesQueriesKeysAndValues),
            "first_k_dense_replace": .integer(denseLayers.count),
            "intermediate_size": .integer(denseWidth),
            "kv_lora_rank": .integer(latent.keyValueRank),
            "q_lora_rank": latent.queryRank.map { .integer($0) } ?? .null,
            "qk_nope_head_dim": .integer(latent.plainWidth),
            "qk_rope_head_dim": .integer(latent.rotatedWidth),
            "v_head_dim": .integer(latent.valueWidth),
            "mlp_bias": .bool(false),
            "moe_layer_freq": .integer(1),
            "n_group": .integer(routingGroups),
            "n_shared_experts": .integer(sharedExpertHiddenSize / expertHiddenSize),
            "norm_topk_prob": .bool(false),
            "routed_scaling_factor": .number(routedScalingFactor),
            "scoring_func": .string("softmax"),
            "topk_group": .integer(routingGroupsChosen),
            "topk_method": .string(routingGroups == 1 ? "greedy" : "group_limited_greedy"),
        ]
    }

    /// Width of dense layers; where there are none, readers want the key nevertheless.
    private var denseWidth: Int {
        denseLayers.isEmpty ? expertHiddenSize * expertsPerToken : denseHiddenSize
    }
}

extension RopeScaling {
    /// The members of `rope_scaling`; `nil` where there is none.
    fileprivate var values: [String: JSONValue]? {
        var values: [String: JSONValue]
        switch self {
        case .none: return nil
        case .linear(let factor):
            values = ["rope_type": .string("linear"), "factor": .number(factor)]
        case .yarn(let yarn):
            values = [
                "rope_type": .string("yarn"),
                "factor": .number(yarn.factor),
                "original_max_position_embeddings": .integer(yarn.originalPositions),
                "beta_fast": .number(yarn.betaFast),
                "beta_slow": .number(yarn.betaSlow),
                "truncate": .bool(yarn.truncates),
            ]
            if let factor = yarn.attentionFactor { values["attention_factor"] = .number(factor) }
            if let mscale = yarn.mscale { values["mscale"] = .number(mscale) }
            if let mscale = yarn.mscaleAllDimensions { values["mscale_all_dim"] = .number(mscale) }
        }
        values["type"] = values["rope_type"]
        return values
    }
}
