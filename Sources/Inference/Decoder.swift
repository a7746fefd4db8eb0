package import MoE
package import Tensors

/// Runs a model forward a few tokens at a time over B sequences side by side, remembering keys and
/// values.
///
/// Its logits are those of `Transformer` on the whole sequences.
///
/// Shapes as in `MoE`: T is here the number of new tokens of a call, M = B * T. One decoder serves
/// one caller at a time.
package final class Decoder<Element: KernelElement> {
    package let configuration: ModelConfiguration
    package let batch: Int
    /// Bytes of the cache and of all activations.
    package let activationBytes: Int
    /// Whether and from where on masks close slots; may change from one call to the next.
    ///
    /// A model that has masks was trained to be run with them, so at first they are skipped.
    package var masking: Masking {
        didSet { precondition(masking.use == .off || configuration.masksExperts, "no masks") }
    }
    /// What the experts had to do so far, or since ``forgetActivity()``.
    package private(set) var activity = ExpertActivity()

    private let operations: Operations<Element>
    private let weights: ModelWeights<Element>
    private let attention: Attention<Element>
    private let feedForward: FeedForward<Element>
    /// Most new tokens a sequence in one pass; longer input is cut.
    private let chunk: Int
    private var cache: KVCache<Element>

    private let inputs_M: Buffer<Int32>
    private let lengths_B: Buffer<Int32>
    private let x_MD: Buffer<Element>
    private let y_MD: Buffer<Element>
    private let normed_MD: Buffer<Element>
    private let rstd_M: Buffer<Element.Sum>
    /// One set for all layers: inference has no backward pass.
    private let attentionActivations: AttentionActivations<Element>
    /// Of each layer, all in the same place for those of a kind.
    private let feedForwardActivations: [FeedForwardActivations<Element>]
    private let last_BD: Buffer<Element>
    private let logits_BV: Buffer<Element.Sum>

    /// Plans for `batch` sequences of at most `capacity` tokens each, taken in at most `chunk` at a
    /// time.
    ///
    /// `parameters` are those of a valid `configuration` and must not change meanwhile.
    package init(
        configuration: ModelConfiguration, parameters: Buffer<Element>, batch: Int = 1,
        capacity: Int, chunk: Int = 128, operations: Operations<Element> = Element.operations
    ) {
        precondition(batch > 0 && capacity > 0 && chunk > 0, "nothing to plan for")
        self.configuration = configuration
        self.batch = batch
        masking = configuration.masksExperts ? Masking(.skipping) : .off
        self.operations = operations
        self.chunk = min(chunk, capacity)
        let M = batch * self.chunk
        let D = configuration.hiddenSize

        var plan = ActivationPlan()
        weights = ModelPlaces(configuration).weights(in: parameters)
        let rotary = RotaryTable<Element.Sum>(configuration, positions: capacity, plan: &plan)
        attention = Attention(configuration, rotary: rotary, operations: operations)
        feedForward = FeedForward(configuration, operations: operations)
        inputs_M = plan.buffer(M)
        lengths_B = plan.buffer(batch)
        x_MD = plan.buffer(M * D)
        y_MD = plan.buffer(M * D)
        normed_MD = plan.buffer(M * D)
        rstd_M = plan.buffer(M)
        attentionActivations = AttentionActivations(configuration, rows: M, plan: &plan)
        let experts = FeedForwardActivations<Element>(
            expertsOf: configuration, rows: M,
            totals: RoutingTotals(configuration, layers: 1, plan: &plan),
            rows_RD: plan.buffer(M * configuration.expertsPerToken * D), plan: &plan)
        let dense = FeedForwardActivations<Element>(
            denseOf: configuration, rows: M, plan: &plan)
        feedForwardActivations = (0..<configuration.layers).map {
            configuration.denseLayers.contains($0) ? dense : experts
        }
        last_BD = plan.buffer(batch * D)
        logits_BV = plan.buffer(batch * configuration.vocabularySize)
        cache = KVCache(configuration, batch: batch, capacity: capacity)
        activationBytes = plan.bytes + cache.bytes
    }

    /// Tokens each sequence can hold, and tokens it holds.
    package var capacity: Int { cache.capacity }
    package var length: Int { cache.lengths[0] }

    /// Forgets all tokens.
    package func reset() { cache.reset() }

    /// Begins to count ``activity`` anew.
    package func forgetActivity() { activity = ExpertActivity() }

    /// Takes `tokens` [B,T], T >= 1, behind those it has, and returns the logits [B,V] of the last
    /// one of each sequence.
    ///
    /// The result is overwritten by the next call.
    package func decode(_ tokens: [Int32]) -> Buffer<Element.Sum> {
        let T = tokens.count / batch
        precondition(T > 0 && tokens.count == batch * T, "\(tokens.count) tokens for \(batch)")
        precondition(length + T <= capacity, "\(length) + \(T) tokens in a cache of \(capacity)")
        var first = 0
        while first < T {
            let count = min(chunk, T - first)
            for sequence in 0..<batch {
                for token in 0..<count {
                    inputs_M[sequence * count + token] = tokens[sequence * T + first + token]
                }
            }
            forward(tokens: count)
            first += count
        }
        head(tokens: T - (T - 1) / chunk * chunk)
        return logits_BV
    }

    /// inputs_M [B,T] through all layers, to x_MD.
    private func forward(tokens T: Int) {
        let M = batch * T
        let pass = MaskingPass(masking)
        operations.embedding(
            rows: M, vocabulary: configuration.vocabularySize, width: configuration.hiddenSize,
            tokens: inputs_M, w: weights.embedding_VD, y: x_MD)
        for layer in weights.layers.indices {
            let layerWeights = weights.layers[layer]
            norm(rows: M, w: layerWeights.attentionNorm_D)
            attend(layer: layer, tokens: T, layerWeights.attention)
            operations.add(count: M * configuration.hiddenSize, a: x_MD, b: y_MD, y: x_MD)
            norm(rows: M, w: layerWeights.expertsNorm_D)
            feedForward.forward(
                rows: M, x_MD: normed_MD, weights: layerWeights.feedForward,
                activations: feedForwardActivations[layer], masking: pass, y_MD: y_MD)
            activity += feedForwardActivations[layer].activity(tokens: M, pass)
            operations.add(count: M * configuration.hiddenSize, a: x_MD, b: y_MD, y: x_MD)
        }
        cache.advance(by: T)
    }

    /// x_MD to normed_MD.
    private func norm(rows M: Int, w: Buffer<Element>) {
        operations.rmsNorm(
            rows: M, width: configuration.hiddenSize, epsilon: configuration.normEpsilon,
            x: x_MD, w: w, y: normed_MD, rstd: rstd_M)
    }

    /// normed_MD to y_MD, over everything in the cache.
    private func attend(layer: Int, tokens T: Int, _ weights: AttentionWeights<Element>) {
        let kept = attentionActivations
        let shape = configuration.attentionShape(batch: batch, tokens: T)
        attention.project(rows: batch * T, x_MD: normed_MD, weights, kept)
        let queries = shape.queryCount / batch
        let keys = shape.keyCount / batch
        for (sequence, length) in cache.lengths.enumerated() {
            attention.rotate(
                batch: 1, positions: length..<length + T,
                q_MHC: kept.q_MHC[sequence * queries..<(sequence + 1) * queries],
                k_MGC: kept.k_MGC[sequence * keys..<(sequence + 1) * keys])
            lengths_B[sequence] = Int32(length + T)
        }
        cache.append(layer: layer, tokens: T, k_MGC: kept.k_MGC, v_MGW: kept.v_MGW)
        let (cachedKeys, cachedValues) = cache.contents(layer: layer)
        operations.attentionCached(
            shape, capacity: capacity, lengths: lengths_B, q: kept.q_MHC, k: cachedKeys,
            v: cachedValues, out: kept.out_MHW)
        attention.output(rows: batch * T, weights, kept, y_MD: y_MD)
    }

    /// The last of each sequence's T rows of x_MD to logits_BV.
    private func head(tokens T: Int) {
        let D = configuration.hiddenSize
        norm(rows: batch * T, w: weights.finalNorm_D)
        for sequence in 0..<batch {
            let row = sequence * T + T - 1
            last_BD[sequence * D..<(sequence + 1) * D].copy(
                from: normed_MD[row * D..<(row + 1) * D])
        }
        operations.linearWide(
            rows: batch, inputs: D, outputs: configuration.vocabularySize, x: last_BD,
            w: weights.head_VD, y: logits_BV)
    }
}
