package import Tensors

/// The model: embedding, decoder layers, final norm, head; forward, and backward from the loss.
///
/// A transformer owns the memory it computes in, planned once for B sequences of T tokens, so a
/// step allocates nothing. It keeps every activation that backward needs: per layer and row about
/// `4 D + 3 H C + 3 G C + 3 K F` elements, see ``activationBytes``. It does not own parameters:
/// they are arguments. One transformer serves one caller at a time.
package final class Transformer<Element: KernelElement> {
    package let configuration: ModelConfiguration
    /// Bytes of all activations and scratch space.
    package let activationBytes: Int

    private let recomputes: Bool
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
    private let rstd_M: Buffer<Element.Sum>
    /// Of the layers that have experts.
    private let totals: RoutingTotals
    private let dprobability_E: Buffer<Double>
    private let dnormed_MD: Buffer<Element>
    private let dx_MD: Buffer<Element>
    private let scratch: BlockScratch<Element>

    /// Plans activations for `batch` sequences of `sequence` tokens of a valid configuration.
    ///
    /// One that `recomputes` keeps only each layer's input, and computes a layer's other
    /// activations again, to the same bits, before its backward pass: a third more arithmetic for a
    /// fraction of the memory (Chen et al. 2016).
    package init(
        configuration: ModelConfiguration, batch: Int, sequence: Int, recomputes: Bool = false,
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
        self.recomputes = recomputes
        self.operations = operations
        places = ModelPlaces(configuration)
        shape = configuration.attentionShape(batch: batch, tokens: sequence)
        rows = M

        var plan = ActivationPlan()
        let rotary = RotaryTable<Element.Sum>(configuration, positions: sequence, plan: &plan)
        block = Block(configuration, rotary: rotary, operations: operations)
        inputs_M = plan.buffer(M)
        targets_M = plan.buffer(M)
        streams = (0...L).map { _ in plan.buffer(M * D) }
        totals = RoutingTotals(configuration, layers: expertLayers.count, plan: &plan)
        let rows_RD: Buffer<Element> = plan.buffer(
            expertLayers.isEmpty ? 0 : M * configuration.expertsPerToken * D)
        var layers: [BlockActivations<Element>] = []
        let totals = totals
        for layer in 0..<L {
            let index = expertLayers.firstIndex(of: layer)
            let make = { (plan: inout ActivationPlan) in
                let feedForward: FeedForwardActivations<Element>
                if let index {
                    feedForward = FeedForwardActivations(
                        expertsOf: configuration, rows: M, totals: totals.layer(index),
                        rows_RD: rows_RD, plan: &plan)
                } else {
                    feedForward = FeedForwardActivations(
                        denseOf: configuration, rows: M, plan: &plan)
                }
                return BlockActivations(
                    configuration, rows: M, feedForward: feedForward, plan: &plan)
            }
            let room = index == nil ? "dense layers" : "layers with experts"
            layers.append(recomputes ? plan.inRoom(room, make) : make(&plan))
        }
        self.layers = layers
        dprobability_E = plan.buffer(E)
        normed_MD = plan.buffer(M * D)
        rstd_M = plan.buffer(M)
        dnormed_MD = plan.buffer(M * D)
        dx_MD = plan.buffer(M * D)
        scratch = BlockScratch(configuration, rows: M, plan: &plan)
        activationBytes = plan.bytes
    }

    /// Overwrites `gradients` with the derivatives of mean cross-entropy plus
    /// `loadBalancingCoefficient` times the load-balancing loss, and with `masking` its coefficient
    /// times the masks' regulariser, by `parameters`.
    ///
    /// tokens [B,T+1]: of each row the first T are inputs and the last T are targets. A negative
    /// token only fills up a row: as a target it is ignored, as an input it counts as token 0.
    /// `afterForward` is called when the loss and, with it, the head's gradients are known, for
    /// whoever times both passes.
    package func gradients(
        of parameters: Buffer<Element>, tokens: [Int32], masking: Masking = .off,
        into gradients: Buffer<Element.Sum>, afterForward: () -> Void = {}
    ) -> LossReport {
        precondition(!masking.use.skips, "closed slots have no gradients unless computed")
        split(tokens)
        let weights = places.weights(in: parameters)
        let dweights = places.weights(in: gradients)
        places.clearSums(in: gradients)
        let targets = countTargets(rows: rows, targets: targets_M)
        let pass = pass(masking, targets: targets)
        forward(weights, pass)
        let loss = operations.headLossBackward(
            rows: rows, width: configuration.hiddenSize,
            vocabulary: configuration.vocabularySize, x: normed_MD, w: weights.head_VD,
            targets: targets_M, factor: targets == 0 ? 0 : 1 / Double(targets), dx: dnormed_MD,
            dw: dweights.head_VD)
        let report = report(loss, masking)
        afterForward()
        backward(weights, dweights, pass)
        return report
    }

    /// The loss alone; tokens [B,T+1] as in ``gradients(of:tokens:into:)``.
    package func loss(
        of parameters: Buffer<Element>, tokens: [Int32], masking: Masking = .off
    ) -> LossReport {
        split(tokens)
        let weights = places.weights(in: parameters)
        forward(weights, pass(masking, targets: 0))
        return report(
            operations.headLoss(
                rows: rows, width: configuration.hiddenSize,
                vocabulary: configuration.vocabularySize, x: normed_MD, w: weights.head_VD,
                targets: targets_M), masking)
    }

    /// Logits [B,T,V] of tokens [B,T], in memory of their own.
    package func logits(
        of parameters: Buffer<Element>, tokens: [Int32], masking: Masking = .off
    ) -> Buffer<Element.Sum> {
        precondition(tokens.count == rows, "\(tokens.count) tokens in a plan for \(rows)")
        for (row, token) in tokens.enumerated() { inputs_M[row] = token }
        let weights = places.weights(in: parameters)
        requireMasks(masking)
        forward(weights, MaskingPass(masking))
        let V = configuration.vocabularySize
        let logits_MV = Buffer<Element.Sum>(count: rows * V)
        operations.linearWide(
            rows: rows, inputs: configuration.hiddenSize, outputs: V, x: normed_MD,
            w: weights.head_VD, y: logits_MV)
        return logits_MV
    }

    /// What the model computes on its way from tokens [B,T] to logits, in memory of its own.
    package func trace(
        of parameters: Buffer<Element>, tokens: [Int32], masking: Masking = .off
    ) -> ModelTrace<Element> {
        precondition(!recomputes, "what every layer computes is not kept")
        let logits_MV = logits(of: parameters, tokens: tokens, masking: masking)
        let E = configuration.experts
        let isMasked = masking.use != .off
        // Rows of both, side by side, where masks are looked at.
        let routers = layers.compactMap { layer in
            layer.feedForward.routing?.logits_ME.columns(
                0..<E, of: isMasked ? 2 * E : E, rows: rows)
        }
        let masks = layers.compactMap { layer in
            isMasked
                ? layer.feedForward.routing?.logits_ME.columns(E..<2 * E, of: 2 * E, rows: rows)
                : nil
        }
        return ModelTrace(
            hidden: streams.dropLast().map { $0.duplicate() } + [normed_MD.duplicate()],
            routerLogits: routers, maskLogits: masks, logits_MV: logits_MV)
    }

    // MARK: Forward and backward

    /// inputs_M to normed_MD.
    private func forward(_ weights: ModelWeights<Element>, _ masking: MaskingPass) {
        let D = configuration.hiddenSize
        let V = configuration.vocabularySize
        operations.embedding(
            rows: rows, vocabulary: V, width: D, tokens: inputs_M, w: weights.embedding_VD,
            y: streams[0])
        for layer in layers.indices {
            block.forward(
                shape, x_MD: streams[layer], weights: weights.layers[layer],
                activations: layers[layer], masking: masking, y_MD: streams[layer + 1])
        }
        operations.rmsNorm(
            rows: rows, width: D, epsilon: configuration.normEpsilon, x: streams[layers.count],
            w: weights.finalNorm_D, y: normed_MD, rstd: rstd_M)
    }

    /// The gradients in dnormed_MD and dprobability_E to dweights.
    private func backward(
        _ weights: ModelWeights<Element>, _ dweights: ModelWeights<Element.Sum>,
        _ masking: MaskingPass
    ) {
        let D = configuration.hiddenSize
        let V = configuration.vocabularySize
        operations.rmsNormBackward(
            rows: rows, width: D, x: streams[layers.count], w: weights.finalNorm_D,
            rstd: rstd_M, dy: dnormed_MD, dx: dx_MD, dw: dweights.finalNorm_D)
        for layer in layers.indices.reversed() {
            // What the last layer kept is still there.
            if recomputes && layer != layers.count - 1 {
                block.forward(
                    shape, x_MD: streams[layer], weights: weights.layers[layer],
                    activations: layers[layer], masking: masking, y_MD: streams[layer + 1])
            }
            block.backward(
                shape, x_MD: streams[layer], weights: weights.layers[layer],
                activations: layers[layer], masking: masking, dprobability_E: dprobability_E,
                dx_MD: dx_MD, dweights: dweights.layers[layer], scratch: scratch)
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
            dx_MD[row * D..<(row + 1) * D].clear()
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

    private func requireMasks(_ masking: Masking) {
        precondition(masking.use == .off || configuration.masksExperts, "the model has no masks")
    }

    /// The pass over inputs_M and targets_M, of which `targets` count.
    private func pass(_ masking: Masking, targets: Int) -> MaskingPass {
        requireMasks(masking)
        let slots = targets * configuration.expertsPerToken * configuration.expertLayers.count
        return MaskingPass(
            masking, targets_M: targets_M,
            dsoft: slots == 0 ? 0 : masking.coefficient / Double(slots))
    }

    /// The report of the last forward pass; fills dprobability_E on the way.
    private func report(_ crossEntropy: CrossEntropy, _ masking: Masking) -> LossReport {
        let E = configuration.experts
        let loadBalancing = loadBalancingLoss(
            layers: totals.masks.count, rows: rows, experts: E, counts: totals.counts,
            probabilitySums: totals.probabilitySums,
            factor: configuration.loadBalancingCoefficient, dprobability: dprobability_E)
        return LossReport(
            crossEntropySum: crossEntropy.sum, tokens: crossEntropy.count,
            loadBalancing: loadBalancing, expertsPerToken: configuration.expertsPerToken,
            expertTokens: layers.map { layer in
                layer.feedForward.routing?.counts_E.array.map { Int($0) } ?? []
            },
            masks: masking.use == .off ? [] : totals.masks.array)
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
