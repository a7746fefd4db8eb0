/// Published names of the tensors outside the layers.
enum TensorName {
    static let embedding = "model.embed_tokens.weight"
    static let finalNorm = "model.norm.weight"
    static let head = "lm_head.weight"
}

/// Published names of one layer's tensors, as a family spells them.
struct LayerTensorNames {
    let layer: Int
    let family: ModelFamily

    private func name(_ rest: String) -> String { "model.layers.\(layer).\(rest)" }
    private func attention(_ part: String) -> LinearTensorNames {
        LinearTensorNames(prefix: name("self_attn.\(part)"))
    }

    var attentionNorm: String { name("input_layernorm.weight") }
    var query: LinearTensorNames { attention("q_proj") }
    var key: LinearTensorNames { attention("k_proj") }
    var value: LinearTensorNames { attention("v_proj") }
    var queryNorm: String { name("self_attn.q_norm.weight") }
    var keyNorm: String { name("self_attn.k_norm.weight") }
    var output: LinearTensorNames { attention("o_proj") }

    // Latent attention.
    var queryDown: LinearTensorNames { attention("q_a_proj") }
    var queryLatentNorm: String { name("self_attn.q_a_layernorm.weight") }
    var queryUp: LinearTensorNames { attention("q_b_proj") }
    var keyValueDown: LinearTensorNames { attention("kv_a_proj_with_mqa") }
    var keyValueLatentNorm: String { name("self_attn.kv_a_layernorm.weight") }
    var keyValueUp: LinearTensorNames { attention("kv_b_proj") }

    // What comes after attention: experts, or one MLP.
    private var experts: String { name(family == .mixtral ? "block_sparse_moe" : "mlp") }
    var expertsNorm: String { name("post_attention_layernorm.weight") }
    var router: String { "\(experts).gate.weight" }
    var maskRouter: String { experts + ParameterName.maskRouterSuffix }
    func expert(_ index: Int) -> MLPTensorNames {
        MLPTensorNames(prefix: "\(experts).experts.\(index)", isNumbered: family == .mixtral)
    }
    var sharedExpertGate: String { name("mlp.shared_expert_gate.weight") }
    var sharedExpert: MLPTensorNames {
        let part = family == .deepseek ? "shared_experts" : "shared_expert"
        return MLPTensorNames(prefix: name("mlp.\(part)"), isNumbered: false)
    }
    var dense: MLPTensorNames { MLPTensorNames(prefix: name("mlp"), isNumbered: false) }
    /// All that a layer may have of these, of which no model has every one.
    func feedForward(experts E: Int) -> [MLPTensorNames] {
        (0..<E).map(expert) + [sharedExpert, dense]
    }
}

/// Published names of a linear map's tensors.
struct LinearTensorNames {
    let prefix: String

    var weight: String { "\(prefix).weight" }
    var bias: String { prefix + ParameterName.biasSuffix }
}

/// Published names of an MLP's three tensors.
struct MLPTensorNames {
    let prefix: String
    /// Whether they are w1, w3 and w2, as Mixtral's are.
    let isNumbered: Bool

    var gate: String { "\(prefix).\(isNumbered ? "w1" : "gate_proj").weight" }
    var up: String { "\(prefix).\(isNumbered ? "w3" : "up_proj").weight" }
    var down: String { "\(prefix).\(isNumbered ? "w2" : "down_proj").weight" }
}

/// What a tensor's name says of its part.
enum ParameterName {
    static let biasSuffix = ".bias"
    static let maskRouterSuffix = ".mask_router.weight"
}
