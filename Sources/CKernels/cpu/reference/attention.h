// Reference: causal grouped-query attention. Included by reference.c for each REAL.

static REAL PRIVATE(dot)(size_t n, const REAL *a, const REAL *b) {
    REAL sum = 0;
    for (size_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

// One query [C] over the first n keys and values of its head, whose rows are G heads apart; returns
// the logsumexp of its scores. Scores are recomputed for the second pass, so no scratch row is
// needed.
static REAL PRIVATE(attend)(const martlet_attention_shape *s, size_t n, const REAL *q,
                            const REAL *k, const REAL *v, REAL *out) {
    const size_t C = s->head_width, W = s->value_width, G = s->kv_heads;
    const REAL scale = (REAL)s->scale;
    REAL largest = -(REAL)INFINITY, sum = 0;
    for (size_t j = 0; j < n; j++) {
        const REAL score = scale * PRIVATE(dot)(C, q, k + j * G * C);
        largest = score > largest ? score : largest;
    }
    for (size_t c = 0; c < W; c++) out[c] = 0;
    for (size_t j = 0; j < n; j++) {
        const REAL score = scale * PRIVATE(dot)(C, q, k + j * G * C);
        const REAL p = (REAL)exp((double)(score - largest));
        sum += p;
        for (size_t c = 0; c < W; c++) out[c] += p * v[j * G * W + c];
    }
    for (size_t c = 0; c < W; c++) out[c] /= sum;
    return largest + (REAL)log((double)sum);
}

void OP(attention)(martlet_attention_shape s, const REAL *q, const REAL *k, const REAL *v,
                   REAL *out, REAL *logsumexp) {
    const size_t T = s.tokens, H = s.heads, C = s.head_width, W = s.value_width;
    for (size_t b = 0; b < s.batch; b++)
        for (size_t h = 0; h < H; h++)
            for (size_t t = 0; t < T; t++) {
                const size_t query = (b * T + t) * H + h;
                const size_t key = b * T * s.kv_heads + h / (H / s.kv_heads);
                logsumexp[(b * H + h) * T + t] = PRIVATE(attend)(
                    &s, t + 1, q + query * C, k + key * C, v + key * W, out + query * W);
            }
}

// With p = softmax(scores), dp = dout . v: dscore = p (dp - sum p dp), and sum p dp = dout . out.
void OP(attention_backward)(martlet_attention_shape s, const REAL *q, const REAL *k,
                            const REAL *v, const REAL *out, const REAL *logsumexp,
                            const REAL *dout, REAL *dq, REAL *dk, REAL *dv) {
    const size_t T = s.tokens, H = s.heads, C = s.head_width, W = s.value_width;
    const size_t keys = s.batch * T * s.kv_heads;
    const REAL scale = (REAL)s.scale;
    for (size_t i = 0; i < keys * C; i++) dk[i] = 0;
    for (size_t i = 0; i < keys * W; i++) dv[i] = 0;
    for (size_t i = 0; i < s.batch * T * H * C; i++) dq[i] = 0;
    for (size_t b = 0; b < s.batch; b++)
        for (size_t h = 0; h < H; h++)
            for (size_t t = 0; t < T; t++) {
                const size_t row = (b * T + t) * H + h, query = row * C, from = row * W;
                const REAL total = PRIVATE(dot)(W, dout + from, out + from);
                for (size_t j = 0; j <= t; j++) {
                    const size_t head = (b * T + j) * s.kv_heads + h / (H / s.kv_heads);
                    const size_t key = head * C, value = head * W;
                    const REAL score = scale * PRIVATE(dot)(C, q + query, k + key);
                    const REAL p = (REAL)exp((double)(score - logsumexp[(b * H + h) * T + t]));
                    const REAL dp = PRIVATE(dot)(W, dout + from, v + value);
                    const REAL dscore = scale * p * (dp - total);
                    for (size_t c = 0; c < W; c++) dv[value + c] += p * dout[from + c];
                    for (size_t c = 0; c < C; c++) {
                        dk[key + c] += dscore * q[query + c];
                        dq[query + c] += dscore * k[key + c];
                    }
                }
            }
}

void OP(attention_cached)(martlet_attention_shape s, size_t capacity, const int32_t *lengths,
                          const REAL *q, const REAL *k, const REAL *v, REAL *out) {
    const size_t T = s.tokens, H = s.heads, C = s.head_width, W = s.value_width;
    for (size_t b = 0; b < s.batch; b++)
        for (size_t h = 0; h < H; h++)
            for (size_t t = 0; t < T; t++) {
                const size_t query = (b * T + t) * H + h;
                const size_t key = b * capacity * s.kv_heads + h / (H / s.kv_heads);
                const size_t visible = (size_t)lengths[b] - T + t + 1;
                PRIVATE(attend)(&s, visible, q + query * C, k + key * C, v + key * W,
                                out + query * W);
            }
}

void OP(latent_heads)(size_t M, size_t H, size_t N, size_t R, size_t W, const REAL *kv,
                      const REAL *rotated, REAL *k, REAL *v) {
    for (size_t i = 0; i < M * H; i++, kv += N + W, k += N + R, v += W) {
        for (size_t c = 0; c < N; c++) k[c] = kv[c];
        for (size_t c = 0; c < R; c++) k[N + c] = rotated[i / H * R + c];
        for (size_t c = 0; c < W; c++) v[c] = kv[N + c];
    }
}

void OP(latent_heads_backward)(size_t M, size_t H, size_t N, size_t R, size_t W, const REAL *dk,
                               const REAL *dv, REAL *dkv, REAL *drotated) {
    for (size_t i = 0; i < M * R; i++) drotated[i] = 0;
    for (size_t i = 0; i < M * H; i++, dkv += N + W, dk += N + R, dv += W) {
        for (size_t c = 0; c < N; c++) dkv[c] = dk[c];
        for (size_t c = 0; c < R; c++) drotated[i / H * R + c] += dk[N + c];
        for (size_t c = 0; c < W; c++) dkv[N + c] = dv[c];
    }
}
