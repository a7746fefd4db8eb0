import MoE
import Tensors
import Testing

/// config.json of well-known checkpoints: every key they have is understood or refused by name.
@Suite struct PublishedConfigurationTests {
    @Test(arguments: PublishedModel.allCases)
    func parametersAreCounted(published: PublishedModel) throws {
        let configuration = try published.configuration()
        #expect(configuration.parameterCount == published.parameters)
        #expect(configuration.activeParametersPerToken < published.parameters)
        let written = try configuration.configurationJSON()
        #expect(try ModelConfiguration(configurationJSON: written) == configuration)
    }

    /// YaRN of DeepSeek-V2: rotated channels keep their length, scores grow.
    @Test func scalingOfDeepseek() throws {
        let configuration = try PublishedModel.deepseek.configuration()
        #expect(configuration.ropeScaling.rotationFactor == 1)
        let magnitude = 0.0707 * 3.6888794541139363 + 1
        let scale = configuration.attentionShape(batch: 1, tokens: 1).scale
        #expect(abs(scale / (magnitude * magnitude / 192.0.squareRoot()) - 1) < 1e-12)
    }

    /// What `transformers` assumes of each family where a key is not there.
    @Test func defaultsAreTheFamilies() throws {
        let mixtral = PublishedModel.mixtral
        #expect(try mixtral.configuration("rope_theta").ropeTheta == 1_000_000)
        #expect(try mixtral.configuration("rms_norm_eps").normEpsilon == 1e-5)
        #expect(try mixtral.configuration("num_key_value_heads").keyValueHeads == 8)
        #expect(try mixtral.configuration("num_key_value_heads", "null").keyValueHeads == 32)
        #expect(try mixtral.configuration("eos_token_id").endToken == 2)
        #expect(try mixtral.configuration("eos_token_id", "null").endToken == nil)
        #expect(try PublishedModel.qwen2.configuration("qkv_bias").biasesQueriesKeysAndValues)
        #expect(try PublishedModel.qwen3.configuration("num_key_value_heads").keyValueHeads == 4)
        let olmoe = PublishedModel.olmoe
        #expect(try olmoe.configuration("num_key_value_heads").keyValueHeads == 16)
        #expect(try olmoe.configuration("router_aux_loss_coef").loadBalancingCoefficient == 0.01)
        #expect(try olmoe.configuration("pad_token_id").paddingToken == 1)
        let deepseek = PublishedModel.deepseek
        #expect(try deepseek.configuration().loadBalancingCoefficient == 0)
        #expect(try deepseek.configuration("q_lora_rank").latentAttention?.queryRank == 1536)
        #expect(try deepseek.configuration("first_k_dense_replace").denseLayers.isEmpty)
        #expect(try deepseek.configuration("n_shared_experts").sharedExpertHiddenSize == 2816)
    }

    /// Model, key, value as JSON (`nil` removes the key), the whole message.
    static let mistakes: [(PublishedModel, String, String?, String)] = [
        (.olmoe, "clip_qkv", "8.0", "clip_qkv is 8; allowed is null"),
        (.olmoe, "head_dim", "64", "head_dim is 64; allowed is hidden_size / num_attention_heads"),
        (
            .olmoe, "sliding_window", "4095",
            "sliding_window is 4095; allowed is null, or at least max_position_embeddings (4096)"
        ),
        (.mixtral, "norm_topk_prob", "false", "norm_topk_prob is false; allowed is true"),
        (.mixtral, "attention_bias", "true", "attention_bias is true; allowed is false"),
        (.mixtral, "router_jitter_noise", "0.1", "router_jitter_noise is 0.1; allowed is 0"),
        (
            .mixtral, "sliding_window", "4096",
            "sliding_window is 4096; allowed is null, or at least max_position_embeddings (32768)"
        ),
        (
            .mixtral, "num_local_experts", "0",
            "num_local_experts is 0; allowed is a whole number from 1 to 4096"
        ),
        (
            .mixtral, "moe_intermediate_size", "1",
            "moe_intermediate_size is 1; allowed is nothing: this program does not know the key"
        ),
        (
            .qwen2, "shared_expert_intermediate_size", "0",
            "shared_expert_intermediate_size is 0; allowed is a number above 0"
        ),
        (.qwen2, "use_sliding_window", "true", "use_sliding_window is true; allowed is false"),
        (.qwen2, "attention_bias", "true", "attention_bias is true; allowed is false"),
        (.deepseek, "norm_topk_prob", "true", "norm_topk_prob is true; allowed is false"),
        (.deepseek, "moe_layer_freq", "2", "moe_layer_freq is 2; allowed is 1"),
        (.deepseek, "mlp_bias", "true", "mlp_bias is true; allowed is false"),
        (
            .deepseek, "scoring_func", "\"sigmoid\"",
            "scoring_func is \"sigmoid\"; allowed is \"softmax\""
        ),
        (
            .deepseek, "topk_method", "\"noaux_tc\"",
            "topk_method is \"noaux_tc\"; allowed is \"greedy\" or \"group_limited_greedy\""
        ),
        (
            .deepseek, "num_key_value_heads", "8",
            "num_key_value_heads is 8; allowed is num_attention_heads (16)"
        ),
        (.deepseek, "qk_rope_head_dim", "63", "qk_rope_head_dim is 63; allowed is an even number"),
        (
            .deepseek, "kv_lora_rank", "0",
            "kv_lora_rank is 0; allowed is a whole number from 1 to 65536"
        ),
        (
            .deepseek, "first_k_dense_replace", "27",
            "first_k_dense_replace is 27; allowed is a whole number from 0 to 26"
        ),
        (
            .deepseek, "n_shared_experts", "0",
            "n_shared_experts is 0; allowed is a whole number from 1 to 1024"
        ),
        (.deepseekLarge, "n_group", nil, "n_group is missing; allowed is a whole number"),
        (.deepseekLarge, "topk_group", nil, "topk_group is missing; allowed is a whole number"),
        (
            .deepseekLarge, "n_group", "7",
            "n_group is 7; allowed is a divisor of n_routed_experts (160)"
        ),
        (
            .deepseekLarge, "topk_group", "9",
            "topk_group is 9; allowed is a whole number from 1 to 8"
        ),
        (
            .deepseekLarge, "num_experts_per_tok", "61",
            "num_experts_per_tok is 61; allowed is a whole number from 1 to 60"
        ),
        (
            .qwen3, "n_routed_experts", "8",
            "n_routed_experts is 8; allowed is nothing: this program does not know the key"
        ),
        (
            .qwen3, "rope_scaling", "{\"rope_type\": \"longrope\", \"factor\": 4}",
            "rope_scaling.rope_type is \"longrope\"; allowed is \"default\" or \"linear\" or "
                + "\"yarn\""
        ),
    ]

    @Test(arguments: mistakes)
    func eachMistakeIsNamed(
        published: PublishedModel, key: String, value: String?, message: String
    ) throws {
        let error = #expect(throws: ModelConfigurationError.self) {
            try published.configuration(key, value)
        }
        #expect(error?.description == "config.json: " + message)
    }
}
