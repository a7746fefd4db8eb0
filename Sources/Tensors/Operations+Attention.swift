internal import CKernels

/// Sizes of causal grouped-query attention.
///
/// Query head h reads key/value head h / (H / G).
package struct AttentionShape: Sendable, Equatable {
    /// B sequences of T tokens each.
    package var batch: Int
    package var tokens: Int
    /// H query heads share G key/value heads, all C wide.
    package var heads: Int
    package var keyValueHeads: Int
    package var headWidth: Int
    /// Factor on each product of query and key, usually 1 / sqrt(C).
    package var scale: Double

    package init(
        batch: Int, tokens: Int, heads: Int, keyValueHeads: Int, headWidth: Int, scale: Double
    ) {
        self.batch = batch
        self.tokens = tokens
        self.heads = heads
        self.keyValueHeads = keyValueHeads
        self.headWidth = headWidth
        self.scale = scale
    }

    /// Elements of the queries [B,T,H,C].
    package var queryCount: Int { batch * tokens * heads * headWidth }
    /// Elements of the keys, and of the values, [B,T,G,C].
    package var keyCount: Int { batch * tokens * keyValueHeads * headWidth }
    /// Elements of the logsumexp [B,H,T].
    package var logSumExpCount: Int { batch * heads * tokens }

    /// As the kernels take it.
    var kernel: martlet_attention_shape {
        precondition(keyValueHeads > 0 && heads % keyValueHeads == 0, "heads do not group")
        return martlet_attention_shape(
            batch: batch, tokens: tokens, heads: heads, kv_heads: keyValueHeads,
            head_width: headWidth, scale: scale)
    }
}

extension Operations {
    /// out [B,T,H,C] = softmax(scale q kᵀ, causal) v; keeps logSumExp [B,H,T] for backward.
    package func attention(
        _ shape: AttentionShape, q: Buffer<Element>, k: Buffer<Element>, v: Buffer<Element>,
        out: Buffer<Element>, logSumExp: Buffer<Element>
    ) {
        require(q, holds: shape.queryCount, "queries")
        require(k, holds: shape.keyCount, "keys")
        require(v, holds: shape.keyCount, "values")
        require(out, holds: shape.queryCount, "attention output")
        require(logSumExp, holds: shape.logSumExpCount, "logsumexp")
        unsafe withPointers(q, k, v, out, logSumExp) { q, k, v, out, logSumExp in
            unsafe kernels.attention(shape.kernel, q, k, v, out, logSumExp)
        }
    }

    /// dq [B,T,H,C], dk and dv [B,T,G,C] from dout [B,T,H,C].
    package func attentionBackward(
        _ shape: AttentionShape, q: Buffer<Element>, k: Buffer<Element>, v: Buffer<Element>,
        out: Buffer<Element>, logSumExp: Buffer<Element>, dout: Buffer<Element>,
        dq: Buffer<Element>, dk: Buffer<Element>, dv: Buffer<Element>
    ) {
        for queries in [q, out, dout, dq] {
            require(queries, holds: shape.queryCount, "queries, output or a gradient of them")
        }
        for keys in [k, v, dk, dv] {
            require(keys, holds: shape.keyCount, "keys, values or a gradient of them")
        }
        require(logSumExp, holds: shape.logSumExpCount, "logsumexp")
        unsafe withPointers(q, k, v, out, logSumExp) { q, k, v, out, logSumExp in
            unsafe withPointers(dout, dq, dk, dv) { dout, dq, dk, dv in
                unsafe kernels.attentionBackward(
                    shape.kernel, q, k, v, out, logSumExp, dout, dq, dk, dv)
            }
        }
    }

    /// Attention of T new tokens a sequence over keys and values [B,capacity,G,C] that already hold
    /// them; lengths [B] counts the valid keys of each sequence, the new ones included.
    package func attentionCached(
        _ shape: AttentionShape, capacity: Int, lengths: Buffer<Int32>, q: Buffer<Element>,
        k: Buffer<Element>, v: Buffer<Element>, out: Buffer<Element>
    ) {
        let cacheCount = shape.batch * capacity * shape.keyValueHeads * shape.headWidth
        require(lengths, holds: shape.batch, "lengths")
        require(q, holds: shape.queryCount, "queries")
        require(k, holds: cacheCount, "cached keys")
        require(v, holds: cacheCount, "cached values")
        require(out, holds: shape.queryCount, "attention output")
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
}
