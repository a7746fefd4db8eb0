// The typed operations of kernels.h (legend and rules there): MARTLET_OP(linear) stands for
// martlet_linear_f32, martlet_linear_bf16, martlet_linear_ref_f32 and martlet_linear_ref_f64 in
// turn. MARTLET_REAL is what activations and weights are made of: float, martlet_bf16 or double;
// MARTLET_SUM what is summed or must not lose precision: float or double. Read for reference,
// included by kernels.h only; on its own it declares nothing.
#ifdef MARTLET_OP

// ---- Embedding ------------------------------------------------------------------------------

/// y [M,D] = rows tokens [M] of w [V,D]; 0 <= tokens < V.
void MARTLET_OP(embedding)(size_t M, size_t V, size_t D, const int32_t *tokens,
                           const MARTLET_REAL *w, MARTLET_REAL *y);
/// dw [V,D] += dy [M,D] scattered by tokens [M], rows added in the order of tokens.
void MARTLET_OP(embedding_backward)(size_t M, size_t V, size_t D, const int32_t *tokens,
                                    const MARTLET_REAL *dy, MARTLET_SUM *dw);

// ---- Linear ---------------------------------------------------------------------------------

/// y [M,O] = x [M,I] w^T [I,O] + bias [O]; w is [O,I]; bias may be NULL.
void MARTLET_OP(linear)(size_t M, size_t I, size_t O, const MARTLET_REAL *x,
                        const MARTLET_REAL *w, const MARTLET_REAL *bias, MARTLET_REAL *y);
/// dx [M,I] = dy [M,O] w, dw [O,I] += dy^T x, dbias [O] += column sums of dy. Each of dx, dw and
/// dbias may be NULL and is then not computed; x is read for dw only, w for dx only.
void MARTLET_OP(linear_backward)(size_t M, size_t I, size_t O, const MARTLET_REAL *x,
                                 const MARTLET_REAL *w, const MARTLET_REAL *dy, int accumulate,
                                 MARTLET_REAL *dx, MARTLET_SUM *dw, MARTLET_SUM *dbias);

// ---- RMSNorm (Zhang and Sennrich 2019) ------------------------------------------------------

/// y [M,D] = w [D] * x * rstd, rstd [M] = 1 / sqrt(mean(x^2) + epsilon) is kept for backward.
/// For QK-norm call it with M = B*T*H and D = C.
void MARTLET_OP(rmsnorm)(size_t M, size_t D, double epsilon, const MARTLET_REAL *x,
                         const MARTLET_REAL *w, MARTLET_REAL *y, MARTLET_SUM *rstd);
/// dx [M,D] (written or added to; may be dy itself), dw [D] added to.
void MARTLET_OP(rmsnorm_backward)(size_t M, size_t D, const MARTLET_REAL *x,
                                  const MARTLET_REAL *w, const MARTLET_SUM *rstd,
                                  const MARTLET_REAL *dy, int accumulate, MARTLET_REAL *dx,
                                  MARTLET_SUM *dw);

// ---- Rotary position embedding (Su et al. 2021) ---------------------------------------------

/// In place on x [B,T,H,stride], of which the first R channels turn: with a, b the two channels of
/// a pair, a' = a cos - b sin, b' = b cos + a sin. cosine, sine [T,R/2]: row t is the angle of x's
/// t-th token (pass a later row to decode).
void MARTLET_OP(rope)(martlet_rope_shape shape, const MARTLET_SUM *cosine,
                      const MARTLET_SUM *sine, MARTLET_REAL *x);
/// The transposed rotation, in place on dx.
void MARTLET_OP(rope_backward)(martlet_rope_shape shape, const MARTLET_SUM *cosine,
                               const MARTLET_SUM *sine, MARTLET_REAL *dx);

// ---- Causal grouped-query attention ---------------------------------------------------------

/// out [B,T,H,W] = softmax(scale q k^T + causal mask) v; q [B,T,H,C], k [B,T,G,C], v [B,T,G,W].
/// logsumexp [B,H,T] of the masked, scaled scores is kept for backward.
void MARTLET_OP(attention)(martlet_attention_shape shape, const MARTLET_REAL *q,
                           const MARTLET_REAL *k, const MARTLET_REAL *v, MARTLET_REAL *out,
                           MARTLET_SUM *logsumexp);
