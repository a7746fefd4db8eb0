import FoundationEssentials
import MoE
import Tensors
import Testing

@Suite struct ModelConfigurationTests {
    /// config.json as key and JSON text.
    private let published: [(key: String, value: String)] = [
        ("model_type", "\"qwen3_moe\""), ("vocab_size", "320"), ("hidden_size", "64"),
        ("num_hidden_layers", "2"), ("num_attention_heads", "4"), ("num_key_value_heads", "2"),
        ("head_dim", "32"), ("moe_intermediate_size", "48"), ("num_experts_per_tok", "2"),
        ("num_local_experts", "8"), ("norm_topk_prob", "true"),
        ("max_position_embeddings", "256"), ("tie_word_embeddings", "false"),
        ("rope_parameters", "{\"rope_theta\": 500000.0, \"rope_type\": \"default\"}"),
        ("router_aux_loss_coef", "0.01"), ("rms_norm_eps", "1e-05"), ("bos_token_id", "316"),
        ("eos_token_id", "[317, 318]"), ("hidden_act", "\"silu\""), ("sliding_window", "null"),
    ]

    /// `published` with each of `changes` made: another value, a new key, or `nil` for none.
    private func text(_ changes: [(key: String, value: String?)] = []) -> String {
        var entries = published
        for change in changes {
            entries.removeAll { $0.key == change.key }
            if let value = change.value { entries.append((change.key, value)) }
        }
        return "{" + entries.map { "\"\($0.key)\": \($0.value)" }.joined(separator: ", ") + "}"
    }

    private func configuration(
        _ changes: (key: String, value: String?)...
    ) throws -> ModelConfiguration {
        try ModelConfiguration(configurationJSON: Data(text(changes).utf8))
    }

    @Test func readsThePresentStyle() throws {
        let found = try configuration()
        var expected = ModelConfiguration(
            vocabularySize: 320, hiddenSize: 64, layers: 2, heads: 4, keyValueHeads: 2,
            headWidth: 32, experts: 8, expertsPerToken: 2, expertHiddenSize: 48, positionsMax: 256)
        expected.ropeTheta = 500_000
        expected.loadBalancingCoefficient = 0.01
        expected.normEpsilon = 1e-5
        expected.beginToken = 316
        expected.endToken = 317
        #expect(found == expected)
    }

    @Test func readsTheOlderStyle() throws {
        let old = try configuration(
            ("num_local_experts", nil), ("num_experts", "8"), ("rope_parameters", nil),
            ("rope_theta", "500000.0"), ("rope_scaling", "null"))
        #expect(try old == configuration())
    }

