package import Tensors

/// Causal grouped-query attention with optional QK-norm: queries, keys and values from the normed
/// residual stream, rotation, softmax over the past, output projection.
package struct Attention<Element: KernelElement> {
    private let operations: Operations<Element>
    private let rotary: RotaryTable<Element>
    private let epsilon: Double
    private let D: Int
    private let H: Int
    private let G: Int
    private let C: Int

    package init(
        _ configuration: ModelConfiguration, rotary: RotaryTable<Element>,
        operations: Operations<Element>
    ) {
        self.operations = operations
        self.rotary = rotary
        epsilon = configuration.normEpsilon
        D = configuration.hiddenSize
        H = configuration.heads
        G = configuration.keyValueHeads
        C = configuration.headWidth
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
            shape, q: activations.q_MHC, k: activations.k_MGC, v: activations.v_MGC,
            out: activations.out_MHC, logSumExp: activations.logSumExp_BHT)
        output(rows: shape.batch * shape.tokens, weights, activations, y_MD: y_MD)
    }

    /// dx_MD from dy_MD, which may be the same place; adds to dweights.
    ///
    /// Spoils no activation.
    func backward(
        _ shape: AttentionShape, x_MD: Buffer<Element>, weights: AttentionWeights<Element>,
        activations: AttentionActivations<Element>, dy_MD: Buffer<Element>,
        dx_MD: Buffer<Element>, dweights: AttentionWeights<Element>,
        scratch: AttentionScratch<Element>
    ) {
        let M = shape.batch * shape.tokens
        operations.linearBackward(
            rows: M, inputs: H * C, outputs: D, x: activations.out_MHC, w: weights.output_DHC,
            dy: dy_MD, dx: scratch.dout_MHC, dw: dweights.output_DHC)
        operations.attentionBackward(
            shape, q: activations.q_MHC, k: activations.k_MGC, v: activations.v_MGC,
            out: activations.out_MHC, logSumExp: activations.logSumExp_BHT,
            dout: scratch.dout_MHC, dq: scratch.dq_MHC, dk: scratch.dk_MGC, dv: scratch.dv_MGC)
        rotateBackward(shape, dq_MHC: scratch.dq_MHC, dk_MGC: scratch.dk_MGC)
        projectBackward(
            rows: M, x_MD: x_MD, weights, activations, scratch, dx_MD: dx_MD, dweights)
    }

    // MARK: Queries, keys, values

    /// Queries, keys and values of x_MD; queries and keys normed if the model does that, not
    /// rotated.
    package func project(
        rows M: Int, x_MD: Buffer<Element>, _ weights: AttentionWeights<Element>,
        _ activations: AttentionActivations<Element>
    ) {
        operations.linear(
            rows: M, inputs: D, outputs: H * C, x: x_MD, w: weights.query_HCD,
            y: activations.projectedQ_MHC)
        operations.linear(
            rows: M, inputs: D, outputs: G * C, x: x_MD, w: weights.key_GCD,
            y: activations.projectedK_MGC)
        operations.linear(
            rows: M, inputs: D, outputs: G * C, x: x_MD, w: weights.value_GCD,
            y: activations.v_MGC)
        guard let queryNorm_C = weights.queryNorm_C, let keyNorm_C = weights.keyNorm_C else {
            return
        }
        operations.rmsNorm(
            rows: M * H, width: C, epsilon: epsilon, x: activations.projectedQ_MHC,
            w: queryNorm_C, y: activations.q_MHC, rstd: activations.rstdQ_MH)
        operations.rmsNorm(
            rows: M * G, width: C, epsilon: epsilon, x: activations.projectedK_MGC,
            w: keyNorm_C, y: activations.k_MGC, rstd: activations.rstdK_MG)
    }

    /// dx_MD and dweights from the gradients in `scratch`, which it spoils.
    private func projectBackward(
        rows M: Int, x_MD: Buffer<Element>, _ weights: AttentionWeights<Element>,
        _ activations: AttentionActivations<Element>, _ scratch: AttentionScratch<Element>,
        dx_MD: Buffer<Element>, _ dweights: AttentionWeights<Element>
    ) {
        if let queryNorm_C = weights.queryNorm_C, let keyNorm_C = weights.keyNorm_C,
            let dqueryNorm_C = dweights.queryNorm_C, let dkeyNorm_C = dweights.keyNorm_C
        {
            operations.rmsNormBackward(
                rows: M * H, width: C, x: activations.projectedQ_MHC, w: queryNorm_C,
                rstd: activations.rstdQ_MH, dy: scratch.dq_MHC, dx: scratch.dq_MHC,
                dw: dqueryNorm_C)
            operations.rmsNormBackward(
                rows: M * G, width: C, x: activations.projectedK_MGC, w: keyNorm_C,
                rstd: activations.rstdK_MG, dy: scratch.dk_MGC, dx: scratch.dk_MGC,
                dw: dkeyNorm_C)
        }
        operations.linearBackward(
            rows: M, inputs: D, outputs: H * C, x: x_MD, w: weights.query_HCD,
            dy: scratch.dq_MHC, dx: dx_MD, dw: dweights.query_HCD)
        operations.linearBackward(
            rows: M, inputs: D, outputs: G * C, x: x_MD, w: weights.key_GCD,
            dy: scratch.dk_MGC, accumulating: true, dx: dx_MD, dw: dweights.key_GCD)
        operations.linearBackward(
            rows: M, inputs: D, outputs: G * C, x: x_MD, w: weights.value_GCD,
            dy: scratch.dv_MGC, accumulating: true, dx: dx_MD, dw: dweights.value_GCD)
    }

    // MARK: Rotation

    /// Rotates queries [B,T,H,C] and keys [B,T,G,C] whose T tokens are at `positions`, in place.
    package func rotate(
        batch B: Int, positions: Range<Int>, q_MHC: Buffer<Element>, k_MGC: Buffer<Element>
    ) {
        let (cosine, sine) = rotary.rows(positions)
        operations.rope(
            RotaryShape(batch: B, tokens: positions.count, heads: H, width: C), cosine: cosine,
            sine: sine, x: q_MHC)
        operations.rope(
            RotaryShape(batch: B, tokens: positions.count, heads: G, width: C), cosine: cosine,
            sine: sine, x: k_MGC)
    }

    private func rotateBackward(
        _ shape: AttentionShape, dq_MHC: Buffer<Element>, dk_MGC: Buffer<Element>
    ) {
        let (cosine, sine) = rotary.rows(0..<shape.tokens)
        operations.ropeBackward(
            RotaryShape(batch: shape.batch, tokens: shape.tokens, heads: H, width: C),
            cosine: cosine, sine: sine, dx: dq_MHC)
        operations.ropeBackward(
            RotaryShape(batch: shape.batch, tokens: shape.tokens, heads: G, width: C),
            cosine: cosine, sine: sine, dx: dk_MGC)
    }

    // MARK: Output

    /// y_MD from what the heads gathered in `activations.out_MHC`.
    package func output(
        rows M: Int, _ weights: AttentionWeights<Element>,
        _ activations: AttentionActivations<Element>, y_MD: Buffer<Element>
    ) {
        operations.linear(
            rows: M, inputs: H * C, outputs: D, x: activations.out_MHC, w: weights.output_DHC,
            y: y_MD)
    }
}

