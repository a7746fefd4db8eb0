internal import Tensors

/// Queries, keys and values straight from the normed residual stream, with optional QK-norm.
struct HeadProjection<Element: KernelElement> {
    private let operations: Operations<Element>
    private let epsilon: Double
    private let D: Int
    private let H: Int
    private let G: Int
    private let C: Int
    /// Whether a norm spans all heads of a token.
    private let isAcrossHeads: Bool

    init(_ configuration: ModelConfiguration, operations: Operations<Element>) {
        self.operations = operations
        epsilon = configuration.normEpsilon
        D = configuration.hiddenSize
        H = configuration.heads
        G = configuration.keyValueHeads
        C = configuration.headWidth
        isAcrossHeads = configuration.normalizesAcrossHeads
    }

    func forward(
        rows M: Int, x_MD: Buffer<Element>, _ weights: HeadWeights<Element>,
        _ activations: AttentionActivations<Element>
    ) {
        for (linear, heads, y) in [
            (weights.query_HCD, H, activations.projectedQ_MHC),
            (weights.key_GCD, G, activations.projectedK_MGC),
            (weights.value_GCD, G, activations.v_MGW),
        ] {
            operations.linear(
                rows: M, inputs: D, outputs: heads * C, x: x_MD, w: linear.weight,
                bias: linear.bias, y: y)
        }
        guard let queryNorm = weights.queryNorm, let keyNorm = weights.keyNorm else { return }
        let (queries, keys) = (normed(M, heads: H), normed(M, heads: G))
        operations.rmsNorm(
            rows: queries.rows, width: queries.width, epsilon: epsilon,
            x: activations.projectedQ_MHC, w: queryNorm, y: activations.q_MHC,
            rstd: activations.rstdQ)
        operations.rmsNorm(
            rows: keys.rows, width: keys.width, epsilon: epsilon,
            x: activations.projectedK_MGC, w: keyNorm, y: activations.k_MGC,
            rstd: activations.rstdK)
    }

    /// dx_MD and dweights from the gradients in `scratch`, which it spoils.
    func backward(
        rows M: Int, x_MD: Buffer<Element>, _ weights: HeadWeights<Element>,
        _ activations: AttentionActivations<Element>, _ scratch: AttentionScratch<Element>,
        dx_MD: Buffer<Element>, _ dweights: HeadWeights<Element.Sum>
    ) {
        if let queryNorm = weights.queryNorm, let keyNorm = weights.keyNorm,
            let dqueryNorm = dweights.queryNorm, let dkeyNorm = dweights.keyNorm
        {
            let (queries, keys) = (normed(M, heads: H), normed(M, heads: G))
            operations.rmsNormBackward(
                rows: queries.rows, width: queries.width, x: activations.projectedQ_MHC,
                w: queryNorm, rstd: activations.rstdQ, dy: scratch.dq_MHC, dx: scratch.dq_MHC,
                dw: dqueryNorm)
            operations.rmsNormBackward(
                rows: keys.rows, width: keys.width, x: activations.projectedK_MGC, w: keyNorm,
                rstd: activations.rstdK, dy: scratch.dk_MGC, dx: scratch.dk_MGC, dw: dkeyNorm)
        }
        operations.linearBackward(
            rows: M, inputs: D, outputs: H * C, x: x_MD, w: weights.query_HCD.weight,
            dy: scratch.dq_MHC, dx: dx_MD, dw: dweights.query_HCD.weight,
            dbias: dweights.query_HCD.bias)
        for (linear, dlinear, dy) in [
            (weights.key_GCD, dweights.key_GCD, scratch.dk_MGC),
            (weights.value_GCD, dweights.value_GCD, scratch.dv_MGW),
        ] {
            operations.linearBackward(
                rows: M, inputs: D, outputs: G * C, x: x_MD, w: linear.weight, dy: dy,
                accumulating: true, dx: dx_MD, dw: dlinear.weight, dbias: dlinear.bias)
        }
    }

    /// What is one row to the norm of `heads` heads of M tokens.
    private func normed(_ M: Int, heads: Int) -> (rows: Int, width: Int) {
        isAcrossHeads ? (M, heads * C) : (M * heads, C)
    }
}
