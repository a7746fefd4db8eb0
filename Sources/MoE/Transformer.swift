package import Tensors

/// The model: embedding, decoder layers, final norm, head; forward, and backward from the loss.
///
/// A transformer owns the memory it computes in, planned once for B sequences of T tokens, so a
/// step allocates nothing. It keeps every activation that backward needs: per layer and row about
/// `4 D + 3 H C + 3 G C + K (2 D + 3 F)` elements, see ``activationBytes``. It does not own
/// parameters: they are arguments. One transformer serves one caller at a time.
package final class Transformer<Element: KernelElement> {
    package let configuration: ModelConfiguration
    /// Bytes of all activations and scratch space.
    package let activationBytes: Int

    private let operations: Operations<Element>
    private let places: ModelPlaces
    private let block: Block<Element>
    private let shape: AttentionShape
    /// M = B * T.
    private let rows: Int

    private let inputs_M: Buffer<Int32>
    /// Negative targets are ignored.
    private let targets_M: Buffer<Int32>
    /// The residual stream before each layer and, last, after all of them.
    private let streams: [Buffer<Element>]
    private let layers: [BlockActivations<Element>]
    private let normed_MD: Buffer<Element>
    private let rstd_M: Buffer<Element>
    /// Turned into their own gradient by backward.
    private let logits_MV: Buffer<Element>
    /// Of the layers that have experts.
    private let counts_LE: Buffer<Int32>
    private let probabilitySums_LE: Buffer<Double>
    private let dprobability_E: Buffer<Double>
    private let dnormed_MD: Buffer<Element>
    private let dx_MD: Buffer<Element>
    private let scratch: BlockScratch<Element>

    /// Plans activations for `batch` sequences of `sequence` tokens of a valid configuration.
    package init(
        configuration: ModelConfiguration, batch: Int, sequence: Int,
        operations: Operations<Element> = Element.operations
    ) {
        precondition(batch > 0 && sequence > 0, "a batch of \(batch) x \(sequence) tokens is empty")
        let M = batch * sequence
        let D = configuration.hiddenSize
        let L = configuration.layers
        let E = configuration.experts
        let expertLayers = configuration.expertLayers
        precondition(
            M * configuration.expertsPerToken <= Int(Int32.max), "\(M) rows are too many to index")
        self.configuration = configuration
        self.operations = operations
        places = ModelPlaces(configuration)
        shape = configuration.attentionShape(batch: batch, tokens: sequence)
        rows = M

        var plan = ActivationPlan()
        let rotary = RotaryTable<Element>(configuration, positions: sequence, plan: &plan)
        block = Block(configuration, rotary: rotary, operations: operations)
        inputs_M = plan.buffer(M)
        targets_M = plan.buffer(M)
        streams = (0...L).map { _ in plan.buffer(M * D) }
        let counts: Buffer<Int32> = plan.buffer(expertLayers.count * E)
        let sums: Buffer<Double> = plan.buffer(expertLayers.count * E)
        layers = (0..<L).map { layer in
            let feedForward: FeedForwardActivations<Element>
            if let index = expertLayers.firstIndex(of: layer) {
                let part = index * E..<(index + 1) * E
                feedForward = FeedForwardActivations(
                    expertsOf: configuration, rows: M, counts_E: counts[part],
                    probabilitySums_E: sums[part], plan: &plan)
            } else {
                feedForward = FeedForwardActivations(
                    denseOf: configuration, rows: M, plan: &plan)
            }
            return BlockActivations(
                configuration, rows: M, feedForward: feedForward, plan: &plan)
        }
        counts_LE = counts
        probabilitySums_LE = sums
        dprobability_E = plan.buffer(E)
        normed_MD = plan.buffer(M * D)
        rstd_M = plan.buffer(M)
        logits_MV = plan.buffer(M * configuration.vocabularySize)
        dnormed_MD = plan.buffer(M * D)
        dx_MD = plan.buffer(M * D)
        scratch = BlockScratch(configuration, rows: M, plan: &plan)
        activationBytes = plan.bytes
    }

    /// Overwrites `gradients` with the derivatives of mean cross-entropy plus
    /// `loadBalancingCoefficient` times the load-balancing loss, by `parameters`.
    ///
    /// tokens [B,T+1]: of each row the first T are inputs and the last T are targets. A negative
    /// token only fills up a row: as a target it is ignored, as an input it counts as token 0.
    package func gradients(
        of parameters: Buffer<Element>, tokens: [Int32], into gradients: Buffer<Element>
    ) -> LossReport {
        split(tokens)
        let weights = places.weights(in: parameters)
        let dweights = places.weights(in: gradients)
        gradients.fill(0)
        forward(weights)
        let targets = countTargets(rows: rows, targets: targets_M)
        let loss = operations.crossEntropyBackward(
            rows: rows, vocabulary: configuration.vocabularySize, targets: targets_M,
            factor: targets == 0 ? 0 : 1 / Double(targets), logits: logits_MV)
        let report = report(loss)
        backward(weights, dweights)
        return report
    }

    /// The loss alone; tokens [B,T+1] as in ``gradients(of:tokens:into:)``.
    package func loss(of parameters: Buffer<Element>, tokens: [Int32]) -> LossReport {
        split(tokens)
        forward(places.weights(in: parameters))
        return report(
            operations.crossEntropy(
                rows: rows, vocabulary: configuration.vocabularySize, targets: targets_M,
                logits: logits_MV))
    }

    /// Logits [B,T,V] of tokens [B,T], in memory of their own.
    package func logits(of parameters: Buffer<Element>, tokens: [Int32]) -> Buffer<Element> {
        precondition(tokens.count == rows, "\(tokens.count) tokens in a plan for \(rows)")
        for (row, token) in tokens.enumerated() { inputs_M[row] = token }
        forward(places.weights(in: parameters))
        return logits_MV.duplicate()
    }

    /// What the model computes on its way from tokens [B,T] to logits, in memory of its own.
    package func trace(
        of parameters: Buffer<Element>, tokens: [Int32]
    ) -> ModelTrace<Element> {
        let logits_MV = logits(of: parameters, tokens: tokens)
        return ModelTrace(
            hidden: streams.dropLast().map { $0.duplicate() } + [normed_MD.duplicate()],
            routerLogits: layers.compactMap { $0.feedForward.routing?.logits_ME.duplicate() },
            logits_MV: logits_MV)
    }

    // MARK: Forward and backward

    /// inputs_M to logits_MV.
    private func forward(_ weights: ModelWeights<Element>) {
        let D = configuration.hiddenSize
        let V = configuration.vocabularySize
        operations.embedding(
            rows: rows, vocabulary: V, width: D, tokens: inputs_M, w: weights.embedding_VD,
            y: streams[0])
        for layer in layers.indices {
            block.forward(
                shape, x_MD: streams[layer], weights: weights.layers[layer],
                activations: layers[layer], y_MD: streams[layer + 1])
        }
        operations.rmsNorm(
            rows: rows, width: D, epsilon: configuration.normEpsilon, x: streams[layers.count],
            w: weights.finalNorm_D, y: normed_MD, rstd: rstd_M)
        operations.linear(
            rows: rows, inputs: D, outputs: V, x: normed_MD, w: weights.head_VD, y: logits_MV)
    }

    /// The gradients in logits_MV and dprobability_E to dweights.
    private func backward(_ weights: ModelWeights<Element>, _ dweights: ModelWeights<Element>) {
        let D = configuration.hiddenSize
        let V = configuration.vocabularySize
        operations.linearBackward(
            rows: rows, inputs: D, outputs: V, x: normed_MD, w: weights.head_VD, dy: logits_MV,
            dx: dnormed_MD, dw: dweights.head_VD)
        operations.rmsNormBackward(
            rows: rows, width: D, x: streams[layers.count], w: weights.finalNorm_D,
            rstd: rstd_M, dy: dnormed_MD, dx: dx_MD, dw: dweights.finalNorm_D)
        for layer in layers.indices.reversed() {
            block.backward(
                shape, x_MD: streams[layer], weights: weights.layers[layer],
                activations: layers[layer], dprobability_E: dprobability_E, dx_MD: dx_MD,
                dweights: dweights.layers[layer], scratch: scratch)
        }
        forgetPadding()
        operations.embeddingBackward(
            rows: rows, vocabulary: V, width: D, tokens: inputs_M, dy: dx_MD,
            dw: dweights.embedding_VD)
    }

    /// Clears dx_MD where the input is the padding token, whose embedding learns nothing from being
    /// an input: `transformers` does so.
    private func forgetPadding() {
        guard let padding = configuration.paddingToken else { return }
        let D = configuration.hiddenSize
        for row in 0..<rows where Int(inputs_M[row]) == padding {
            dx_MD[row * D..<(row + 1) * D].fill(0)
        }
    }

    /// tokens [B,T+1] to inputs_M and targets_M.
    private func split(_ tokens: [Int32]) {
        let T = shape.tokens
        precondition(
            tokens.count == shape.batch * (T + 1),
            "\(tokens.count) tokens in a plan for \(shape.batch) x \(T + 1)")
        for sequence in 0..<shape.batch {
            for position in 0..<T {
                let token = sequence * (T + 1) + position
                inputs_M[sequence * T + position] = max(tokens[token], 0)
                targets_M[sequence * T + position] = tokens[token + 1]
            }
        }
    }

    /// The report of the last forward pass; fills dprobability_E on the way.
    private func report(_ crossEntropy: CrossEntropy) -> LossReport {
        let E = configuration.experts
        let loadBalancing = loadBalancingLoss(
            layers: counts_LE.count / E, rows: rows, experts: E, counts: counts_LE,
            probabilitySums: probabilitySums_LE,
            factor: configuration.loadBalancingCoefficient, dprobability: dprobability_E)
        return LossReport(
            crossEntropySum: crossEntropy.sum, tokens: crossEntropy.count,
            loadBalancing: loadBalancing,
            expertTokens: layers.map { layer in
                layer.feedForward.routing?.counts_E.array.map { Int($0) } ?? []
            })
    }
}

extension ModelConfiguration {
    /// The sizes of attention over B sequences of T tokens.
    package func attentionShape(batch: Int, tokens: Int) -> AttentionShape {
        let scale = 1 / Double(headWidth).squareRoot()
        return AttentionShape(
            batch: batch, tokens: tokens, heads: heads, keyValueHeads: keyValueHeads,
            headWidth: headWidth, valueWidth: valueWidth,
            scale: latentAttention == nil ? scale : scale * ropeScaling.latentScoreFactor)
    }
}
