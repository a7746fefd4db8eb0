// Every operation of operations.h with its parameters and its arguments: FORWARD makes of each the
// function that picks the instance. Included by isa.c for each type.

FORWARD(void, embedding,
        (size_t M, size_t V, size_t D, const int32_t *tokens, const REAL *w, REAL *y),
        (M, V, D, tokens, w, y))
FORWARD(void, embedding_backward,
        (size_t M, size_t V, size_t D, const int32_t *tokens, const REAL *dy, SUM *dw),
        (M, V, D, tokens, dy, dw))
FORWARD(void, linear,
        (size_t M, size_t I, size_t O, const REAL *x, const REAL *w, const REAL *bias,
         REAL *y),
        (M, I, O, x, w, bias, y))
FORWARD(void, linear_backward,
        (size_t M, size_t I, size_t O, const REAL *x, const REAL *w, const REAL *dy,
         int accumulate, REAL *dx, SUM *dw, SUM *dbias),
        (M, I, O, x, w, dy, accumulate, dx, dw, dbias))
FORWARD(void, rmsnorm,
        (size_t M, size_t D, double epsilon, const REAL *x, const REAL *w, REAL *y,
         SUM *rstd),
        (M, D, epsilon, x, w, y, rstd))
FORWARD(void, rmsnorm_backward,
        (size_t M, size_t D, const REAL *x, const REAL *w, const SUM *rstd, const REAL *dy,
         int accumulate, REAL *dx, SUM *dw),
        (M, D, x, w, rstd, dy, accumulate, dx, dw))
FORWARD(void, rope,
        (martlet_rope_shape shape, const SUM *cosine, const SUM *sine, REAL *x),
        (shape, cosine, sine, x))
FORWARD(void, rope_backward,
        (martlet_rope_shape shape, const SUM *cosine, const SUM *sine, REAL *dx),
        (shape, cosine, sine, dx))
FORWARD(void, attention,
        (martlet_attention_shape shape, const REAL *q, const REAL *k, const REAL *v,
         REAL *out, SUM *logsumexp),
        (shape, q, k, v, out, logsumexp))
FORWARD(void, attention_backward,
        (martlet_attention_shape shape, const REAL *q, const REAL *k, const REAL *v,
         const REAL *out, const SUM *logsumexp, const REAL *dout, REAL *dq, REAL *dk,
         REAL *dv),
        (shape, q, k, v, out, logsumexp, dout, dq, dk, dv))
FORWARD(void, attention_cached,
        (martlet_attention_shape shape, size_t capacity, const int32_t *lengths, const REAL *q,
         const REAL *k, const REAL *v, REAL *out),
        (shape, capacity, lengths, q, k, v, out))
FORWARD(void, latent_heads,
        (size_t M, size_t H, size_t N, size_t R, size_t W, const REAL *kv,
         const REAL *rotated, REAL *k, REAL *v),
        (M, H, N, R, W, kv, rotated, k, v))
FORWARD(void, latent_heads_backward,
        (size_t M, size_t H, size_t N, size_t R, size_t W, const REAL *dk, const REAL *dv,
         REAL *dkv, REAL *drotated),
        (M, H, N, R, W, dk, dv, dkv, drotated))
#ifndef MARTLET_HALF
FORWARD(void, router,
        (martlet_router_shape shape, const SUM *logits, SUM *probabilities,
         int32_t *experts, SUM *weights, int32_t *counts, double *probability_sums),
        (shape, logits, probabilities, experts, weights, counts, probability_sums))
FORWARD(void, router_backward,
        (martlet_router_shape shape, const SUM *probabilities, const int32_t *experts,
         const SUM *weights, const SUM *dweights, const double *dprobability,
         SUM *dlogits),
        (shape, probabilities, experts, weights, dweights, dprobability, dlogits))
FORWARD(martlet_mask_report, mask,
        (martlet_mask_shape shape, const SUM *logits, const int32_t *experts,
         const SUM *weights, const int32_t *targets, SUM *soft, SUM *masked, int32_t *live),
        (shape, logits, experts, weights, targets, soft, masked, live))
FORWARD(void, mask_backward,
        (martlet_mask_shape shape, const int32_t *experts, const SUM *weights,
         const int32_t *targets, const SUM *soft, const int32_t *live, const SUM *dmasked,
         double dsoft, SUM *dweights, SUM *dlogits),
        (shape, experts, weights, targets, soft, live, dmasked, dsoft, dweights, dlogits))
#endif
FORWARD(void, shared_expert,
        (size_t M, size_t D, const REAL *x, const REAL *w, const REAL *shared,
         SUM *sigmoid, REAL *out),
        (M, D, x, w, shared, sigmoid, out))
FORWARD(void, shared_expert_backward,
        (size_t M, size_t D, const REAL *x, const REAL *w, const REAL *shared,
         const SUM *sigmoid, const REAL *dout, int accumulate, REAL *dx, SUM *dw,
         REAL *dshared),
        (M, D, x, w, shared, sigmoid, dout, accumulate, dx, dw, dshared))
FORWARD(void, add, (size_t n, const REAL *a, const REAL *b, REAL *y), (n, a, b, y))
FORWARD(void, experts,
        (martlet_experts_shape shape, martlet_routing routing, const REAL *parameters,
         const REAL *x, const SUM *weights, REAL *gate, REAL *up, REAL *hidden, REAL *rows,
         int accumulate, REAL *out),
        (shape, routing, parameters, x, weights, gate, up, hidden, rows, accumulate, out))
FORWARD(void, experts_packed,
        (martlet_experts_shape shape, martlet_routing routing, const REAL *packed,
         const REAL *x, const SUM *weights, REAL *gate, REAL *up, REAL *hidden, REAL *rows,
         int accumulate, REAL *out),
        (shape, routing, packed, x, weights, gate, up, hidden, rows, accumulate, out))
FORWARD(void, experts_backward,
        (martlet_experts_shape shape, martlet_routing routing, const REAL *parameters,
         const REAL *x, const SUM *weights, REAL *gate, REAL *up, REAL *hidden,
         const REAL *dout, REAL *rows, int accumulate, REAL *dx, SUM *dweights,
         SUM *dparameters),
        (shape, routing, parameters, x, weights, gate, up, hidden, dout, rows, accumulate, dx,
         dweights, dparameters))
FORWARD(void, linear_wide,
        (size_t M, size_t I, size_t O, const REAL *x, const REAL *w, SUM *y),
        (M, I, O, x, w, y))
FORWARD(void, linear_wide_backward,
        (size_t M, size_t I, size_t O, const REAL *x, const REAL *w, const SUM *dy,
         int accumulate, REAL *dx, SUM *dw),
        (M, I, O, x, w, dy, accumulate, dx, dw))
FORWARD(martlet_loss, head_loss,
        (size_t M, size_t D, size_t V, const REAL *x, const REAL *w, const int32_t *targets,
         double factor, REAL *dx, SUM *dw),
        (M, D, V, x, w, targets, factor, dx, dw))
FORWARD(void, pack, (size_t I, size_t O, const REAL *w, REAL *packed), (I, O, w, packed))
FORWARD(void, linear_packed,
        (size_t M, size_t I, size_t O, const REAL *x, const REAL *packed, const REAL *bias,
         REAL *y),
        (M, I, O, x, packed, bias, y))
FORWARD(double, peak, (size_t rounds), (rounds))