/// dq [B,T,H,C], dk [B,T,G,C] and dv [B,T,G,W] are written.
void MARTLET_OP(attention_backward)(martlet_attention_shape shape, const MARTLET_REAL *q,
                                    const MARTLET_REAL *k, const MARTLET_REAL *v,
                                    const MARTLET_REAL *out, const MARTLET_SUM *logsumexp,
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

#ifndef MARTLET_HALF
// ---- Router ---------------------------------------------------------------------------------

/// probabilities [M,E] = softmax of logits [M,E]; experts [M,K]: the K largest of those that can be
/// chosen, largest first, ties to the lowest index; weights [M,K]: their probabilities, divided by
/// their sum if the shape says so, times its scale. counts [E]: slots that chose each expert;
/// probability_sums [E]: column sums of probabilities. K <= E.
void MARTLET_OP(router)(martlet_router_shape shape, const MARTLET_SUM *logits,
                        MARTLET_SUM *probabilities, int32_t *experts, MARTLET_SUM *weights,
                        int32_t *counts, double *probability_sums);
/// dlogits [M,E] from dweights [M,K] and, if not NULL, dprobability [E], which is added to the
/// gradient of every token's probabilities (see martlet_load_balancing).
void MARTLET_OP(router_backward)(martlet_router_shape shape, const MARTLET_SUM *probabilities,
                                 const int32_t *experts, const MARTLET_SUM *weights,
                                 const MARTLET_SUM *dweights, const double *dprobability,
                                 MARTLET_SUM *dlogits);

// ---- Mask of the router's choices (BEAM 2026, section 3) -------------------------------------

/// soft [M,K] = sigmoid of the mask logits of experts [M,K]; live [M,K] = the expert, or -1 where
/// the mask closes the slot; masked [M,K] = weights [M,K], 0 where closed. Rows whose target [M] is
/// negative do not count for the report; without targets all do.
martlet_mask_report MARTLET_OP(mask)(martlet_mask_shape shape, const MARTLET_SUM *logits,
                                     const int32_t *experts, const MARTLET_SUM *weights,
                                     const int32_t *targets, MARTLET_SUM *soft,
                                     MARTLET_SUM *masked, int32_t *live);
/// Straight through: dlogits [M,E], row m at m * stride, are written as if masked were
/// weights * soft, from dmasked [M,K] and the report's `soft`, whose gradient is dsoft. dweights
/// [M,K] = dmasked, 0 where closed; it may be dmasked itself.
void MARTLET_OP(mask_backward)(martlet_mask_shape shape, const int32_t *experts,
                               const MARTLET_SUM *weights, const int32_t *targets,
                               const MARTLET_SUM *soft, const int32_t *live,
                               const MARTLET_SUM *dmasked, double dsoft,
                               MARTLET_SUM *dweights, MARTLET_SUM *dlogits);
#endif

// ---- Experts --------------------------------------------------------------------------------

/// out [M,D] (written, or added to if `accumulate`) = sum over a token's slots, ascending, of
/// weights [M,K] * expert(x), where expert(x) = hidden Wd^T and hidden = silu(x Wg^T) * (x Wu^T);
/// a slot of weight 0 adds nothing, even if its expert(x) is not finite.
/// x [M,D]. gate, up, hidden [R,F] are kept for backward; rows [R,D] is scratch, not used without
/// slot_of_row. An expert without rows is normal.
void MARTLET_OP(experts)(martlet_experts_shape shape, martlet_routing routing,
                         const MARTLET_REAL *parameters, const MARTLET_REAL *x,
                         const MARTLET_SUM *weights, MARTLET_REAL *gate, MARTLET_REAL *up,
                         MARTLET_REAL *hidden, MARTLET_REAL *rows, int accumulate,
                         MARTLET_REAL *out);
/// dx [M,D] is written, or added to if `accumulate`; dweights [M,K] is written, 0 for skipped slots
/// (not touched without slot_of_row); dparameters has the places of `parameters`, where the
/// experts' gradients are WRITTEN, 0 for an expert without rows: most of a model is experts, and so
/// need not be cleared.
/// gate and up are turned in place into their own gradients, hidden into weights * hidden.
void MARTLET_OP(experts_backward)(martlet_experts_shape shape, martlet_routing routing,
                                  const MARTLET_REAL *parameters, const MARTLET_REAL *x,
                                  const MARTLET_SUM *weights, MARTLET_REAL *gate,
                                  MARTLET_REAL *up, MARTLET_REAL *hidden,
                                  const MARTLET_REAL *dout, MARTLET_REAL *rows, int accumulate,
                                  MARTLET_REAL *dx, MARTLET_SUM *dweights,
                                  MARTLET_SUM *dparameters);

/// Shared expert of Qwen2-MoE: out [M,D] += sigmoid(x [M,D] . w [D]) * shared [M,D]. sigmoid [M] is
/// kept for backward.
void MARTLET_OP(shared_expert)(size_t M, size_t D, const MARTLET_REAL *x, const MARTLET_REAL *w,
                               const MARTLET_REAL *shared, MARTLET_SUM *sigmoid,
                               MARTLET_REAL *out);
/// dx [M,D] is written or added to; dw [D] is added to; dshared [M,D] is written.
void MARTLET_OP(shared_expert_backward)(size_t M, size_t D, const MARTLET_REAL *x,
                                        const MARTLET_REAL *w, const MARTLET_REAL *shared,
                                        const MARTLET_SUM *sigmoid, const MARTLET_REAL *dout,
                                        int accumulate, MARTLET_REAL *dx, MARTLET_SUM *dw,
                                        MARTLET_REAL *dshared);

// ---- Elementwise ----------------------------------------------------------------------------

/// y [n] = a [n] + b [n]; y may be a or b. Its backward is the identity for both.
void MARTLET_OP(add)(size_t n, const MARTLET_REAL *a, const MARTLET_REAL *b, MARTLET_REAL *y);

// ---- Head and loss --------------------------------------------------------------------------

/// `linear` without bias, its result not rounded: the router's logits, and the model's.
void MARTLET_OP(linear_wide)(size_t M, size_t I, size_t O, const MARTLET_REAL *x,
                             const MARTLET_REAL *w, MARTLET_SUM *y);
/// Its backward: as linear_backward, both gradients wanted.
void MARTLET_OP(linear_wide_backward)(size_t M, size_t I, size_t O, const MARTLET_REAL *x,
                                      const MARTLET_REAL *w, const MARTLET_SUM *dy,
                                      int accumulate, MARTLET_REAL *dx, MARTLET_SUM *dw);
/// Cross-entropy of logits x [M,D] w^T [D,V] with targets [M]; a negative target is ignored. Summed
/// in fp64 in row order. No more than a chunk of logits is in memory at a time. Unless dx is NULL,
/// dx [M,D] is written and dw [V,D] added to, as gradients of factor * the sum (factor = 1 / count
/// for the mean, see martlet_count_targets).
martlet_loss MARTLET_OP(head_loss)(size_t M, size_t D, size_t V, const MARTLET_REAL *x,
                                   const MARTLET_REAL *w, const int32_t *targets, double factor,
                                   MARTLET_REAL *dx, MARTLET_SUM *dw);

#ifndef MARTLET_REFERENCE
/// Multiply-adds of products and nothing else, `rounds` on each thread: what a benchmark measures
/// the processor's limit with. Returns how many were done.
double MARTLET_OP(peak)(size_t rounds);
#endif

// ---- Packed weights, for products with few rows ---------------------------------------------

/// packed = w [O,I] in the order in which products read it on the instruction set in use, as many
/// elements. I must be even for bf16.
void MARTLET_OP(pack)(size_t I, size_t O, const MARTLET_REAL *w, MARTLET_REAL *packed);
/// `linear` with a packed w, which must be followed by 64 bytes that may be read.
void MARTLET_OP(linear_packed)(size_t M, size_t I, size_t O, const MARTLET_REAL *x,
                               const MARTLET_REAL *packed, const MARTLET_REAL *bias,
                               MARTLET_REAL *y);
/// `experts` whose gate, up and down projections are packed, each in its own place.
void MARTLET_OP(experts_packed)(martlet_experts_shape shape, martlet_routing routing,
                                const MARTLET_REAL *packed, const MARTLET_REAL *x,
                                const MARTLET_SUM *weights, MARTLET_REAL *gate,
                                MARTLET_REAL *up, MARTLET_REAL *hidden, MARTLET_REAL *rows,
                                int accumulate, MARTLET_REAL *out);

#endif
