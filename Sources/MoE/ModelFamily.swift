/// Whose spelling a model's tensors and the keys of its config.json have.
///
/// The arithmetic never asks for the family: it is told by the options of ``ModelConfiguration``.
package enum ModelFamily: String, Sendable, CaseIterable {
    case qwen3 = "qwen3_moe"
    case qwen2 = "qwen2_moe"
    case olmoe
    case mixtral
    case deepseek = "deepseek_v2"
    /// Our own name for a Qwen3-MoE with options that no published one has, so that no other
    /// program mistakes it for one that it knows.
    case martlet = "martlet_moe"

    /// The class that `transformers` computes it with.
    var architecture: String {
        switch self {
        case .qwen3: "Qwen3MoeForCausalLM"
        case .qwen2: "Qwen2MoeForCausalLM"
        case .olmoe: "OlmoeForCausalLM"
        case .mixtral: "MixtralForCausalLM"
        case .deepseek: "DeepseekV2ForCausalLM"
        case .martlet: "MartletMoE"
        }
    }

    /// The key of E in config.json.
    var expertsKey: String {
        switch self {
        case .qwen3, .qwen2, .olmoe, .martlet: "num_experts"
        case .mixtral: "num_local_experts"
        case .deepseek: "n_routed_experts"
        }
    }

    /// Another key for E that files of the family may have.
    var otherExpertsKey: String {
        switch self {
        case .qwen3, .qwen2, .olmoe, .martlet: "num_local_experts"
        case .mixtral, .deepseek: "num_experts"
        }
    }

    /// The key of F in config.json.
    var expertHiddenSizeKey: String {
        switch self {
        case .qwen3, .qwen2, .deepseek, .martlet: "moe_intermediate_size"
        case .olmoe, .mixtral: "intermediate_size"
        }
    }

    /// What `transformers` assumes where config.json is silent.
    var defaults: Defaults {
        var defaults = Defaults()
        switch self {
        case .qwen3: defaults.keyValueHeads = 4
        case .qwen2: defaults.keyValueHeads = 16
        case .olmoe:
            defaults.normEpsilon = 1e-5
            defaults.loadBalancingCoefficient = 0.01
            defaults.endToken = 50_279
            defaults.paddingToken = 1
        case .mixtral:
            defaults.keyValueHeads = 8
            defaults.normEpsilon = 1e-5
            defaults.ropeTheta = 1_000_000
            defaults.beginToken = 1
            defaults.endToken = 2
        case .deepseek:
            // It computes no such loss for this family.
            defaults.loadBalancingCoefficient = 0
            defaults.beginToken = 1
            defaults.endToken = 2
        case .martlet: break
        }
        return defaults
    }

    struct Defaults {
        /// `nil` for as many as there are heads.
        var keyValueHeads: Int?
        var normEpsilon = 1e-6
        var ropeTheta = 10_000.0
        var loadBalancingCoefficient = 0.001
        var beginToken: Int?
        var endToken: Int?
        var paddingToken: Int?
    }
}

extension ModelConfiguration {
    /// The family that the model can be published as: its own, or, for a Qwen3-MoE with options
    /// that no Qwen3-MoE has, none but ours.
    package var publishedFamily: ModelFamily {
        let isPlain = normalizesQueriesAndKeys && sharedExpertHiddenSize == 0
        return family == .qwen3 && !isPlain ? .martlet : family
    }

    /// Whether every option is one that models of the family have.
    var hasOptionsOfFamily: Bool {
        let isUngrouped = routingGroups == 1 && routedScalingFactor == 1
        let isClassic = latentAttention == nil && isUngrouped
        let hasNoNorm = !normalizesQueriesAndKeys
        let isAcross = normalizesQueriesAndKeys && normalizesAcrossHeads
        let isGated = sharedExpertHiddenSize > 0 && gatesSharedExpert
        let areBiasesAlike = biasesQueriesKeysAndValues == biasesOutput
        switch publishedFamily {
        case .qwen3, .martlet:
            return isClassic && !isAcross && areBiasesAlike
                && (sharedExpertHiddenSize == 0 || gatesSharedExpert)
        case .qwen2: return isClassic && hasNoNorm && isGated && !biasesOutput
        case .olmoe:
            return isClassic && isAcross && areBiasesAlike && sharedExpertHiddenSize == 0
                && denseLayers.isEmpty
        case .mixtral:
            return isClassic && hasNoNorm && !biasesQueriesKeysAndValues && !biasesOutput
                && sharedExpertHiddenSize == 0 && denseLayers.isEmpty && normalizesTopK
        case .deepseek:
            return latentAttention != nil && hasNoNorm && areBiasesAlike && !normalizesTopK
                && !gatesSharedExpert && sharedExpertHiddenSize > 0
                && sharedExpertHiddenSize % expertHiddenSize == 0
                && denseLayers == Set(0..<denseLayers.count)
        }
    }
}
