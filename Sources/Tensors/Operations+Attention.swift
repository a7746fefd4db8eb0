internal import CKernels

/// Sizes of causal grouped-query attention.
///
/// Query head h reads key/value head h / (H / G).
package struct AttentionShape: Sendable, Equatable {
    /// B sequences of T tokens each.
    package var batch: Int
    package var tokens: Int
    /// H query heads share G key/value heads; queries and keys are C wide, values W.
    package var heads: Int
    package var keyValueHeads: Int
    package var headWidth: Int
    package var valueWidth: Int
    /// Factor on each product of query and key, usually 1 / sqrt(C).
    package var scale: Double

    /// Values are as wide as keys unless another width is given.
    package init(
        batch: Int, tokens: Int, heads: Int, keyValueHeads: Int, headWidth: Int,
        valueWidth: Int? = nil, scale: Double
    ) {
        self.batch = batch
        self.tokens = tokens
        self.heads = heads
        self.keyValueHeads = keyValueHeads
        self.headWidth = headWidth
        self.valueWidth = valueWidth ?? headWidth
        self.scale = scale
    }

    /// Elements of the queries [B,T,H,C].
    package var queryCount: Int { batch * tokens * heads * headWidth }
    /// Elements of the keys [B,T,G,C].
    package var keyCount: Int { batch * tokens * keyValueHeads * headWidth }
    /// Elements of the values [B,T,G,W].
    package var valueCount: Int { batch * tokens * keyValueHeads * valueWidth }
    /// Elements of the output [B,T,H,W].
    package var outputCount: Int { batch * tokens * heads * valueWidth }
    /// Elements of the logsumexp [B,H,T].
    package var logSumExpCount: Int { batch * heads * tokens }

    /// As the kernels take it.
    var kernel: martlet_attention_shape {
        precondition(keyValueHeads > 0 && heads % keyValueHeads == 0, "heads do not group")
        return martlet_attention_shape(
            batch: batch, tokens: tokens, heads: heads, kv_heads: keyValueHeads,
            head_width: headWidth, value_width: valueWidth, scale: scale)
    }
}

extension Operations {
    /// out [B,T,H,W] = softmax(scale q kᵀ, causal) v; keeps logSumExp [B,H,T] for backward.
    package func attention(
        _ shape: AttentionShape, q: Buffer<Element>, k: Buffer<Element>, v: Buffer<Element>,
        out: Buffer<Element>, logSumExp: Buffer<Element.Sum>
    ) {
        require(q, holds: shape.queryCount, "queries")
        require(k, holds: shape.keyCount, "keys")
        require(v, holds: shape.valueCount, "values")
        require(out, holds: shape.outputCount, "attention output")
        require(logSumExp, holds: shape.logSumExpCount, "logsumexp")
        unsafe withPointers(q, k, v, out, logSumExp) { q, k, v, out, logSumExp in
            unsafe kernels.attention(shape.kernel, q, k, v, out, logSumExp)
        }
    }

    /// dq [B,T,H,C], dk [B,T,G,C] and dv [B,T,G,W] from dout [B,T,H,W].
    package func attentionBackward(
        _ shape: AttentionShape, q: Buffer<Element>, k: Buffer<Element>, v: Buffer<Element>,
        out: Buffer<Element>, logSumExp: Buffer<Element.Sum>, dout: Buffer<Element>,
        dq: Buffer<Element>, dk: Buffer<Element>, dv: Buffer<Element>
    ) {
        for queries in [q, dq] { require(queries, holds: shape.queryCount, "queries") }
        for keys in [k, dk] { require(keys, holds: shape.keyCount, "keys") }
        for values in [v, dv] { require(values, holds: shape.valueCount, "values") }
        for output in [out, dout] { require(output, holds: shape.outputCount, "output") }
        require(logSumExp, holds: shape.logSumExpCount, "logsumexp")
        unsafe withPointers(q, k, v, out, logSumExp) { q, k, v, out, logSumExp in
            unsafe withPointers(dout, dq, dk, dv) { dout, dq, dk, dv in
                unsafe kernels.attentionBackward(
                    shape.kernel, q, k, v, out, logSumExp, dout, dq, dk, dv)
            }
        }
    }

