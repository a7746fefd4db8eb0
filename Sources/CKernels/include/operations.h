// The typed operations of kernels.h (legend and rules there): MARTLET_OP(linear) stands for
// martlet_linear_f32, martlet_linear_ref_f32 and martlet_linear_ref_f64 in turn, MARTLET_REAL for
// float or double. Read for reference, included by kernels.h only; on its own it declares nothing.
#ifdef MARTLET_OP

// ---- Embedding ------------------------------------------------------------------------------

/// y [M,D] = rows tokens [M] of w [V,D]; 0 <= tokens < V.
void MARTLET_OP(embedding)(size_t M, size_t V, size_t D, const int32_t *tokens,
                           const MARTLET_REAL *w, MARTLET_REAL *y);
/// dw [V,D] += dy [M,D] scattered by tokens [M], rows added in the order of tokens.
void MARTLET_OP(embedding_backward)(size_t M, size_t V, size_t D, const int32_t *tokens,
                                    const MARTLET_REAL *dy, MARTLET_REAL *dw);

// ---- Linear ---------------------------------------------------------------------------------

/// y [M,O] = x [M,I] w^T [I,O] + bias [O]; w is [O,I]; bias may be NULL.
void MARTLET_OP(linear)(size_t M, size_t I, size_t O, const MARTLET_REAL *x,
                        const MARTLET_REAL *w, const MARTLET_REAL *bias, MARTLET_REAL *y);
/// dx [M,I] = dy [M,O] w, dw [O,I] += dy^T x, dbias [O] += column sums of dy. Each of dx, dw and
/// dbias may be NULL and is then not computed; x is read for dw only, w for dx only.
void MARTLET_OP(linear_backward)(size_t M, size_t I, size_t O, const MARTLET_REAL *x,
                                 const MARTLET_REAL *w, const MARTLET_REAL *dy, int accumulate,
                                 MARTLET_REAL *dx, MARTLET_REAL *dw, MARTLET_REAL *dbias);

// ---- RMSNorm (Zhang and Sennrich 2019) ------------------------------------------------------

/// y [M,D] = w [D] * x * rstd, rstd [M] = 1 / sqrt(mean(x^2) + epsilon) is kept for backward.
/// For QK-norm call it with M = B*T*H and D = C.
void MARTLET_OP(rmsnorm)(size_t M, size_t D, double epsilon, const MARTLET_REAL *x,
                         const MARTLET_REAL *w, MARTLET_REAL *y, MARTLET_REAL *rstd);
/// dx [M,D] (written or added to; may be dy itself), dw [D] added to.
void MARTLET_OP(rmsnorm_backward)(size_t M, size_t D, const MARTLET_REAL *x,
                                  const MARTLET_REAL *w, const MARTLET_REAL *rstd,
                                  const MARTLET_REAL *dy, int accumulate, MARTLET_REAL *dx,
                                  MARTLET_REAL *dw);

// ---- Rotary position embedding (Su et al. 2021) ---------------------------------------------

/// In place on x [B,T,H,stride], of which the first R channels turn: with a, b the two channels of
/// a pair, a' = a cos - b sin, b' = b cos + a sin. cosine, sine [T,R/2]: row t is the angle of x's
/// t-th token (pass a later row to decode).
void MARTLET_OP(rope)(martlet_rope_shape shape, const MARTLET_REAL *cosine,
                      const MARTLET_REAL *sine, MARTLET_REAL *x);
/// The transposed rotation, in place on dx.
void MARTLET_OP(rope_backward)(martlet_rope_shape shape, const MARTLET_REAL *cosine,
                               const MARTLET_REAL *sine, MARTLET_REAL *dx);

// ---- Causal grouped-query attention ---------------------------------------------------------

/// out [B,T,H,W] = softmax(scale q k^T + causal mask) v; q [B,T,H,C], k [B,T,G,C], v [B,T,G,W].
/// logsumexp [B,H,T] of the masked, scaled scores is kept for backward.
void MARTLET_OP(attention)(martlet_attention_shape shape, const MARTLET_REAL *q,
                           const MARTLET_REAL *k, const MARTLET_REAL *v, MARTLET_REAL *out,
                           MARTLET_REAL *logsumexp);
