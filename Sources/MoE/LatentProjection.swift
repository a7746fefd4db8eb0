internal import Tensors

/// Queries, keys and values by way of narrow latents (DeepSeek-V2 2024, section 2.1).
///
/// A latent is a projection of the stream, normed. That of the keys and values expands to each
/// head's plain part of the key and its value; the rotated part of the key comes from the stream
/// and is one for all heads. Keys and values are kept expanded, so attention is that of any model.
struct LatentProjection<Element: KernelElement> {
    private let operations: Operations<Element>
    private let latent: LatentAttention
    private let D: Int
    private let H: Int
    private let C: Int

    init(
        _ configuration: ModelConfiguration, _ latent: LatentAttention,
        operations: Operations<Element>
    ) {
        self.operations = operations
        self.latent = latent
        D = configuration.hiddenSize
        H = configuration.heads
        C = configuration.headWidth
    }

    func forward(
        rows M: Int, x_MD: Buffer<Element>, _ weights: LatentWeights<Element>,
        _ activations: AttentionActivations<Element>
    ) {
        guard let kept = activations.latent else { preconditionFailure("no room for latents") }
        if let down = weights.queryDown, let norm = weights.queryNorm, let query = kept.query {
            linear(M, D, query.width, x_MD, down, query.projected)
            normalize(M, query, norm)
            linear(M, query.width, H * C, query.normed, weights.queryUp, activations.q_MHC)
        } else {
            linear(M, D, H * C, x_MD, weights.queryUp, activations.q_MHC)
        }
        let keyValue = kept.keyValue
        linear(M, D, keyValue.width, x_MD, toLatent(weights.keyValueDown), keyValue.projected)
        normalize(M, keyValue, weights.keyValueNorm)
        linear(
            M, keyValue.width, expandedWidth, keyValue.normed, weights.keyValueUp,
            kept.expanded_MHNW)
        linear(
            M, D, latent.rotatedWidth, x_MD, toRotated(weights.keyValueDown), kept.rotated_MR)
        operations.latentHeads(
            headsShape(M), kv: kept.expanded_MHNW, rotated: kept.rotated_MR,
            k: activations.k_MGC, v: activations.v_MGW)
    }

    /// dx_MD and dweights from the gradients in `scratch`; spoils the latents' activations.
    func backward(
        rows M: Int, x_MD: Buffer<Element>, _ weights: LatentWeights<Element>,
        _ activations: AttentionActivations<Element>, _ scratch: AttentionScratch<Element>,
        dx_MD: Buffer<Element>, _ dweights: LatentWeights<Element.Sum>
    ) {
        guard let kept = activations.latent else { preconditionFailure("no room for latents") }
        if let down = weights.queryDown, let norm = weights.queryNorm, let query = kept.query,
            let ddown = dweights.queryDown, let dnorm = dweights.queryNorm
        {
            linearBackward(
                M, query.width, H * C, query.normed, weights.queryUp, scratch.dq_MHC,
                scratch.dqueryLatent, dweights.queryUp)
            normalizeBackward(M, query, norm, scratch.dqueryLatent, dnorm)
            linearBackward(M, D, query.width, x_MD, down, scratch.dqueryLatent, dx_MD, ddown)
        } else {
            linearBackward(
                M, D, H * C, x_MD, weights.queryUp, scratch.dq_MHC, dx_MD, dweights.queryUp)
        }
        let keyValue = kept.keyValue
        // What was expanded is not needed any more: its place takes its gradient.
        let (dexpanded_MHNW, drotated_MR) = (kept.expanded_MHNW, kept.rotated_MR)
        operations.latentHeadsBackward(
            headsShape(M), dk: scratch.dk_MGC, dv: scratch.dv_MGW, dkv: dexpanded_MHNW,
            drotated: drotated_MR)
        linearBackward(
            M, keyValue.width, expandedWidth, keyValue.normed, weights.keyValueUp,
            dexpanded_MHNW, scratch.dkeyValueLatent, dweights.keyValueUp)
        normalizeBackward(
            M, keyValue, weights.keyValueNorm, scratch.dkeyValueLatent, dweights.keyValueNorm)
        linearBackward(
            M, D, keyValue.width, x_MD, toLatent(weights.keyValueDown), scratch.dkeyValueLatent,
            dx_MD,
            toLatent(dweights.keyValueDown), accumulating: true)
        linearBackward(
            M, D, latent.rotatedWidth, x_MD, toRotated(weights.keyValueDown), drotated_MR, dx_MD,
            toRotated(dweights.keyValueDown), accumulating: true)
    }

