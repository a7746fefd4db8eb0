// The model's kernels: the contract between whoever plans buffers and whoever computes.
//
// Every operation exists four times with one signature, declared once in operations.h:
//   martlet_<op>_f32       fast fp32, picks the widest instruction set at run time, uses the pool
//   martlet_<op>_bf16      the same for bf16 weights and activations: products are summed in fp32,
//                          gradients of parameters are fp32
//   martlet_<op>_ref_f32   plain loops in fp32, one thread: the oracle's arithmetic, readable
//   martlet_<op>_ref_f64   the same source in fp64: what the fast path is compared with
//
// Shapes (legend; all arrays are row-major and contiguous, sizes count elements):
//   B batch   T tokens a sequence   M rows = B * T   D model width   V vocabulary
//   H query heads   G key/value heads (divides H)   C head width (even)   W width of a value
//   E experts   K top-k   F expert hidden width   R dispatched rows = offsets[E] <= M * K
//   I, O input and output width of a linear map, whose weight is [O,I] as in Hugging Face
//
// Rules that hold everywhere:
//   * Forward and backward are neighbours with the same argument order; `d` prefixes a gradient.
//   * Gradients of parameters are ADDED to their buffer, those of experts WRITTEN. Gradients of
//     activations are WRITTEN, except where an argument `accumulate` says otherwise (0 writes, 1
//     adds).
//   * Any size may be 0. Buffers must not overlap unless an operation says "in place".
//   * Bits depend on the inputs and the instruction set only, never on the number of threads. In
//     every forward operation a row's result depends on that row alone, not on the rows beside it,
//     so one token decoded alone gives the bits it has inside a batch.
//   * Sizes, indices and pointers are the caller's to check. Inf and NaN flow through and never
//     make an index invalid; in attention they may also reach earlier tokens of their sequence,
//     since a masked key has the weight 0 and 0 * NaN is NaN.
//   * Pointers need only the element's alignment; 64 bytes is fastest.
#pragma once
#include <stddef.h>
#include <stdint.h>

// ---- Threads and instruction sets -----------------------------------------------------------

/// Sets how many threads the process's one kernel pool may use, the caller included, from 1 to
/// 1024. Ends and starts pool threads; waits for a running operation. Until the first call it is 1.
/// Operations called from several threads at once are safe: one has the pool, the others run alone.
void martlet_threads_set(int count);
/// The number of threads as set; waits for a running operation.
int martlet_threads(void);
/// Ends the pool's threads and frees their scratch memory and the calling thread's. Kernels may be
/// called afterwards; they run on the calling thread until martlet_threads_set.
void martlet_threads_stop(void);

/// The instruction sets the fast kernels are compiled for, narrowest first.
typedef enum {
    martlet_isa_portable = 0,
    martlet_isa_avx2 = 1,    // AVX2 + FMA
    martlet_isa_avx512 = 2,  // AVX-512 F, BW, DQ, VL
    martlet_isa_avx512_bf16 = 3,  // and AVX-512 BF16, for bf16 operations
} martlet_isa;

/// The instruction set in use. Chosen at first use: the widest this machine has, or what the
/// environment variable MARTLET_ISA (portable, avx2, avx512,
/// avx512_bf16) names if the machine has it.
martlet_isa martlet_isa_current(void);
/// Its name as MARTLET_ISA spells it.
const char *martlet_isa_name(martlet_isa isa);
/// Uses `isa` from now on; 0, and no change, if this machine lacks it. For tests; not while an
/// operation runs.
int martlet_isa_select(martlet_isa isa);

// ---- Shapes passed as one -------------------------------------------------------------------

/// Causal grouped-query attention. Query head h reads key/value head h / (heads / kv_heads).
typedef struct {
    size_t batch, tokens, heads, kv_heads, head_width, value_width;  // B, T, H, G, C, W
    double scale;  // factor on q.k, usually 1 / sqrt(C)
} martlet_attention_shape;

/// A rotation of R consecutive channels (even) of each head; heads begin `stride` elements apart.
/// Channel i turns with channel i + R/2 (halves, as most published models) or, if `interleaved`,
/// channel 2i with 2i + 1 (DeepSeek-V2).
typedef struct {
    size_t batch, tokens, heads, width, stride;  // B, T, H, R
    int interleaved;
} martlet_rope_shape;

/// How a router chooses K of E experts for each of M rows. If groups > groups_chosen, the experts
/// are `groups` groups of neighbours (groups divides E), and only those of the groups_chosen groups
/// whose best expert is most probable can be chosen (DeepSeek-V2; K <= groups_chosen * E / groups).
typedef struct {
    size_t rows, experts, choices;  // M, E, K
    size_t groups, groups_chosen;   // 1 and 1: all experts can be chosen
    int renormalize;                // divide the weights of a row by their sum
    double scale;                   // then multiply them by this
    size_t stride;                  // logits of row m begin at m * stride; 0 is E
} martlet_router_shape;

