/// Takes typed values out of config.json, remembering which keys were asked for, so that none is
/// overlooked.
struct ConfigurationReader {
    private let values: [String: JSONValue]
    private var read: Set<String> = []

    init(_ values: [String: JSONValue]) { self.values = values }

    /// The value of `key`; null counts as absent.
    private mutating func value(_ key: String) -> JSONValue? {
        read.insert(key)
        guard let value = values[key], value != .null else { return nil }
        return value
    }

    func mistake(
        _ key: String, _ found: JSONValue?, _ allowed: String
    ) -> ModelConfigurationError {
        ModelConfigurationError(key: key, found: found?.description ?? "missing", allowed: allowed)
    }

    mutating func optionalInteger(_ key: String) throws(ModelConfigurationError) -> Int? {
        let found = value(key)
        // Of several end tokens the first is the one to write.
        if case .array(let several)? = found, case .integer(let first)? = several.first {
            return first
        }
        switch found {
        case nil: return nil
        case .integer(let number)?: return number
        case let other?: throw mistake(key, other, "a whole number")
        }
    }

    mutating func integer(
        _ key: String, or other: String? = nil, default standard: Int? = nil
    ) throws(ModelConfigurationError) -> Int {
        if let found = try optionalInteger(key) {
            if let other, let second = try optionalInteger(other), second != found {
                throw mistake(other, .integer(second), "the value of \(key) (\(found))")
            }
            return found
        }
        if let other, let found = try optionalInteger(other) { return found }
        guard let standard else { throw mistake(key, nil, "a whole number") }
        return standard
    }

    mutating func number(
        _ key: String, default standard: Double
    ) throws(ModelConfigurationError) -> Double {
        try number(key, value(key)) ?? standard
    }

    private func number(
        _ key: String, _ found: JSONValue?
    ) throws(ModelConfigurationError) -> Double? {
        switch found {
        case nil: nil
        case .integer(let number)?: Double(number)
        case .number(let number)?: number
        case let other?: throw mistake(key, other, "a number")
        }
    }

    mutating func bool(
        _ key: String, default standard: Bool? = nil
    ) throws(ModelConfigurationError) -> Bool {
        let found = value(key)
        if case .bool(let flag)? = found { return flag }
        guard found == nil, let standard else { throw mistake(key, found, "true or false") }
        return standard
    }

    mutating func string(
        _ key: String, oneOf allowed: [String], default standard: String? = nil
    ) throws(ModelConfigurationError) -> String {
        let found = value(key)
        if found == nil, let standard { return standard }
        guard case .string(let text)? = found, allowed.contains(text) else {
            throw mistake(key, found, allowed.map { "\"\($0)\"" }.joined(separator: " or "))
        }
        return text
    }

    /// G: as many as there are heads for null, the family's own number where the key is absent.
    mutating func keyValueHeads(
        of family: ModelFamily, heads: Int
    ) throws(ModelConfigurationError) -> Int {
        let isAbsent = values["num_key_value_heads"] == nil
        return try integer(
            "num_key_value_heads",
            default: isAbsent ? family.defaults.keyValueHeads ?? heads : heads)
    }

    /// Width of the queries' latent: none for null, DeepSeek-V2's own where the key is absent.
    mutating func queryRank() throws(ModelConfigurationError) -> Int? {
        let found = try optionalInteger("q_lora_rank")
        return found == nil && values["q_lora_rank"] == nil ? 1536 : found
    }

    /// A width that is small enough to be added to another.
    mutating func width(
        _ key: String, default standard: Int
    ) throws(ModelConfigurationError) -> Int {
        let found = try integer(key, default: standard)
        guard (1...1 << 10).contains(found) else {
            throw mistake(key, .integer(found), "a whole number from 1 to 1024")
        }
        return found
    }

    /// The value of `key`, an array of whole numbers; empty if it is absent.
    mutating func integers(_ key: String) throws(ModelConfigurationError) -> [Int] {
        guard let found = value(key) else { return [] }
        guard case .array(let elements) = found else {
            throw mistake(key, found, "an array of whole numbers")
        }
        var numbers: [Int] = []
        for element in elements {
            guard case .integer(let number) = element else {
                throw mistake(key, found, "an array of whole numbers")
            }
            numbers.append(number)
        }
        return numbers
    }

    /// The value of `key`, an object; `nil` if it is absent.
    mutating func object(
        _ key: String
    ) throws(ModelConfigurationError) -> [String: JSONValue]? {
        guard let found = value(key) else { return nil }
        guard case .object(let members) = found else { throw mistake(key, found, "an object") }
        return members
    }

