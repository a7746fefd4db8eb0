import FoundationEssentials
import MoE

/// A family's keys as its files spell them, with the sizes of one published model.
enum PublishedModel: CaseIterable {
    case qwen3, qwen2, olmoe, mixtral, deepseek, deepseekLarge

    var entries: [String: String] {
        switch self {
        case .qwen3:
            entries(heads: 32, layers: 48, vocabulary: 151_936).merging(Self.qwen3Keys) { $1 }
        case .qwen2:
            entries(heads: 16, layers: 24, vocabulary: 151_936).merging(Self.qwen2Keys) { $1 }
        case .olmoe:
            entries(heads: 16, layers: 16, vocabulary: 50_304).merging(Self.olmoeKeys) { $1 }
        case .mixtral:
            entries(heads: 32, layers: 32, vocabulary: 32_000).merging(Self.mixtralKeys) { $1 }
        case .deepseek:
            entries(heads: 16, layers: 27, vocabulary: 102_400).merging(Self.deepseekKeys) { $1 }
        case .deepseekLarge:
            entries(heads: 128, layers: 60, vocabulary: 102_400).merging(Self.deepseekKeys) { $1 }
                .merging(Self.deepseekLargeKeys) { $1 }
        }
    }

    /// Parameters that the published weights have.
    var parameters: Int {
        switch self {
        case .qwen3: 30_532_122_624
        case .qwen2: 14_315_784_192
        case .olmoe: 6_919_161_856
        case .mixtral: 46_702_792_704
        case .deepseek: 15_706_484_224
        case .deepseekLarge: 235_741_434_880
        }
    }

    /// What all families' files say.
    private func entries(heads: Int, layers: Int, vocabulary: Int) -> [String: String] {
        [
            "attention_dropout": "0.0", "hidden_act": "\"silu\"", "hidden_size": "2048",
            "initializer_range": "0.02", "num_attention_heads": "\(heads)",
            "num_hidden_layers": "\(layers)", "output_router_logits": "false",
            "rms_norm_eps": "1e-06", "tie_word_embeddings": "false",
            "torch_dtype": "\"bfloat16\"", "transformers_version": "\"4.40.0\"",
            "use_cache": "true", "vocab_size": "\(vocabulary)",
        ]
    }

    private static let qwenKeys = [
        "bos_token_id": "151643", "decoder_sparse_step": "1", "eos_token_id": "151645",
        "max_window_layers": "21", "rope_theta": "1000000.0", "router_aux_loss_coef": "0.001",
        "use_sliding_window": "false",
    ]
    private static let qwen3Keys = qwenKeys.merging([
        "architectures": "[\"Qwen3MoeForCausalLM\"]", "attention_bias": "false",
        "head_dim": "128", "intermediate_size": "6144", "max_position_embeddings": "40960",
        "mlp_only_layers": "[]", "model_type": "\"qwen3_moe\"",
        "moe_intermediate_size": "768", "norm_topk_prob": "true", "num_experts": "128",
        "num_experts_per_tok": "8", "num_key_value_heads": "4", "rope_scaling": "null",
        "sliding_window": "null",
    ]) { $1 }
    private static let qwen2Keys = qwenKeys.merging([
        "architectures": "[\"Qwen2MoeForCausalLM\"]", "intermediate_size": "5632",
        "max_position_embeddings": "8192", "model_type": "\"qwen2_moe\"",
        "moe_intermediate_size": "1408", "norm_topk_prob": "false", "num_experts": "60",
        "num_experts_per_tok": "4", "num_key_value_heads": "16",
        "shared_expert_intermediate_size": "5632", "sliding_window": "32768",
    ]) { $1 }
    private static let olmoeKeys = [
        "architectures": "[\"OlmoeForCausalLM\"]", "attention_bias": "false",
        "clip_qkv": "null", "eos_token_id": "50279", "intermediate_size": "1024",
        "max_position_embeddings": "4096", "model_type": "\"olmoe\"",
        "norm_topk_prob": "false", "num_experts": "64", "num_experts_per_tok": "8",
        "num_key_value_heads": "16", "pad_token_id": "1", "rms_norm_eps": "1e-05",
        "rope_scaling": "null", "rope_theta": "10000.0", "router_aux_loss_coef": "0.01",
    ]
    private static let mixtralKeys = [
        "architectures": "[\"MixtralForCausalLM\"]", "bos_token_id": "1",
        "eos_token_id": "2", "hidden_size": "4096", "intermediate_size": "14336",
        "max_position_embeddings": "32768", "model_type": "\"mixtral\"",
        "num_experts_per_tok": "2", "num_key_value_heads": "8", "num_local_experts": "8",
        "rms_norm_eps": "1e-05", "rope_theta": "1000000.0", "router_aux_loss_coef": "0.02",
        "sliding_window": "null",
    ]
    private static let deepseekKeys = [
        "architectures": "[\"DeepseekV2ForCausalLM\"]", "attention_bias": "false",
        "auto_map": "{}", "aux_loss_alpha": "0.001", "bos_token_id": "100000",
        "eos_token_id": "100001", "ep_size": "1", "first_k_dense_replace": "1",
        "intermediate_size": "10944", "kv_lora_rank": "512",
        "max_position_embeddings": "163840", "model_type": "\"deepseek_v2\"",
        "moe_intermediate_size": "1408", "moe_layer_freq": "1", "n_group": "1",
        "n_routed_experts": "64", "n_shared_experts": "2", "norm_topk_prob": "false",
        "num_experts_per_tok": "6", "num_key_value_heads": "16", "pretraining_tp": "1",
        "q_lora_rank": "null", "qk_nope_head_dim": "128", "qk_rope_head_dim": "64",
        "rope_scaling": "{\"beta_fast\": 32, \"beta_slow\": 1, \"factor\": 40,"
            + "\"mscale\": 0.707, \"mscale_all_dim\": 0.707,"
            + "\"original_max_position_embeddings\": 4096, \"type\": \"yarn\"}",
        "rope_theta": "10000", "routed_scaling_factor": "1.0",
        "scoring_func": "\"softmax\"", "seq_aux": "true", "topk_group": "1",
        "topk_method": "\"greedy\"", "v_head_dim": "128",
    ]
    private static let deepseekLargeKeys = [
        "hidden_size": "5120", "intermediate_size": "12288",
        "moe_intermediate_size": "1536", "n_group": "8", "n_routed_experts": "160",
        "num_key_value_heads": "128", "q_lora_rank": "1536",
        "routed_scaling_factor": "16.0", "topk_group": "3",
        "topk_method": "\"group_limited_greedy\"",
    ]

    /// Its config.json with `key` changed, or taken out.
    func configuration(
        _ key: String? = nil, _ value: String? = nil
    ) throws(ModelConfigurationError) -> ModelConfiguration {
        var entries = entries
        if let key { entries[key] = value }
        let members = entries.map { "\"\($0.key)\": \($0.value)" }
        return try ModelConfiguration(
            configurationJSON: Data("{\(members.joined(separator: ","))}".utf8))
    }
}
