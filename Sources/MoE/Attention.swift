package import Tensors

/// Causal grouped-query attention: queries, keys and values from the normed residual stream,
/// straight or by way of latents, rotation, softmax over the past, output projection.
package struct Attention<Element: KernelElement> {
    private let operations: Operations<Element>
    private let rotary: RotaryTable<Element.Sum>
    private let heads: HeadProjection<Element>
    private let latent: LatentProjection<Element>?
    private let D: Int
    private let H: Int
    private let G: Int
    private let C: Int
    private let W: Int
    /// R, the channels at the end of each head that are rotated.
    private let R: Int

    package init(
        _ configuration: ModelConfiguration, rotary: RotaryTable<Element.Sum>,
        operations: Operations<Element>
    ) {
        self.operations = operations
        self.rotary = rotary
        heads = HeadProjection(configuration, operations: operations)
        latent = configuration.latentAttention.map {
            LatentProjection(configuration, $0, operations: operations)
        }
        D = configuration.hiddenSize
        H = configuration.heads
        G = configuration.keyValueHeads
        C = configuration.headWidth
        W = configuration.valueWidth
        R = configuration.rotatedWidth
    }

    /// y_MD from x_MD, the normed rows of `shape.batch` sequences that begin at position 0.
    func forward(
        _ shape: AttentionShape, x_MD: Buffer<Element>, weights: AttentionWeights<Element>,
        activations: AttentionActivations<Element>, y_MD: Buffer<Element>
    ) {
        project(rows: shape.batch * shape.tokens, x_MD: x_MD, weights, activations)
        rotate(
            batch: shape.batch, positions: 0..<shape.tokens, q_MHC: activations.q_MHC,
            k_MGC: activations.k_MGC)
        operations.attention(
            shape, q: activations.q_MHC, k: activations.k_MGC, v: activations.v_MGW,
            out: activations.out_MHW, logSumExp: activations.logSumExp_BHT)
        output(rows: shape.batch * shape.tokens, weights, activations, y_MD: y_MD)
    }

    /// dx_MD from dy_MD, which may be the same place; adds to dweights.
    ///
    /// Spoils the activations of latent attention, no others.
    func backward(
        _ shape: AttentionShape, x_MD: Buffer<Element>, weights: AttentionWeights<Element>,
        activations: AttentionActivations<Element>, dy_MD: Buffer<Element>,
        dx_MD: Buffer<Element>, dweights: AttentionWeights<Element.Sum>,
        scratch: AttentionScratch<Element>
    ) {
        let M = shape.batch * shape.tokens
        operations.linearBackward(
            rows: M, inputs: H * W, outputs: D, x: activations.out_MHW,
            w: weights.output_DHW.weight, dy: dy_MD, dx: scratch.dout_MHW,
            dw: dweights.output_DHW.weight, dbias: dweights.output_DHW.bias)
        operations.attentionBackward(
            shape, q: activations.q_MHC, k: activations.k_MGC, v: activations.v_MGW,
            out: activations.out_MHW, logSumExp: activations.logSumExp_BHT,
            dout: scratch.dout_MHW, dq: scratch.dq_MHC, dk: scratch.dk_MGC, dv: scratch.dv_MGW)
        rotateBackward(shape, dq_MHC: scratch.dq_MHC, dk_MGC: scratch.dk_MGC)
        switch (weights.projection, dweights.projection) {
        case (.heads(let weights), .heads(let dweights)):
            heads.backward(
                rows: M, x_MD: x_MD, weights, activations, scratch, dx_MD: dx_MD, dweights)
        case (.latent(let weights), .latent(let dweights)):
            latent?.backward(
                rows: M, x_MD: x_MD, weights, activations, scratch, dx_MD: dx_MD, dweights)
        default: preconditionFailure("parameters and gradients of different models")
        }
    }

    // MARK: Queries, keys, values

    /// Queries, keys and values of x_MD; queries and keys normed if the model does that, not
    /// rotated.
    package func project(
        rows M: Int, x_MD: Buffer<Element>, _ weights: AttentionWeights<Element>,
        _ activations: AttentionActivations<Element>
    ) {
        switch weights.projection {
        case .heads(let weights):
            heads.forward(rows: M, x_MD: x_MD, weights, activations)
        case .latent(let weights):
            latent?.forward(rows: M, x_MD: x_MD, weights, activations)
        }
    }

    // MARK: Rotation

    /// Rotates queries [B,T,H,C] and keys [B,T,G,C] whose T tokens are at `positions`, in place.
    package func rotate(
        batch B: Int, positions: Range<Int>, q_MHC: Buffer<Element>, k_MGC: Buffer<Element>
    ) {
        let (cosine, sine) = rotary.rows(positions)
        for (x, heads) in [(q_MHC, H), (k_MGC, G)] {
            operations.rope(
                rotaryShape(batch: B, tokens: positions.count, heads: heads), cosine: cosine,
                sine: sine, x: x[C - R..<x.count])
        }
    }

    private func rotateBackward(
        _ shape: AttentionShape, dq_MHC: Buffer<Element>, dk_MGC: Buffer<Element>
    ) {
        let (cosine, sine) = rotary.rows(0..<shape.tokens)
        for (dx, heads) in [(dq_MHC, H), (dk_MGC, G)] {
            operations.ropeBackward(
                rotaryShape(batch: shape.batch, tokens: shape.tokens, heads: heads),
                cosine: cosine, sine: sine, dx: dx[C - R..<dx.count])
        }
    }

    /// Models with latent attention turn neighbouring channels, all others the halves of a head.
    private func rotaryShape(batch: Int, tokens: Int, heads: Int) -> RotaryShape {
        RotaryShape(
            batch: batch, tokens: tokens, heads: heads, width: R, stride: C,
            isInterleaved: latent != nil)
    }

    // MARK: Output

    /// y_MD from what the heads gathered in `activations.out_MHW`.
    package func output(
        rows M: Int, _ weights: AttentionWeights<Element>,
        _ activations: AttentionActivations<Element>, y_MD: Buffer<Element>
    ) {
        operations.linear(
            rows: M, inputs: H * W, outputs: D, x: activations.out_MHW,
            w: weights.output_DHW.weight, bias: weights.output_DHW.bias, y: y_MD)
    }
}

