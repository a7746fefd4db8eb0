/// A JSON value of unknown shape.
enum JSONValue: Codable, Equatable, CustomStringConvertible {
    case null
    case bool(Bool)
    case integer(Int)
    case number(Double)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let value = try? container.decode(Bool.self) {
            self = .bool(value)
        } else if let value = try? container.decode(Int.self) {
            self = .integer(value)
        } else if let value = try? container.decode(Double.self) {
            self = .number(value)
        } else if let value = try? container.decode(String.self) {
            self = .string(value)
        } else if let value = try? container.decode([JSONValue].self) {
            self = .array(value)
        } else {
            self = .object(try container.decode([String: JSONValue].self))
        }
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .null: try container.encodeNil()
        case .bool(let value): try container.encode(value)
        case .integer(let value): try container.encode(value)
        case .number(let value): try container.encode(value)
        case .string(let value): try container.encode(value)
        case .array(let value): try container.encode(value)
        case .object(let value): try container.encode(value)
        }
    }

    var description: String {
        switch self {
        case .null: "null"
        case .bool(let value): "\(value)"
        case .integer(let value): "\(value)"
        case .number(let value): "\(value)"
        case .string(let value): "\"\(value)\""
        case .array(let values): "[" + values.map(\.description).joined(separator: ", ") + "]"
        case .object(let values): "an object of " + values.keys.sorted().joined(separator: ", ")
        }
    }
}

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

    private func mistake(
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
        _ key: String, oneOf allowed: [String]
    ) throws(ModelConfigurationError) -> String {
        let found = value(key)
        guard case .string(let text)? = found, allowed.contains(text) else {
            throw mistake(key, found, allowed.map { "\"\($0)\"" }.joined(separator: " or "))
        }
        return text
    }

    /// The base of the rotary embedding, from `rope_parameters` or the older `rope_theta` with
    /// `rope_scaling`, and nothing that would bend it.
    mutating func ropeTheta() throws(ModelConfigurationError) -> Double {
        var theta = try number("rope_theta", value("rope_theta"))
        for key in ["rope_parameters", "rope_scaling"] {
            guard let found = value(key) else { continue }
            guard case .object(let rope) = found else { throw mistake(key, found, "an object") }
            for (name, setting) in rope.sorted(by: { $0.key < $1.key }) {
                let place = "\(key).\(name)"
                switch name {
                case "rope_theta": theta = try number(place, setting)
                case "rope_type", "type":
                    guard setting == .string("default") else {
                        throw mistake(place, setting, "\"default\"")
                    }
                case "partial_rotary_factor":
                    guard try number(place, setting) == 1 else {
                        throw mistake(place, setting, "1")
                    }
                default:
                    throw mistake(place, setting, "nothing: this program does not know the key")
                }
            }
        }
        return theta ?? 10_000
    }

    /// Throws if `layer_types` asks for anything but full attention.
    mutating func requireFullAttention() throws(ModelConfigurationError) {
        guard let found = value("layer_types") else { return }
        let full = JSONValue.string("full_attention")
        guard case .array(let layers) = found, layers.allSatisfy({ $0 == full }) else {
            throw mistake("layer_types", found, "\"full_attention\" for every layer")
        }
    }

    /// Throws unless every key not yet read is known to leave the arithmetic as it is.
    func requireSupported() throws(ModelConfigurationError) {
        for (key, found) in values.sorted(by: { $0.key < $1.key }) where !read.contains(key) {
            if let allowed = SupportedKeys.required[key] {
                guard found == .null || allowed.contains(found) else {
                    throw mistake(key, found, allowed.first?.description ?? "null")
                }
            } else if !SupportedKeys.harmless.contains(key) {
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
        "pretraining_tp", "problem_type", "return_dict", "sliding_window", "task_specific_params",
        "torch_dtype", "torchscript", "transformers_version", "use_cache",
    ]
}