    @Test func defaultsAreThoseOfTransformers() throws {
        #expect(try configuration(("norm_topk_prob", nil)).normalizesTopK == false)
        #expect(try configuration(("head_dim", nil)).headWidth == 16)
        #expect(try configuration(("rope_parameters", nil)).ropeTheta == 10_000)
        #expect(
            try configuration(("router_aux_loss_coef", nil)).loadBalancingCoefficient == 0.001)
        #expect(try configuration(("bos_token_id", nil)).beginToken == nil)
    }

    @Test func theFixtureIsRead() throws {
        let json = try Data(
            contentsOf: fixtureFolder.appendingPathComponent("qwen3_moe/config.json"))
        let found = try ModelConfiguration(configurationJSON: json)
        #expect(found.experts == 8 && found.normalizesQueriesAndKeys && found.headWidth == 32)
        #expect(found.paddingToken == 318)
    }

    @Test(arguments: ParityFixture.all)
    func everyFixtureIsWrittenAndReadBack(name: String) throws {
        let json = try Data(
            contentsOf: fixtureFolder.appendingPathComponent("\(name)/config.json"))
        let found = try ModelConfiguration(configurationJSON: json)
        let written = try found.configurationJSON()
        #expect(try ModelConfiguration(configurationJSON: written) == found)
        #expect(String(decoding: written, as: UTF8.self).contains(found.family.rawValue))
    }

    /// `transformers` tells 1 from 1.0.
    @Test func fractionsAreWrittenAsSuch() throws {
        var configuration = ModelVariant.deepseek.applied(to: .odd)
        configuration.loadBalancingCoefficient = 0
        configuration.ropeTheta = 10_000
        let text = String(decoding: try configuration.configurationJSON(), as: UTF8.self)
        for line in [
            "\"routed_scaling_factor\": 1.0,", "\"router_aux_loss_coef\": 0.0,",
            "\"rope_theta\": 10000.0,", "\"q_lora_rank\": null,", "\"hidden_size\": 56,",
        ] {
            #expect(text.contains("  \(line)\n"), "\(line)")
        }
    }

    @Test func whatIsWrittenIsReadBack() throws {
        var configuration = ModelConfiguration.odd
        configuration.endToken = 3
        for (isNormed, shared) in [(true, 0), (true, 5), (false, 0), (false, 5)] {
            configuration.normalizesQueriesAndKeys = isNormed
            configuration.sharedExpertHiddenSize = shared
            configuration.tiesEmbeddings = isNormed
            configuration.normalizesTopK = !isNormed
            let json = try configuration.configurationJSON()
            #expect(try ModelConfiguration(configurationJSON: json) == configuration)
            // Only what `transformers` would compute alike carries the name that it knows.
            let isPublished = String(decoding: json, as: UTF8.self).contains("\"qwen3_moe\"")
            #expect(isPublished == (isNormed && shared == 0))
        }
    }

    /// Key, value as JSON (nil removes the key), the whole message.
    static let mistakes: [(key: String, value: String?, message: String)] = [
        (
            "model_type", "\"llama\"",
            "model_type is \"llama\"; allowed is \"qwen3_moe\" or \"qwen2_moe\" or \"olmoe\" or "
                + "\"mixtral\" or \"deepseek_v2\" or \"martlet_moe\""
        ),
        (
            "model_type", nil,
            "model_type is missing; allowed is \"qwen3_moe\" or \"qwen2_moe\" or \"olmoe\" or "
                + "\"mixtral\" or \"deepseek_v2\" or \"martlet_moe\""
        ),
        ("hidden_size", nil, "hidden_size is missing; allowed is a whole number"),
        ("hidden_size", "6.5", "hidden_size is 6.5; allowed is a whole number"),
        ("hidden_size", "0", "hidden_size is 0; allowed is a whole number from 1 to 65536"),
        ("vocab_size", "1", "vocab_size is 1; allowed is a whole number from 2 to 4194304"),
        (
            "num_hidden_layers", "-1",
            "num_hidden_layers is -1; allowed is a whole number from 1 to 1024"
        ),
        ("num_hidden_layers", "\"2\"", "num_hidden_layers is \"2\"; allowed is a whole number"),
        (
            "num_attention_heads", "0",
            "num_attention_heads is 0; allowed is a whole number from 1 to 1024"
        ),
        (
            "num_key_value_heads", "3",
            "num_key_value_heads is 3; allowed is a divisor of num_attention_heads (4)"
        ),
        (
            "num_key_value_heads", "8",
            "num_key_value_heads is 8; allowed is a whole number from 1 to 4"
        ),
        ("head_dim", "31", "head_dim is 31; allowed is an even number"),
        ("num_experts", "9", "num_local_experts is 8; allowed is the value of num_experts (9)"),
        (
            "num_experts_per_tok", "9",
            "num_experts_per_tok is 9; allowed is a whole number from 1 to 8"
        ),
        (
            "num_experts_per_tok", "0",
            "num_experts_per_tok is 0; allowed is a whole number from 1 to 8"
        ),
        (
            "moe_intermediate_size", "0",
            "moe_intermediate_size is 0; allowed is a whole number from 1 to 262144"
        ),
        ("norm_topk_prob", "1", "norm_topk_prob is 1; allowed is true or false"),
        ("rms_norm_eps", "0", "rms_norm_eps is 0.0; allowed is a number above 0"),
        ("rms_norm_eps", "\"x\"", "rms_norm_eps is \"x\"; allowed is a number"),
        (
            "router_aux_loss_coef", "-1",
            "router_aux_loss_coef is -1.0; allowed is 0 or a number above it"
        ),
        ("bos_token_id", "320", "bos_token_id is 320; allowed is a whole number from 0 to 319"),
        (
            "rope_parameters", "{\"rope_theta\": -1}",
            "rope_theta is -1.0; allowed is a number above 0"
        ),
        (
            "rope_scaling", "{\"type\": \"yarn\"}",
            "rope_scaling is an object of type; allowed is null beside rope_parameters"
        ),
        (
            "rope_parameters", "{\"rope_type\": \"llama3\", \"factor\": 8}",
            "rope_parameters.rope_type is \"llama3\"; allowed is \"default\" or \"linear\" or "
                + "\"yarn\""
        ),
        (
            "rope_parameters", "{\"type\": \"dynamic\", \"factor\": 8}",
            "rope_parameters.type is \"dynamic\"; allowed is \"default\" or \"linear\" or \"yarn\""
        ),
        (
            "rope_parameters", "{\"rope_type\": \"yarn\"}",
            "rope_parameters.factor is missing; allowed is a number"
        ),
        (
            "rope_parameters", "{\"rope_type\": \"yarn\", \"factor\": 0.5}",
            "rope_scaling.factor is 0.5; allowed is a number from 1"
        ),
        (
            "rope_parameters", "{\"rope_type\": \"linear\", \"factor\": 0}",
            "rope_scaling.factor is 0.0; allowed is a number above 0"
        ),
        (
            "rope_parameters", "{\"rope_type\": \"linear\", \"factor\": 2, \"beta_fast\": 3}",
            "rope_parameters.beta_fast is 3; allowed is nothing: this program does not know the key"
        ),
        (
            "rope_parameters", "{\"partial_rotary_factor\": 0.5}",
            "rope_parameters.partial_rotary_factor is 0.5; allowed is 1"
        ),
        ("partial_rotary_factor", "0.5", "partial_rotary_factor is 0.5; allowed is 1"),
        (
            "rope_parameters", "{\"factor\": 4}",
            "rope_parameters.factor is 4; allowed is nothing: this program does not know the key"
        ),
        ("hidden_act", "\"gelu\"", "hidden_act is \"gelu\"; allowed is \"silu\""),
        ("attention_bias", "1", "attention_bias is 1; allowed is true or false"),
        ("qkv_bias", "true", "qkv_bias is true; allowed is false"),
        ("mlp_only_layers", "[0]", "intermediate_size is missing; allowed is a whole number"),
        ("mlp_only_layers", "[2]", "mlp_only_layers is 2; allowed is layers from 0 to 1"),
        (
            "mlp_only_layers", "[\"0\"]",
            "mlp_only_layers is [\"0\"]; allowed is an array of whole numbers"
        ),
        (
            "mlp_only_layers", "[0, 1]",
            "intermediate_size is missing; allowed is a whole number"
        ),
        (
            "decoder_sparse_step", "0",
            "decoder_sparse_step is 0; allowed is a whole number from 1 to 1024"
        ),
        ("use_sliding_window", "true", "use_sliding_window is true; allowed is false"),
        (
            "layer_types", "[\"sliding_attention\"]",
            "layer_types is [\"sliding_attention\"]; allowed is \"full_attention\" for every layer"
        ),
        (
            "quantization_config", "{\"bits\": 4}",
            "quantization_config is an object of bits; allowed is null"
        ),
        ("qk_norm", "false", "qk_norm is false; allowed is true"),
        (
            "shared_expert_intermediate_size", "64",
            "shared_expert_intermediate_size is 64; allowed is 0"
        ),
        (
            "logit_scale", "2",
            "logit_scale is 2; allowed is nothing: this program does not know the key"
        ),
    ]

    @Test(arguments: mistakes)
    func eachMistakeIsNamed(key: String, value: String?, message: String) throws {
        let error = #expect(throws: ModelConfigurationError.self) {
            try configuration((key, value))
        }
        #expect(error?.description == "config.json: " + message)
    }

    @Test(arguments: ["", "[]", "{", "{\"model_type\": }", "null", "\u{0}"])
    func whatIsNoConfiguration(text: String) {
        let error = #expect(throws: ModelConfigurationError.self) {
            try ModelConfiguration(configurationJSON: Data(text.utf8))
        }
        #expect(
            error?.description
                == "config.json is not a JSON object; allowed is a model configuration")
    }

    @Test func everyPrefixIsRefused() {
        let whole = Data(text().utf8)
        for length in 0..<whole.count {
            #expect(throws: ModelConfigurationError.self) {
                try ModelConfiguration(configurationJSON: whole.prefix(length))
            }
        }
    }

    @Test(arguments: ModelVariant.allCases)
    func everyFamilyIsReadBack(variant: ModelVariant) throws {
        var configuration = variant.applied(to: .odd)
        configuration.endToken = 3
        let json = try configuration.configurationJSON()
        #expect(try ModelConfiguration(configurationJSON: json) == configuration)
        #expect(try ModelConfiguration(configurationJSON: json).configurationJSON() == json)
    }

    /// The program cannot publish what a family has not.
    @Test func optionsOfAnotherFamilyAreRefused() {
        for variant in ModelVariant.allCases {
            var configuration = variant.applied(to: .odd)
            guard configuration.family != .qwen3 else { continue }
            configuration.normalizesQueriesAndKeys.toggle()
            let error = #expect(throws: ModelConfigurationError.self) {
                try configuration.validate()
            }
            #expect(error?.key == "model_type")
        }
    }

    /// With every expert chosen, every parameter is active.
    @Test(arguments: ModelVariant.allCases)
    func activeParametersAreCounted(variant: ModelVariant) {
        var configuration = variant.applied(to: .odd)
        #expect(configuration.activeParametersPerToken < configuration.parameterCount)
        configuration.expertsPerToken = configuration.experts
        #expect(configuration.activeParametersPerToken == configuration.parameterCount)
    }

    @Test func operationsAreCounted() {
        var configuration = ModelConfiguration(
            vocabularySize: 10, hiddenSize: 4, layers: 1, heads: 2, keyValueHeads: 1, headWidth: 2,
            experts: 3, expertsPerToken: 2, expertHiddenSize: 5, positionsMax: 8)
        // q and o 4x4 each, k and v 2x4 each, router 3x4, two experts of 3x4x5, head 10x4.
        let weights = 16 + 16 + 8 + 8 + 12 + 2 * 60 + 40
        // Attention: q.k and p.v over (7 + 1) / 2 keys of 4 channels, times 3 for backward.
        let attention = 12 * 4 * 4
        #expect(configuration.flopsPerToken(sequence: 7) == Double(6 * weights + attention))
        configuration.tiesEmbeddings = true
        #expect(configuration.flopsPerToken(sequence: 7) == Double(6 * weights + attention))
    }

    @Test func modulesAreEmbeddingLayersAndHead() {
        let layout = ModelConfiguration.odd.layout
        #expect(
            layout.modules.map(\.name) == ["embedding", "layers.0", "layers.1", "layers.2", "head"])
        for expert in 0..<9 {
            let prefix = "model.layers.1.mlp.experts.\(expert)."
            let parts = layout.tensors.filter { $0.name.hasPrefix(prefix) }
            #expect(parts.count == 3)
            #expect(parts[0].range.upperBound == parts[1].range.lowerBound)
            #expect(parts[1].range.upperBound == parts[2].range.lowerBound)
        }
    }
}