/// What attention keeps of a forward pass.
package struct AttentionActivations<Element: KernelElement> {
    /// Before QK-norm; the same places as q and k when the model has none.
    let projectedQ_MHC: Buffer<Element>
    let projectedK_MGC: Buffer<Element>
    let rstdQ: Buffer<Element.Sum>
    let rstdK: Buffer<Element.Sum>
    let latent: LatentActivations<Element>?
    /// Normed and rotated.
    package let q_MHC: Buffer<Element>
    package let k_MGC: Buffer<Element>
    package let v_MGW: Buffer<Element>
    package let out_MHW: Buffer<Element>
    let logSumExp_BHT: Buffer<Element.Sum>

    package init(_ configuration: ModelConfiguration, rows M: Int, plan: inout ActivationPlan) {
        let shape = configuration.attentionShape(batch: 1, tokens: M)
        let hasNorms = configuration.normalizesQueriesAndKeys
        q_MHC = plan.buffer(shape.queryCount)
        k_MGC = plan.buffer(shape.keyCount)
        v_MGW = plan.buffer(shape.valueCount)
        out_MHW = plan.buffer(shape.outputCount)
        projectedQ_MHC = hasNorms ? plan.buffer(shape.queryCount) : q_MHC
        projectedK_MGC = hasNorms ? plan.buffer(shape.keyCount) : k_MGC
        rstdQ = plan.buffer(hasNorms ? M * configuration.heads : 0)
        rstdK = plan.buffer(hasNorms ? M * configuration.keyValueHeads : 0)
        latent = configuration.latentAttention.map {
            LatentActivations(configuration, $0, rows: M, plan: &plan)
        }
        logSumExp_BHT = plan.buffer(shape.logSumExpCount)
    }
}

/// Gradients that attention's backward pass needs only while it runs; shared by all layers.
struct AttentionScratch<Element: KernelElement> {
    let dout_MHW: Buffer<Element>
    let dq_MHC: Buffer<Element>
    let dk_MGC: Buffer<Element>
    let dv_MGW: Buffer<Element>
    /// Empty without latents.
    let dqueryLatent: Buffer<Element>
    let dkeyValueLatent: Buffer<Element>

    init(_ configuration: ModelConfiguration, rows M: Int, plan: inout ActivationPlan) {
        let shape = configuration.attentionShape(batch: 1, tokens: M)
        dout_MHW = plan.buffer(shape.outputCount)
        dq_MHC = plan.buffer(shape.queryCount)
        dk_MGC = plan.buffer(shape.keyCount)
        dv_MGW = plan.buffer(shape.valueCount)
        let latent = configuration.latentAttention
        dqueryLatent = plan.buffer(M * (latent?.queryRank ?? 0))
        dkeyValueLatent = plan.buffer(M * (latent?.keyValueRank ?? 0))
    }
}