/// dq [B,T,H,C], dk [B,T,G,C] and dv [B,T,G,W] are written.
void MARTLET_OP(attention_backward)(martlet_attention_shape shape, const MARTLET_REAL *q,
                                    const MARTLET_REAL *k, const MARTLET_REAL *v,
                                    const MARTLET_REAL *out, const MARTLET_REAL *logsumexp,
                                    const MARTLET_REAL *dout, MARTLET_REAL *dq,
                                    MARTLET_REAL *dk, MARTLET_REAL *dv);
/// Attention of new queries over a cache, forward only, same bits as `attention` on the whole
/// sequence. q, out as above where T = shape.tokens new tokens; k, v [B,capacity,G,C or W] already
/// hold them; lengths [B]: valid keys of each sequence, the new ones included (T <= length <=
/// capacity).
/// Query t sees keys 0 ... length - T + t.
void MARTLET_OP(attention_cached)(martlet_attention_shape shape, size_t capacity,
                                  const int32_t *lengths, const MARTLET_REAL *q,
                                  const MARTLET_REAL *k, const MARTLET_REAL *v,
                                  MARTLET_REAL *out);

/// Keys and values of multi-head latent attention (DeepSeek-V2 2024, section 2.1.2) from what the
/// latent expands to, kv [M,H,N+W], and the rotated part that all heads share [M,R]: each head of
/// k [M,H,N+R] is its N channels of kv and then the shared part, each head of v [M,H,W] the rest.
void MARTLET_OP(latent_heads)(size_t M, size_t H, size_t N, size_t R, size_t W,
                              const MARTLET_REAL *kv, const MARTLET_REAL *rotated,
                              MARTLET_REAL *k, MARTLET_REAL *v);
/// dkv [M,H,N+W] and drotated [M,R], which sums over heads, ascending, are written.
void MARTLET_OP(latent_heads_backward)(size_t M, size_t H, size_t N, size_t R, size_t W,
                                       const MARTLET_REAL *dk, const MARTLET_REAL *dv,
                                       MARTLET_REAL *dkv, MARTLET_REAL *drotated);

// ---- Router ---------------------------------------------------------------------------------

/// probabilities [M,E] = softmax of logits [M,E]; experts [M,K]: the K largest of those that can be
/// chosen, largest first, ties to the lowest index; weights [M,K]: their probabilities, divided by
/// their sum if the shape says so, times its scale. counts [E]: slots that chose each expert;
/// probability_sums [E]: column sums of probabilities. K <= E.
void MARTLET_OP(router)(martlet_router_shape shape, const MARTLET_REAL *logits,
                        MARTLET_REAL *probabilities, int32_t *experts, MARTLET_REAL *weights,
                        int32_t *counts, double *probability_sums);
/// dlogits [M,E] from dweights [M,K] and, if not NULL, dprobability [E], which is added to the
/// gradient of every token's probabilities (see martlet_load_balancing).
void MARTLET_OP(router_backward)(martlet_router_shape shape, const MARTLET_REAL *probabilities,
                                 const int32_t *experts, const MARTLET_REAL *weights,
                                 const MARTLET_REAL *dweights, const double *dprobability,
                                 MARTLET_REAL *dlogits);

// ---- Gather to experts and combine (indices from martlet_dispatch) --------------------------

/// rows [R,D]: rows[r] = x[slot_of_row[r] / K]; x [M,D], slot_of_row [R].
void MARTLET_OP(gather)(size_t R, size_t K, size_t D, const int32_t *slot_of_row,
                        const MARTLET_REAL *x, MARTLET_REAL *rows);
/// dx [M,D] = sum over k, ascending, of drows[row_of_slot[m,k]]; skipped slots add nothing.
void MARTLET_OP(gather_backward)(size_t M, size_t K, size_t D, const int32_t *row_of_slot,
                                 const MARTLET_REAL *drows, int accumulate, MARTLET_REAL *dx);
/// out [M,D] = sum over k, ascending, of weights[m,k] * rows[row_of_slot[m,k]].
void MARTLET_OP(combine)(size_t M, size_t K, size_t D, const int32_t *row_of_slot,
                         const MARTLET_REAL *weights, const MARTLET_REAL *rows,
                         MARTLET_REAL *out);
/// dweights [M,K] (0 for skipped slots) and drows [R,D] from dout [M,D].
void MARTLET_OP(combine_backward)(size_t M, size_t K, size_t D, const int32_t *row_of_slot,
                                  const MARTLET_REAL *weights, const MARTLET_REAL *rows,
                                  const MARTLET_REAL *dout, MARTLET_REAL *dweights,
                                  MARTLET_REAL *drows);