    /// Channels of all heads that the latent of keys and values expands to.
    private var expandedWidth: Int { H * (latent.plainWidth + latent.valueWidth) }

    private func headsShape(_ M: Int) -> LatentHeadsShape {
        LatentHeadsShape(
            rows: M, heads: H, plain: latent.plainWidth, rotated: latent.rotatedWidth,
            value: latent.valueWidth)
    }

    /// The rows of the projection of keys and values that make the latent, and those that make the
    /// rotated part of the keys.
    private func toLatent<Number>(_ down: LinearWeights<Number>) -> LinearWeights<Number> {
        down.outputs(0..<latent.keyValueRank, inputs: D)
    }

    private func toRotated<Number>(_ down: LinearWeights<Number>) -> LinearWeights<Number> {
        let rank = latent.keyValueRank
        return down.outputs(rank..<rank + latent.rotatedWidth, inputs: D)
    }

    private func linear(
        _ M: Int, _ I: Int, _ O: Int, _ x: Buffer<Element>, _ weights: LinearWeights<Element>,
        _ y: Buffer<Element>
    ) {
        operations.linear(
            rows: M, inputs: I, outputs: O, x: x, w: weights.weight, bias: weights.bias, y: y)
    }

    private func linearBackward(
        _ M: Int, _ I: Int, _ O: Int, _ x: Buffer<Element>, _ weights: LinearWeights<Element>,
        _ dy: Buffer<Element>, _ dx: Buffer<Element>, _ dweights: LinearWeights<Element.Sum>,
        accumulating: Bool = false
    ) {
        operations.linearBackward(
            rows: M, inputs: I, outputs: O, x: x, w: weights.weight, dy: dy,
            accumulating: accumulating, dx: dx, dw: dweights.weight, dbias: dweights.bias)
    }

    private func normalize(
        _ M: Int, _ kept: LatentVector<Element>, _ norm: Buffer<Element>
    ) {
        operations.rmsNorm(
            rows: M, width: kept.width, epsilon: LatentAttention.normEpsilon, x: kept.projected,
            w: norm, y: kept.normed, rstd: kept.rstd_M)
    }

    /// Turns the gradient by the normed latent into that by the latent, in its place.
    private func normalizeBackward(
        _ M: Int, _ kept: LatentVector<Element>, _ norm: Buffer<Element>,
        _ dlatent: Buffer<Element>, _ dnorm: Buffer<Element.Sum>
    ) {
        operations.rmsNormBackward(
            rows: M, width: kept.width, x: kept.projected, w: norm, rstd: kept.rstd_M,
            dy: dlatent, dx: dlatent, dw: dnorm)
    }
}

/// What the latents keep of a forward pass.
struct LatentActivations<Element: KernelElement> {
    /// Absent if queries come from the stream itself.
    let query: LatentVector<Element>?
    let keyValue: LatentVector<Element>
    /// Each head's plain part of the key and its value.
    let expanded_MHNW: Buffer<Element>
    /// The part of the keys that is rotated, before that.
    let rotated_MR: Buffer<Element>

    init(
        _ configuration: ModelConfiguration, _ latent: LatentAttention, rows M: Int,
        plan: inout ActivationPlan
    ) {
        query = latent.queryRank.map { LatentVector(width: $0, rows: M, plan: &plan) }
        keyValue = LatentVector(width: latent.keyValueRank, rows: M, plan: &plan)
        expanded_MHNW = plan.buffer(
            M * configuration.heads * (latent.plainWidth + latent.valueWidth))
        rotated_MR = plan.buffer(M * latent.rotatedWidth)
    }
}

/// One latent of M rows, before and after its norm.
struct LatentVector<Element: KernelElement> {
    let width: Int
    let projected: Buffer<Element>
    let normed: Buffer<Element>
    let rstd_M: Buffer<Element.Sum>

    init(width: Int, rows M: Int, plan: inout ActivationPlan) {
        self.width = width
        projected = plan.buffer(M * width)
        normed = plan.buffer(M * width)
        rstd_M = plan.buffer(M)
    }
}