/// Which of the K experts of each of M rows a mask leaves live (BEAM 2026): those whose mask logit,
/// with `bias` added, is at least `threshold`.
typedef struct {
    size_t rows, experts, choices;  // M, E, K
    size_t stride;                  // mask logits of row m [E] begin at m * stride
    double bias, threshold;
    int squares;                    // the regulariser is of squared soft masks (L2, not L1)
} martlet_mask_shape;

/// What a mask leaves of the rows that count.
typedef struct {
    double soft;                    // sum over slots of the soft mask, or of its square
    size_t rows, live, empty;       // rows that count, their live slots, those without any
    size_t invalid;                 // slots of any row whose mask logit is NaN; none is live
} martlet_mask_report;

/// E SwiGLU experts of widths D and F, anywhere in one flat parameter vector: expert e's gate
/// projection [F,D] begins at element gate[e] of that vector, its up projection [F,D] at up[e], its
/// down projection [D,F] at down[e]. A gradient vector has the same places. E = 1 is a dense MLP.
typedef struct {
    size_t experts, width, hidden;  // E, D, F
    const size_t *gate, *up, *down; // [E] each
} martlet_experts_shape;

/// Which rows the experts have. Row r is slot slot_of_row[r] of the M tokens' K slots each; rows
/// offsets[e] ..< offsets[e+1] belong to expert e (martlet_dispatch). Without slot_of_row row r is
/// token r, whose one slot has the weight 1: a dense MLP, or an expert that sees every token.
typedef struct {
    size_t tokens, choices;        // M, K
    const int32_t *offsets;        // [E+1]
    const int32_t *slot_of_row;    // [R], or NULL
    const int32_t *row_of_slot;    // [M,K], -1 if skipped; NULL without slot_of_row
} martlet_routing;

/// A sum of cross-entropies in nats over `count` targets that were not ignored.
typedef struct {
    double sum;
    size_t count;
} martlet_loss;

// ---- Operations on indices and counts -------------------------------------------------------

/// Groups the slots (token, choice) by expert, stable in slot order (counting sort).
/// experts [M,K]: the expert of each slot, or -1 for a slot that is skipped.
/// offsets [E+1]: rows offsets[e] ..< offsets[e+1] belong to expert e; R = offsets[E].
/// row_of_slot [M,K]: the slot's row, -1 if skipped. slot_of_row [M*K], the first R are written.
void martlet_dispatch(size_t M, size_t K, size_t E, const int32_t *experts, int32_t *offsets,
                      int32_t *row_of_slot, int32_t *slot_of_row);

/// Load-balancing loss of Switch Transformer (Fedus et al. 2021, eq. 4-6), Hugging Face's way for
/// Qwen3-MoE, over all L layers' tokens as one set of N = L * M: E * sum_e (counts[e] / N) *
/// (sums[e] / N), both summed over layers first. A token counts once for each of its K choices.
/// counts [L,E], probability_sums [L,E] as the router gives them. Returns the loss without factor.
/// dprobability [E]: factor * dloss / dprobability of any token in any layer, for router_backward
/// (counts are constants); may be NULL.
double martlet_load_balancing(size_t L, size_t M, size_t E, const int32_t *counts,
                              const double *probability_sums, double factor,
                              double *dprobability);

/// Number of targets [M] that are not ignored (>= 0).
size_t martlet_count_targets(size_t M, const int32_t *targets);

/// The upper half of an fp32 number.
typedef struct {
    uint16_t bits;
} martlet_bf16;

/// y [n] = x [n], each rounded to nearest, ties to even; NaN stays NaN. On all threads.
void martlet_round_to_bf16(size_t n, const float *x, martlet_bf16 *y);

// ---- The typed operations -------------------------------------------------------------------

#define MARTLET_SUM float
#define MARTLET_REAL float
#define MARTLET_OP(name) martlet_##name##_f32
#include "operations.h"
#undef MARTLET_OP

#define MARTLET_REFERENCE
#define MARTLET_OP(name) martlet_##name##_ref_f32
#include "operations.h"
#undef MARTLET_OP
#undef MARTLET_REFERENCE
#undef MARTLET_REAL

#define MARTLET_HALF
#define MARTLET_REAL martlet_bf16
#define MARTLET_OP(name) martlet_##name##_bf16
#include "operations.h"
#undef MARTLET_OP
#undef MARTLET_REAL
#undef MARTLET_HALF
#undef MARTLET_SUM

#define MARTLET_SUM double
#define MARTLET_REAL double
#define MARTLET_REFERENCE
#define MARTLET_OP(name) martlet_##name##_ref_f64
#include "operations.h"
#undef MARTLET_OP
#undef MARTLET_REFERENCE
#undef MARTLET_REAL
#undef MARTLET_SUM
