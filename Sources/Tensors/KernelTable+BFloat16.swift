internal import CKernels

extension KernelTable where Element == BFloat16 {
    /// Vectorised and threaded; the router's arithmetic is fp32.
    static let fast = unsafe KernelTable(
        embedding: { M, V, D, tokens, w, y in
            unsafe martlet_embedding_bf16(M, V, D, tokens, w?.kernel, y?.kernel)
        },
        embeddingBackward: { M, V, D, tokens, dy, dw in
            unsafe martlet_embedding_backward_bf16(M, V, D, tokens, dy?.kernel, dw)
        },
        linear: { M, I, O, x, w, bias, y in
            unsafe martlet_linear_bf16(M, I, O, x?.kernel, w?.kernel, bias?.kernel, y?.kernel)
        },
        linearBackward: { M, I, O, x, w, dy, adds, dx, dw, dbias in
            unsafe martlet_linear_backward_bf16(
                M, I, O, x?.kernel, w?.kernel, dy?.kernel, adds, dx?.kernel, dw, dbias)
        },
        linearWide: { M, I, O, x, w, y in
            unsafe martlet_linear_wide_bf16(M, I, O, x?.kernel, w?.kernel, y)
        },
        linearWideBackward: { M, I, O, x, w, dy, adds, dx, dw in
            unsafe martlet_linear_wide_backward_bf16(
                M, I, O, x?.kernel, w?.kernel, dy, adds, dx?.kernel, dw)
        },
        rmsNorm: { M, D, epsilon, x, w, y, rstd in
            unsafe martlet_rmsnorm_bf16(M, D, epsilon, x?.kernel, w?.kernel, y?.kernel, rstd)
        },
        rmsNormBackward: { M, D, x, w, rstd, dy, adds, dx, dw in
            unsafe martlet_rmsnorm_backward_bf16(
                M, D, x?.kernel, w?.kernel, rstd, dy?.kernel, adds, dx?.kernel, dw)
        },
        rope: { shape, cosine, sine, x in
            unsafe martlet_rope_bf16(shape, cosine, sine, x?.kernel)
        },
        ropeBackward: { shape, cosine, sine, dx in
            unsafe martlet_rope_backward_bf16(shape, cosine, sine, dx?.kernel)
        },
        attention: { shape, q, k, v, out, logsumexp in
            unsafe martlet_attention_bf16(
                shape, q?.kernel, k?.kernel, v?.kernel, out?.kernel, logsumexp)
        },
        attentionBackward: { shape, q, k, v, out, logsumexp, dout, dq, dk, dv in
            unsafe martlet_attention_backward_bf16(
                shape, q?.kernel, k?.kernel, v?.kernel, out?.kernel, logsumexp, dout?.kernel,
                dq?.kernel, dk?.kernel, dv?.kernel)
        },
        attentionCached: { shape, capacity, lengths, q, k, v, out in
            unsafe martlet_attention_cached_bf16(
                shape, capacity, lengths, q?.kernel, k?.kernel, v?.kernel, out?.kernel)
        },
        latentHeads: { M, H, N, R, W, kv, rotated, k, v in
            unsafe martlet_latent_heads_bf16(
                M, H, N, R, W, kv?.kernel, rotated?.kernel, k?.kernel, v?.kernel)
        },
        latentHeadsBackward: { M, H, N, R, W, dk, dv, dkv, drotated in
            unsafe martlet_latent_heads_backward_bf16(
                M, H, N, R, W, dk?.kernel, dv?.kernel, dkv?.kernel, drotated?.kernel)
        },
        router: martlet_router_f32,
        routerBackward: martlet_router_backward_f32,
        mask: martlet_mask_f32,
        maskBackward: martlet_mask_backward_f32,
        experts: { shape, routing, all, x, weights, gate, up, hidden, rows, adds, out in
            unsafe martlet_experts_bf16(
                shape, routing, all?.kernel, x?.kernel, weights, gate?.kernel, up?.kernel,
                hidden?.kernel, rows?.kernel, adds, out?.kernel)
        },
        expertsBackward: {
            shape, routing, all, x, weights, gate, up, hidden, dout, rows, adds, dx, dweights,
            dall in
            unsafe martlet_experts_backward_bf16(
                shape, routing, all?.kernel, x?.kernel, weights, gate?.kernel, up?.kernel,
                hidden?.kernel, dout?.kernel, rows?.kernel, adds, dx?.kernel, dweights, dall)
        },
        sharedExpert: { M, D, x, w, shared, sigmoid, out in
            unsafe martlet_shared_expert_bf16(
                M, D, x?.kernel, w?.kernel, shared?.kernel, sigmoid, out?.kernel)
        },
        sharedExpertBackward: { M, D, x, w, shared, sigmoid, dout, adds, dx, dw, dshared in
            unsafe martlet_shared_expert_backward_bf16(
                M, D, x?.kernel, w?.kernel, shared?.kernel, sigmoid, dout?.kernel, adds,
                dx?.kernel, dw, dshared?.kernel)
        },
        add: { n, a, b, y in
            unsafe martlet_add_bf16(n, a?.kernel, b?.kernel, y?.kernel)
        },
        headLoss: { M, D, V, x, w, targets, factor, dx, dw in
            unsafe martlet_head_loss_bf16(
                M, D, V, x?.kernel, w?.kernel, targets, factor, dx?.kernel, dw)
        },
        pack: { I, O, w, packed in
            unsafe martlet_pack_bf16(I, O, w?.kernel, packed?.kernel)
        },
        linearPacked: { M, I, O, x, packed, bias, y in
            unsafe martlet_linear_packed_bf16(
                M, I, O, x?.kernel, packed?.kernel, bias?.kernel, y?.kernel)
        })
}