    /// The id of a special token; where the key is absent, and not null, the family's own, unless
    /// the vocabulary is too small for it.
    mutating func token(
        _ key: String, default standard: Int?, vocabulary: Int
    ) throws(ModelConfigurationError) -> Int? {
        if values[key] != nil { return try optionalInteger(key) }
        guard let standard, standard < vocabulary else { return nil }
        return standard
    }

    /// Throws if a sliding window would hide any of `positions` positions.
    mutating func requireNoWindow(positions: Int) throws(ModelConfigurationError) {
        guard let window = try optionalInteger("sliding_window"), window < positions else {
            return
        }
        throw mistake(
            "sliding_window", .integer(window),
            "null, or at least max_position_embeddings (\(positions))")
    }

    /// Throws if `layer_types` asks for anything but full attention.
    mutating func requireFullAttention() throws(ModelConfigurationError) {
        guard let found = value("layer_types") else { return }
        let full = JSONValue.string("full_attention")
        guard case .array(let layers) = found, layers.allSatisfy({ $0 == full }) else {
            throw mistake("layer_types", found, "\"full_attention\" for every layer")
        }
    }

    /// Throws unless every key not yet read is known to leave the arithmetic of `family` as it is.
    func requireSupported(in family: ModelFamily) throws(ModelConfigurationError) {
        let required = SupportedKeys.required.merging(family.requiredKeys) { $1 }
        for (key, found) in values.sorted(by: { $0.key < $1.key }) where !read.contains(key) {
            if let allowed = required[key] {
                guard found == .null || allowed.contains(found) else {
                    throw mistake(key, found, allowed.first?.description ?? "null")
                }
            } else if !SupportedKeys.harmless.contains(key), !family.harmlessKeys.contains(key) {
                throw mistake(key, found, "nothing: this program does not know the key")
            }
        }
    }
}

/// The keys of config.json that are not settings of ``ModelConfiguration``.
private enum SupportedKeys {
    /// Keys that would change the arithmetic, with the values at which they do not.
    static let required: [String: [JSONValue]] = [
        "attention_bias": [.bool(false)],
        "attention_dropout": [.integer(0), .number(0)],
        "decoder_sparse_step": [.integer(1)],
        "hidden_act": [.string("silu")],
        "is_encoder_decoder": [.bool(false)],
        "mlp_bias": [.bool(false)],
        "mlp_only_layers": [.array([])],
        "partial_rotary_factor": [.integer(1), .number(1)],
        "qk_norm": [.bool(true)],
        "qkv_bias": [.bool(false)],
        "quantization_config": [],
        "router_jitter_noise": [.integer(0), .number(0)],
        "shared_expert_intermediate_size": [.integer(0)],
        "use_sliding_window": [.bool(false)],
    ]

    /// Keys that tell other programs something and never change what a token's logits are.
    static let harmless: Set<String> = [
        "_attn_implementation", "_name_or_path", "architectures", "auto_map",
        "chunk_size_feed_forward", "dtype", "id2label", "intermediate_size", "label2id",
        "max_window_layers", "output_attentions", "output_hidden_states", "output_router_logits",
        "pretraining_tp", "problem_type", "return_dict", "task_specific_params",
        "torch_dtype", "torchscript", "transformers_version", "use_cache",
    ]
}

extension ModelFamily {
    /// Keys that would change the arithmetic of this family alone, with the values at which they do
    /// not.
    fileprivate var requiredKeys: [String: [JSONValue]] {
        switch self {
        case .olmoe: ["clip_qkv": []]
        case .mixtral: ["norm_topk_prob": [.bool(true)]]
        case .deepseek:
            [
                "moe_layer_freq": [.integer(1)], "norm_topk_prob": [.bool(false)],
                "scoring_func": [.string("softmax")],
            ]
        case .qwen3, .qwen2, .martlet: [:]
        }
    }

    /// Keys that this family's files have and that never change what a token's logits are.
    fileprivate var harmlessKeys: Set<String> {
        switch self {
        case .qwen3, .qwen2, .martlet: ["sliding_window"]
        case .deepseek:
            // The last ones say how it was trained: by a loss per sequence, which is not ours.
            ["ep_size", "head_dim", "qk_head_dim", "aux_loss_alpha", "seq_aux"]
        case .olmoe, .mixtral: []
        }
    }
}
