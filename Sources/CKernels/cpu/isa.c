// Picks the instruction set of the fast kernels once and forwards every call to its instance. The
// choice is made per operation, never inside one: code for one instruction set is not inlined into
// another's.
#include "kernels.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {"portable", "avx2", "avx512"};
enum { isa_count = 3, isa_unknown = -1 };

static _Atomic int current = isa_unknown;

static int is_available(int isa) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    const int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const int avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                       __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                       __builtin_cpu_supports("avx512vl");
    return isa == martlet_isa_portable || (isa == martlet_isa_avx2 && avx2) ||
           (isa == martlet_isa_avx512 && avx512);
#else
    return isa == martlet_isa_portable;
#endif
}

static int choose(void) {
    const char *wish = getenv("MARTLET_ISA");
    for (int isa = 0; wish && isa < isa_count; isa++)
        if (strcmp(wish, names[isa]) == 0 && is_available(isa)) return isa;
    for (int isa = isa_count - 1; isa > 0; isa--)
        if (is_available(isa)) return isa;
    return martlet_isa_portable;
}

martlet_isa martlet_isa_current(void) {
    int isa = atomic_load_explicit(&current, memory_order_relaxed);
    if (isa == isa_unknown) {
        // Threads that race here choose the same, so whoever stores last changes nothing.
        isa = choose();
        atomic_store_explicit(&current, isa, memory_order_relaxed);
    }
    return (martlet_isa)isa;
}

const char *martlet_isa_name(martlet_isa isa) {
    return (int)isa >= 0 && (int)isa < isa_count ? names[isa] : "unknown";
}

int martlet_isa_select(martlet_isa isa) {
    if (!is_available((int)isa)) return 0;
    atomic_store(&current, (int)isa);
    return 1;
}

#define MARTLET_REAL float
#define MARTLET_OP(name) martlet_##name##_portable
#include "operations.h"
#undef MARTLET_OP
#if defined(__x86_64__)
#define MARTLET_OP(name) martlet_##name##_avx2
#include "operations.h"
#undef MARTLET_OP
#define MARTLET_OP(name) martlet_##name##_avx512
#include "operations.h"
#undef MARTLET_OP
#define FORWARD(result, name, parameters, arguments)                                  \
    result martlet_##name##_f32 parameters {                                          \
        switch (martlet_isa_current()) {                                              \
        case martlet_isa_avx512: return martlet_##name##_avx512 arguments;            \
        case martlet_isa_avx2: return martlet_##name##_avx2 arguments;                \
        default: return martlet_##name##_portable arguments;                          \
        }                                                                             \
    }
#else
#define FORWARD(result, name, parameters, arguments)                                  \
    result martlet_##name##_f32 parameters { return martlet_##name##_portable arguments; }
#endif

FORWARD(void, embedding,
        (size_t M, size_t V, size_t D, const int32_t *tokens, const float *w, float *y),
        (M, V, D, tokens, w, y))
FORWARD(void, embedding_backward,
        (size_t M, size_t V, size_t D, const int32_t *tokens, const float *dy, float *dw),
        (M, V, D, tokens, dy, dw))
FORWARD(void, linear,
        (size_t M, size_t I, size_t O, const float *x, const float *w, const float *bias,
         float *y),
        (M, I, O, x, w, bias, y))
FORWARD(void, linear_backward,
        (size_t M, size_t I, size_t O, const float *x, const float *w, const float *dy,
         int accumulate, float *dx, float *dw, float *dbias),
        (M, I, O, x, w, dy, accumulate, dx, dw, dbias))
FORWARD(void, rmsnorm,
        (size_t M, size_t D, double epsilon, const float *x, const float *w, float *y,
         float *rstd),
        (M, D, epsilon, x, w, y, rstd))
FORWARD(void, rmsnorm_backward,
        (size_t M, size_t D, const float *x, const float *w, const float *rstd, const float *dy,
         int accumulate, float *dx, float *dw),
        (M, D, x, w, rstd, dy, accumulate, dx, dw))
FORWARD(void, rope,
        (martlet_rope_shape shape, const float *cosine, const float *sine, float *x),
        (shape, cosine, sine, x))
FORWARD(void, rope_backward,
        (martlet_rope_shape shape, const float *cosine, const float *sine, float *dx),
        (shape, cosine, sine, dx))
FORWARD(void, attention,
        (martlet_attention_shape shape, const float *q, const float *k, const float *v,
         float *out, float *logsumexp),
        (shape, q, k, v, out, logsumexp))