// ---- Experts --------------------------------------------------------------------------------

/// For each expert e, on its rows offsets[e] ..< offsets[e+1] of x [R,D]: gate = x Wg^T,
/// up = x Wu^T, hidden = silu(gate) * up, y = hidden Wd^T. offsets [E+1], offsets[0] = 0; an expert
/// without rows is normal. gate, up, hidden [R,F] are kept for backward; y [R,D].
void MARTLET_OP(experts)(martlet_experts_shape shape, const int32_t *offsets,
                         const MARTLET_REAL *parameters, const MARTLET_REAL *x,
                         MARTLET_REAL *gate, MARTLET_REAL *up, MARTLET_REAL *hidden,
                         MARTLET_REAL *y);
/// dx [R,D] is written; dparameters has the places of `parameters` and is added to. gate and up are
/// turned in place into their own gradients; hidden is read only.
void MARTLET_OP(experts_backward)(martlet_experts_shape shape, const int32_t *offsets,
                                  const MARTLET_REAL *parameters, const MARTLET_REAL *x,
                                  MARTLET_REAL *gate, MARTLET_REAL *up,
                                  const MARTLET_REAL *hidden, const MARTLET_REAL *dy,
                                  MARTLET_REAL *dx, MARTLET_REAL *dparameters);

/// hidden [n] = silu(gate [n]) * up [n].
void MARTLET_OP(swiglu)(size_t n, const MARTLET_REAL *gate, const MARTLET_REAL *up,
                        MARTLET_REAL *hidden);
/// dgate [n], dup [n] from dhidden [n]; dgate may be gate, dup may be up.
void MARTLET_OP(swiglu_backward)(size_t n, const MARTLET_REAL *gate, const MARTLET_REAL *up,
                                 const MARTLET_REAL *dhidden, MARTLET_REAL *dgate,
                                 MARTLET_REAL *dup);

/// Shared expert of Qwen2-MoE: out [M,D] += sigmoid(x [M,D] . w [D]) * shared [M,D]. sigmoid [M] is
/// kept for backward.
void MARTLET_OP(shared_expert)(size_t M, size_t D, const MARTLET_REAL *x, const MARTLET_REAL *w,
                               const MARTLET_REAL *shared, MARTLET_REAL *sigmoid,
                               MARTLET_REAL *out);
/// dx [M,D] is written or added to; dw [D] is added to; dshared [M,D] is written.
void MARTLET_OP(shared_expert_backward)(size_t M, size_t D, const MARTLET_REAL *x,
                                        const MARTLET_REAL *w, const MARTLET_REAL *shared,
                                        const MARTLET_REAL *sigmoid, const MARTLET_REAL *dout,
                                        int accumulate, MARTLET_REAL *dx, MARTLET_REAL *dw,
                                        MARTLET_REAL *dshared);

// ---- Elementwise ----------------------------------------------------------------------------

/// y [n] = a [n] + b [n]; y may be a or b. Its backward is the identity for both.
void MARTLET_OP(add)(size_t n, const MARTLET_REAL *a, const MARTLET_REAL *b, MARTLET_REAL *y);
/// y [n] = factor * x [n]; y may be x. Its backward is itself.
void MARTLET_OP(scale)(size_t n, double factor, const MARTLET_REAL *x, MARTLET_REAL *y);

// ---- Loss and rows of logits ----------------------------------------------------------------

/// Cross-entropy of logits [M,V] with targets [M]; a negative target is ignored. Summed in fp64 in
/// row order.
martlet_loss MARTLET_OP(cross_entropy)(size_t M, size_t V, const int32_t *targets,
                                       const MARTLET_REAL *logits);
/// The same loss, and logits turned in place into factor * dsum/dlogits (factor = 1 / count for the
/// mean, see martlet_count_targets); rows of ignored targets become 0.
martlet_loss MARTLET_OP(cross_entropy_backward)(size_t M, size_t V, const int32_t *targets,
                                                double factor, MARTLET_REAL *logits);
/// y [M,V] = log softmax of each row of x [M,V]; y may be x.
void MARTLET_OP(log_softmax)(size_t M, size_t V, const MARTLET_REAL *x, MARTLET_REAL *y);
/// index [M]: where each row of x [M,V] is largest, ties to the lowest index, NaN never (0 if all
/// are NaN). V >= 1.
void MARTLET_OP(argmax)(size_t M, size_t V, const MARTLET_REAL *x, int32_t *index);

#endif
