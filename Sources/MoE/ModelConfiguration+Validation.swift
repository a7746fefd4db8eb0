extension ModelConfiguration {
    /// Throws the first setting that no model can have, by its key in config.json.
    ///
    /// The upper limits keep every count of elements far from overflowing 64 bits.
    package func validate() throws(ModelConfigurationError) {
        try validateLayers()
        try check("vocab_size", vocabularySize, in: 2...1 << 22)
        try check("hidden_size", hiddenSize, in: 1...1 << 16)
        try check("num_attention_heads", heads, in: 1...1 << 10)
        try check("num_key_value_heads", keyValueHeads, in: 1...heads)
        try check("max_position_embeddings", positionsMax, in: 1...1 << 24)
        try require(
            heads % keyValueHeads == 0, "num_key_value_heads", keyValueHeads,
            "a divisor of num_attention_heads (\(heads))")
        try validateHeads()
        try validateRotation()
        try validateExperts()
        try validateDenseLayers()
        try requirePositive("rms_norm_eps", normEpsilon)
        try requirePositive("initializer_range", initializerRange)
        let specials = [
            ("bos_token_id", beginToken), ("eos_token_id", endToken),
            ("pad_token_id", paddingToken),
        ]
        for case (let key, let token?) in specials {
            try check(key, token, in: 0...vocabularySize - 1)
        }
        try require(
            hasOptionsOfFamily, "model_type", publishedFamily.rawValue,
            "a family that has the options of this model")
    }

    /// Throws unless the layers are so few that they can be listed.
    func validateLayers() throws(ModelConfigurationError) {
        try check("num_hidden_layers", layers, in: 1...1 << 10)
    }

    private func validateHeads() throws(ModelConfigurationError) {
        guard let latent = latentAttention else {
            try check("head_dim", headWidth, in: 2...1 << 10)
            try require(headWidth % 2 == 0, "head_dim", headWidth, "an even number")
            try require(
                !(normalizesQueriesAndKeys && normalizesAcrossHeads)
                    || heads * headWidth == hiddenSize,
                "head_dim", headWidth, "hidden_size / num_attention_heads")
            return
        }
        if let rank = latent.queryRank { try check("q_lora_rank", rank, in: 1...1 << 16) }
        try check("kv_lora_rank", latent.keyValueRank, in: 1...1 << 16)
        try check("qk_nope_head_dim", latent.plainWidth, in: 1...1 << 10)
        try check("qk_rope_head_dim", latent.rotatedWidth, in: 2...1 << 10)
        try require(
            latent.rotatedWidth % 2 == 0, "qk_rope_head_dim", latent.rotatedWidth,
            "an even number")
        try check("v_head_dim", latent.valueWidth, in: 1...1 << 10)
        let width = latent.plainWidth + latent.rotatedWidth
        try require(headWidth == width, "qk_head_dim", headWidth, "\(width)")
        try require(
            keyValueHeads == heads, "num_key_value_heads", keyValueHeads,
            "num_attention_heads (\(heads))")
    }

    private func validateRotation() throws(ModelConfigurationError) {
        try requirePositive("rope_theta", ropeTheta)
        switch ropeScaling {
        case .none: break
        case .linear(let factor): try requirePositive("rope_scaling.factor", factor)
        case .yarn(let yarn):
            let place = "rope_scaling"
            try require(ropeTheta > 1, "rope_theta", ropeTheta, "a number above 1")
            try require(
                yarn.factor.isFinite && yarn.factor >= 1, "\(place).factor", yarn.factor,
                "a number from 1")
            try check(
                "\(place).original_max_position_embeddings", yarn.originalPositions,
                in: 1...1 << 24)
            try requirePositive("\(place).beta_fast", yarn.betaFast)
            try requirePositive("\(place).beta_slow", yarn.betaSlow)
            try require(
                yarn.betaFast >= yarn.betaSlow, "\(place).beta_fast", yarn.betaFast,
                "a number from beta_slow (\(yarn.betaSlow))")
            for (key, value) in [
                ("attention_factor", yarn.attentionFactor), ("mscale", yarn.mscale),
                ("mscale_all_dim", yarn.mscaleAllDimensions),
            ] {
                guard let value else { continue }
                try require(
                    value.isFinite && value >= 0, "\(place).\(key)", value,
                    "0 or a number above it")
            }
        }
    }

    private func validateExperts() throws(ModelConfigurationError) {
        try check(family.expertsKey, experts, in: 1...1 << 12)
        try check("num_experts_per_tok", expertsPerToken, in: 1...experts)
        try check(family.expertHiddenSizeKey, expertHiddenSize, in: 1...1 << 18)
        try check("shared_expert_intermediate_size", sharedExpertHiddenSize, in: 0...1 << 20)
        try require(
            loadBalancingCoefficient.isFinite && loadBalancingCoefficient >= 0,
            "router_aux_loss_coef", loadBalancingCoefficient, "0 or a number above it")
        try requirePositive("routed_scaling_factor", routedScalingFactor)
        try check("n_group", routingGroups, in: 1...experts)
        try require(
            experts % routingGroups == 0, "n_group", routingGroups,
            "a divisor of \(family.expertsKey) (\(experts))")
        try check("topk_group", routingGroupsChosen, in: 1...routingGroups)
        try check(
            "num_experts_per_tok", expertsPerToken,
            in: 1...routingGroupsChosen * (experts / routingGroups))
    }

    private func validateDenseLayers() throws(ModelConfigurationError) {
        guard !denseLayers.isEmpty else { return }
        let sorted = denseLayers.sorted()
        let key = family == .deepseek ? "first_k_dense_replace" : "mlp_only_layers"
        try require(
            sorted.allSatisfy((0..<layers).contains) && sorted.count < layers, key, sorted,
            "layers from 0 to \(layers - 1), and not all of them")
        try check("intermediate_size", denseHiddenSize, in: 1...1 << 20)
    }

    private func requirePositive(
        _ key: String, _ found: Double
    ) throws(ModelConfigurationError) {
        try require(found.isFinite && found > 0, key, found, "a number above 0")
    }

    private func check(
        _ key: String, _ found: Int, in allowed: ClosedRange<Int>
    ) throws(ModelConfigurationError) {
        try require(
            allowed.contains(found), key, found,
            "a whole number from \(allowed.lowerBound) to \(allowed.upperBound)")
    }

    private func require(
        _ holds: Bool, _ key: String, _ found: some CustomStringConvertible, _ allowed: String
    ) throws(ModelConfigurationError) {
        guard holds else {
            throw ModelConfigurationError(key: key, found: found.description, allowed: allowed)
        }
    }
}