FORWARD(void, attention_backward,
        (martlet_attention_shape shape, const float *q, const float *k, const float *v,
         const float *out, const float *logsumexp, const float *dout, float *dq, float *dk,
         float *dv),
        (shape, q, k, v, out, logsumexp, dout, dq, dk, dv))
FORWARD(void, attention_cached,
        (martlet_attention_shape shape, size_t capacity, const int32_t *lengths, const float *q,
         const float *k, const float *v, float *out),
        (shape, capacity, lengths, q, k, v, out))
FORWARD(void, latent_heads,
        (size_t M, size_t H, size_t N, size_t R, size_t W, const float *kv,
         const float *rotated, float *k, float *v),
        (M, H, N, R, W, kv, rotated, k, v))
FORWARD(void, latent_heads_backward,
        (size_t M, size_t H, size_t N, size_t R, size_t W, const float *dk, const float *dv,
         float *dkv, float *drotated),
        (M, H, N, R, W, dk, dv, dkv, drotated))
FORWARD(void, router,
        (martlet_router_shape shape, const float *logits, float *probabilities,
         int32_t *experts, float *weights, int32_t *counts, double *probability_sums),
        (shape, logits, probabilities, experts, weights, counts, probability_sums))
FORWARD(void, router_backward,
        (martlet_router_shape shape, const float *probabilities, const int32_t *experts,
         const float *weights, const float *dweights, const double *dprobability,
         float *dlogits),
        (shape, probabilities, experts, weights, dweights, dprobability, dlogits))
FORWARD(void, gather,
        (size_t R, size_t K, size_t D, const int32_t *slot_of_row, const float *x, float *rows),
        (R, K, D, slot_of_row, x, rows))
FORWARD(void, gather_backward,
        (size_t M, size_t K, size_t D, const int32_t *row_of_slot, const float *drows,
         int accumulate, float *dx),
        (M, K, D, row_of_slot, drows, accumulate, dx))
FORWARD(void, combine,
        (size_t M, size_t K, size_t D, const int32_t *row_of_slot, const float *weights,
         const float *rows, float *out),
        (M, K, D, row_of_slot, weights, rows, out))
FORWARD(void, combine_backward,
        (size_t M, size_t K, size_t D, const int32_t *row_of_slot, const float *weights,
         const float *rows, const float *dout, float *dweights, float *drows),
        (M, K, D, row_of_slot, weights, rows, dout, dweights, drows))
FORWARD(void, experts,
        (martlet_experts_shape shape, const int32_t *offsets, const float *parameters,
         const float *x, float *gate, float *up, float *hidden, float *y),
        (shape, offsets, parameters, x, gate, up, hidden, y))
FORWARD(void, experts_backward,
        (martlet_experts_shape shape, const int32_t *offsets, const float *parameters,
         const float *x, float *gate, float *up, const float *hidden, const float *dy,
         float *dx, float *dparameters),
        (shape, offsets, parameters, x, gate, up, hidden, dy, dx, dparameters))
FORWARD(void, swiglu, (size_t n, const float *gate, const float *up, float *hidden),
        (n, gate, up, hidden))
FORWARD(void, swiglu_backward,
        (size_t n, const float *gate, const float *up, const float *dhidden, float *dgate,
         float *dup),
        (n, gate, up, dhidden, dgate, dup))
FORWARD(void, shared_expert,
        (size_t M, size_t D, const float *x, const float *w, const float *shared,
         float *sigmoid, float *out),
        (M, D, x, w, shared, sigmoid, out))
FORWARD(void, shared_expert_backward,
        (size_t M, size_t D, const float *x, const float *w, const float *shared,
         const float *sigmoid, const float *dout, int accumulate, float *dx, float *dw,
         float *dshared),
        (M, D, x, w, shared, sigmoid, dout, accumulate, dx, dw, dshared))
FORWARD(void, add, (size_t n, const float *a, const float *b, float *y), (n, a, b, y))
FORWARD(void, scale, (size_t n, double factor, const float *x, float *y), (n, factor, x, y))
FORWARD(martlet_loss, cross_entropy,
        (size_t M, size_t V, const int32_t *targets, const float *logits),
        (M, V, targets, logits))
FORWARD(martlet_loss, cross_entropy_backward,
        (size_t M, size_t V, const int32_t *targets, double factor, float *logits),
        (M, V, targets, factor, logits))
FORWARD(void, log_softmax, (size_t M, size_t V, const float *x, float *y), (M, V, x, y))
FORWARD(void, argmax, (size_t M, size_t V, const float *x, int32_t *index), (M, V, x, index))
