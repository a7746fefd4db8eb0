package import Tensors

extension ModelConfiguration {
    /// All tensors under their published names, each expert's three one behind the other, in the
    /// modules `embedding`, `layers.0` ...
    ///
    /// and `head` (final norm, and the head unless it is tied).
    package var layout: ParameterLayout {
        typealias Tensors = [(name: String, shape: [Int])]
        let embedding: Tensors = [(TensorName.embedding, [vocabularySize, hiddenSize])]
        var head: Tensors = [(TensorName.finalNorm, [hiddenSize])]
        if !tiesEmbeddings { head.append((TensorName.head, [vocabularySize, hiddenSize])) }

        var modules: [(name: String, tensors: Tensors)] = [("embedding", embedding)]
        for layer in 0..<layers {
            modules.append(("layers.\(layer)", attentionTensors(layer) + expertTensors(layer)))
        }
        modules.append(("head", head))
        return ParameterLayout(modules: modules)
    }

    private func attentionTensors(_ layer: Int) -> [(name: String, shape: [Int])] {
        let name = LayerTensorNames(layer: layer)
        let queries = heads * headWidth
        let keys = keyValueHeads * headWidth
        var tensors = [
            (name.attentionNorm, [hiddenSize]),
            (name.query, [queries, hiddenSize]),
            (name.key, [keys, hiddenSize]),
            (name.value, [keys, hiddenSize]),
        ]
        if normalizesQueriesAndKeys {
            tensors += [(name.queryNorm, [headWidth]), (name.keyNorm, [headWidth])]
        }
        return tensors + [(name.output, [hiddenSize, queries])]
    }

    private func expertTensors(_ layer: Int) -> [(name: String, shape: [Int])] {
        let name = LayerTensorNames(layer: layer)
        var tensors = [
            (name.expertsNorm, [hiddenSize]),
            (name.router, [experts, hiddenSize]),
        ]
        for expert in 0..<experts {
            tensors += mlpTensors(name.expert(expert), expertHiddenSize)
        }
        if sharedExpertHiddenSize > 0 {
            tensors += mlpTensors(name.sharedExpert, sharedExpertHiddenSize)
            tensors.append((name.sharedExpertGate, [1, hiddenSize]))
        }
        return tensors
    }

    private func mlpTensors(
        _ name: MLPTensorNames, _ hidden: Int
    ) -> [(name: String, shape: [Int])] {
        [
            (name.gate, [hidden, hiddenSize]),
            (name.up, [hidden, hiddenSize]),
            (name.down, [hiddenSize, hidden]),
        ]
    }
}

/// Published names of the tensors outside the layers.
enum TensorName {
    static let embedding = "model.embed_tokens.weight"
    static let finalNorm = "model.norm.weight"
    static let head = "lm_head.weight"
}

/// Published names of one layer's tensors.
struct LayerTensorNames {
    let layer: Int

    private func name(_ rest: String) -> String { "model.layers.\(layer).\(rest)" }

    var attentionNorm: String { name("input_layernorm.weight") }
    var query: String { name("self_attn.q_proj.weight") }
    var key: String { name("self_attn.k_proj.weight") }
    var value: String { name("self_attn.v_proj.weight") }
    var queryNorm: String { name("self_attn.q_norm.weight") }
    var keyNorm: String { name("self_attn.k_norm.weight") }
    var output: String { name("self_attn.o_proj.weight") }
    var expertsNorm: String { name("post_attention_layernorm.weight") }
    var router: String { name("mlp.gate.weight") }
    var sharedExpertGate: String { name("mlp.shared_expert_gate.weight") }
    var sharedExpert: MLPTensorNames { MLPTensorNames(prefix: name("mlp.shared_expert")) }
    func expert(_ index: Int) -> MLPTensorNames {
        MLPTensorNames(prefix: name("mlp.experts.\(index)"))
    }
}

/// Published names of an MLP's three tensors.
struct MLPTensorNames {
    let prefix: String

    var gate: String { "\(prefix).gate_proj.weight" }
    var up: String { "\(prefix).up_proj.weight" }
    var down: String { "\(prefix).down_proj.weight" }
}