    /// Attention of T new tokens a sequence over keys and values [B,capacity,G,C or W] that already
    /// hold them; lengths [B] counts the valid keys of each sequence, the new ones included.
    package func attentionCached(
        _ shape: AttentionShape, capacity: Int, lengths: Buffer<Int32>, q: Buffer<Element>,
        k: Buffer<Element>, v: Buffer<Element>, out: Buffer<Element>
    ) {
        let rows = shape.batch * capacity * shape.keyValueHeads
        require(lengths, holds: shape.batch, "lengths")
        require(q, holds: shape.queryCount, "queries")
        require(k, holds: rows * shape.headWidth, "cached keys")
        require(v, holds: rows * shape.valueWidth, "cached values")
        require(out, holds: shape.outputCount, "attention output")
        for sequence in 0..<shape.batch {
            let length = Int(lengths[sequence])
            precondition(
                length >= shape.tokens && length <= capacity,
                "length \(length) outside \(shape.tokens)...\(capacity)")
        }
        unsafe withPointers(lengths, q, k, v, out) { lengths, q, k, v, out in
            unsafe kernels.attentionCached(shape.kernel, capacity, lengths, q, k, v, out)
        }
    }

    /// Keys [M,H,N+R] and values [M,H,W] of latent attention: each head's N channels of kv
    /// [M,H,N+W] and then the rotated [M,R] that all heads share; the rest of kv.
    package func latentHeads(
        _ shape: LatentHeadsShape, kv: Buffer<Element>, rotated: Buffer<Element>,
        k: Buffer<Element>, v: Buffer<Element>
    ) {
        check(shape, kv: kv, rotated: rotated, k: k, v: v)
        unsafe withPointers(kv, rotated, k, v) { kv, rotated, k, v in
            unsafe kernels.latentHeads(
                shape.rows, shape.heads, shape.plain, shape.rotated, shape.value, kv, rotated, k,
                v)
        }
    }

    /// dkv [M,H,N+W] and drotated [M,R] from dk [M,H,N+R] and dv [M,H,W].
    package func latentHeadsBackward(
        _ shape: LatentHeadsShape, dk: Buffer<Element>, dv: Buffer<Element>,
        dkv: Buffer<Element>, drotated: Buffer<Element>
    ) {
        check(shape, kv: dkv, rotated: drotated, k: dk, v: dv)
        unsafe withPointers(dk, dv, dkv, drotated) { dk, dv, dkv, drotated in
            unsafe kernels.latentHeadsBackward(
                shape.rows, shape.heads, shape.plain, shape.rotated, shape.value, dk, dv, dkv,
                drotated)
        }
    }

    private func check(
        _ shape: LatentHeadsShape, kv: Buffer<Element>, rotated: Buffer<Element>,
        k: Buffer<Element>, v: Buffer<Element>
    ) {
        let heads = shape.rows * shape.heads
        require(kv, holds: heads * (shape.plain + shape.value), "expanded keys and values")
        require(rotated, holds: shape.rows * shape.rotated, "rotated keys")
        require(k, holds: heads * (shape.plain + shape.rotated), "keys")
        require(v, holds: heads * shape.value, "values")
    }
}

/// Sizes of the heads of multi-head latent attention.
package struct LatentHeadsShape: Sendable, Equatable {
    /// M rows of H heads.
    package var rows: Int
    package var heads: Int
    /// N channels of a key that are not rotated, and R that are, and W of a value.
    package var plain: Int
    package var rotated: Int
    package var value: Int

    package init(rows: Int, heads: Int, plain: Int, rotated: Int, value: Int) {
        self.rows = rows
        self.heads = heads
        self.plain = plain
        self.rotated = rotated
        self.value = value
    }
}