/// What attention keeps of a forward pass.
package struct AttentionActivations<Element: KernelElement> {
    /// Before QK-norm; the same places as q and k when the model has none.
    let projectedQ_MHC: Buffer<Element>
    let projectedK_MGC: Buffer<Element>
    let rstdQ_MH: Buffer<Element>
    let rstdK_MG: Buffer<Element>
    /// Normed and rotated.
    package let q_MHC: Buffer<Element>
    package let k_MGC: Buffer<Element>
    package let v_MGC: Buffer<Element>
    package let out_MHC: Buffer<Element>
    let logSumExp_BHT: Buffer<Element>

    package init(_ configuration: ModelConfiguration, rows M: Int, plan: inout ActivationPlan) {
        let queries = M * configuration.heads * configuration.headWidth
        let keys = M * configuration.keyValueHeads * configuration.headWidth
        let hasNorms = configuration.normalizesQueriesAndKeys
        q_MHC = plan.buffer(queries)
        k_MGC = plan.buffer(keys)
        v_MGC = plan.buffer(keys)
        out_MHC = plan.buffer(queries)
        projectedQ_MHC = hasNorms ? plan.buffer(queries) : q_MHC
        projectedK_MGC = hasNorms ? plan.buffer(keys) : k_MGC
        rstdQ_MH = plan.buffer(hasNorms ? M * configuration.heads : 0)
        rstdK_MG = plan.buffer(hasNorms ? M * configuration.keyValueHeads : 0)
        logSumExp_BHT = plan.buffer(M * configuration.heads)
    }
}

/// Gradients that attention's backward pass needs only while it runs; shared by all layers.
struct AttentionScratch<Element: KernelElement> {
    let dout_MHC: Buffer<Element>
    let dq_MHC: Buffer<Element>
    let dk_MGC: Buffer<Element>
    let dv_MGC: Buffer<Element>

    init(_ configuration: ModelConfiguration, rows M: Int, plan: inout ActivationPlan) {
        let queries = M * configuration.heads * configuration.headWidth
        let keys = M * configuration.keyValueHeads * configuration.headWidth
        dout_MHC = plan.buffer(queries)
        dq_MHC = plan.buffer(queries)
        dk_MGC = plan.buffer(keys)
        dv_MGC = plan.buffer(keys)
    }
}
