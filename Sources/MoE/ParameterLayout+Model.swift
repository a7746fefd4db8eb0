package import Tensors

extension ModelConfiguration {
    private typealias TensorShapes = [(name: String, shape: [Int])]

    /// All tensors under their published names, each expert's three one behind the other, in the
    /// modules `embedding`, `layers.0` ...
    ///
    /// and `head` (final norm, and the head unless it is tied).
    package var layout: ParameterLayout {
        let embedding: TensorShapes = [(TensorName.embedding, [vocabularySize, hiddenSize])]
        var head: TensorShapes = [(TensorName.finalNorm, [hiddenSize])]
        if !tiesEmbeddings { head.append((TensorName.head, [vocabularySize, hiddenSize])) }

        var modules: [(name: String, tensors: [(name: String, shape: [Int])])] = [
            ("embedding", embedding)
        ]
        for layer in 0..<layers {
            let name = LayerTensorNames(layer: layer, family: family)
            let attention = latentAttention.map { latentTensors(name, $0) } ?? headTensors(name)
            let rest =
                denseLayers.contains(layer)
                ? mlpTensors(name.dense, denseHiddenSize) : expertTensors(name)
            modules.append(
                (
                    "layers.\(layer)",
                    [(name.attentionNorm, [hiddenSize])] + attention
                        + [(name.expertsNorm, [hiddenSize])] + rest
                ))
        }
        modules.append(("head", head))
        return ParameterLayout(modules: modules)
    }

    private func headTensors(_ name: LayerTensorNames) -> TensorShapes {
        let queries = heads * headWidth
        let keys = keyValueHeads * headWidth
        let hasBias = biasesQueriesKeysAndValues
        var tensors =
            linearTensors(name.query, queries, hiddenSize, hasBias: hasBias)
            + linearTensors(name.key, keys, hiddenSize, hasBias: hasBias)
            + linearTensors(name.value, keys, hiddenSize, hasBias: hasBias)
        if normalizesQueriesAndKeys {
            tensors += [
                (name.queryNorm, [normalizesAcrossHeads ? queries : headWidth]),
                (name.keyNorm, [normalizesAcrossHeads ? keys : headWidth]),
            ]
        }
        return tensors + linearTensors(name.output, hiddenSize, queries, hasBias: biasesOutput)
    }

    private func latentTensors(
        _ name: LayerTensorNames, _ latent: LatentAttention
    ) -> TensorShapes {
        let hasBias = biasesQueriesKeysAndValues
        let queries = heads * headWidth
        var tensors: TensorShapes
        if let rank = latent.queryRank {
            tensors = linearTensors(name.queryDown, rank, hiddenSize, hasBias: hasBias)
            tensors.append((name.queryLatentNorm, [rank]))
            tensors.append((name.queryUp.weight, [queries, rank]))
        } else {
            tensors = [(name.query.weight, [queries, hiddenSize])]
        }
        let rank = latent.keyValueRank
        tensors += linearTensors(
            name.keyValueDown, rank + latent.rotatedWidth, hiddenSize, hasBias: hasBias)
        tensors.append((name.keyValueLatentNorm, [rank]))
        let expanded = heads * (latent.plainWidth + latent.valueWidth)
        tensors.append((name.keyValueUp.weight, [expanded, rank]))
        return tensors
            + linearTensors(
                name.output, hiddenSize, heads * latent.valueWidth, hasBias: biasesOutput)
    }

    private func expertTensors(_ name: LayerTensorNames) -> TensorShapes {
        var tensors: TensorShapes = [(name.router, [experts, hiddenSize])]
        // Behind the router, so that one product makes the logits of both.
        if masksExperts { tensors.append((name.maskRouter, [experts, hiddenSize])) }
        for expert in 0..<experts {
            tensors += mlpTensors(name.expert(expert), expertHiddenSize)
        }
        if sharedExpertHiddenSize > 0 {
            tensors += mlpTensors(name.sharedExpert, sharedExpertHiddenSize)
            if gatesSharedExpert { tensors.append((name.sharedExpertGate, [1, hiddenSize])) }
        }
        return tensors
    }

    private func linearTensors(
        _ name: LinearTensorNames, _ outputs: Int, _ inputs: Int, hasBias: Bool
    ) -> TensorShapes {
        let weight: TensorShapes = [(name.weight, [outputs, inputs])]
        return hasBias ? weight + [(name.bias, [outputs])] : weight
    }

    private func mlpTensors(_ name: MLPTensorNames, _ hidden: Int) -> TensorShapes {
        [
            (name.gate, [hidden, hiddenSize]),
            (name.up, [hidden, hiddenSize]),
            (name.down, [hiddenSize, hidden]),
        ]
    }
}
