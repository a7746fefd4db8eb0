// Reference: causal grouped-query attention. Included by reference.c for each REAL.

static REAL PRIVATE(dot)(size_t n, const REAL *a, const REAL *b) {
    REAL sum = 0;
    for (size_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

// One query [C] over n keys and values whose rows are `stride` apart; returns the logsumexp of its
// scores. Scores are recomputed for the second pass, so no scratch row is needed.
static REAL PRIVATE(attend)(size_t n, size_t C, size_t stride, REAL scale, const REAL *q,
                            const REAL *k, const REAL *v, REAL *out) {
    REAL largest = -(REAL)INFINITY, sum = 0;
    for (size_t j = 0; j < n; j++) {
        const REAL score = scale * PRIVATE(dot)(C, q, k + j * stride);
        largest = score > largest ? score : largest;
    }
    for (size_t c = 0; c < C; c++) out[c] = 0;
    for (size_t j = 0; j < n; j++) {
        const REAL score = scale * PRIVATE(dot)(C, q, k + j * stride);
        const REAL p = (REAL)exp((double)(score - largest));
        sum += p;
        for (size_t c = 0; c < C; c++) out[c] += p * v[j * stride + c];
    }
    for (size_t c = 0; c < C; c++) out[c] /= sum;
    return largest + (REAL)log((double)sum);
}

void OP(attention)(martlet_attention_shape s, const REAL *q, const REAL *k, const REAL *v,
                   REAL *out, REAL *logsumexp) {
    const size_t T = s.tokens, H = s.heads, C = s.head_width, stride = s.kv_heads * C;
    for (size_t b = 0; b < s.batch; b++)
        for (size_t h = 0; h < H; h++)
            for (size_t t = 0; t < T; t++) {
                const size_t query = ((b * T + t) * H + h) * C;
                const size_t key = b * T * stride + h / (H / s.kv_heads) * C;
                logsumexp[(b * H + h) * T + t] = PRIVATE(attend)(
                    t + 1, C, stride, (REAL)s.scale, q + query, k + key, v + key, out + query);
            }
}

// With p = softmax(scores), dp = dout . v: dscore = p (dp - sum p dp), and sum p dp = dout . out.
void OP(attention_backward)(martlet_attention_shape s, const REAL *q, const REAL *k,
                            const REAL *v, const REAL *out, const REAL *logsumexp,
                            const REAL *dout, REAL *dq, REAL *dk, REAL *dv) {
    const size_t T = s.tokens, H = s.heads, C = s.head_width, stride = s.kv_heads * C;
    const REAL scale = (REAL)s.scale;
    for (size_t i = 0; i < s.batch * T * stride; i++) dk[i] = dv[i] = 0;
    for (size_t i = 0; i < s.batch * T * H * C; i++) dq[i] = 0;
    for (size_t b = 0; b < s.batch; b++)
        for (size_t h = 0; h < H; h++)
            for (size_t t = 0; t < T; t++) {
                const size_t query = ((b * T + t) * H + h) * C;
                const REAL total = PRIVATE(dot)(C, dout + query, out + query);
                for (size_t j = 0; j <= t; j++) {
                    const size_t key = (b * T + j) * stride + h / (H / s.kv_heads) * C;
                    const REAL score = scale * PRIVATE(dot)(C, q + query, k + key);
                    const REAL p = (REAL)exp((double)(score - logsumexp[(b * H + h) * T + t]));
                    const REAL dp = PRIVATE(dot)(C, dout + query, v + key);
                    const REAL dscore = scale * p * (dp - total);
                    for (size_t c = 0; c < C; c++) {
                        dv[key + c] += p * dout[query + c];
                        dk[key + c] += dscore * q[query + c];
                        dq[query + c] += dscore * k[key + c];
                    }
                }
            }
}

void OP(attention_cached)(martlet_attention_shape s, size_t capacity, const int32_t *lengths,
                          const REAL *q, const REAL *k, const REAL *v, REAL *out) {
    const size_t T = s.tokens, H = s.heads, C = s.head_width, stride = s.kv_heads * C;
    for (size_t b = 0; b < s.batch; b++)
        for (size_t h = 0; h < H; h++)
            for (size_t t = 0; t < T; t++) {
                const size_t query = ((b * T + t) * H + h) * C;
                const size_t key = b * capacity * stride + h / (H / s.kv_heads) * C;
                const size_t visible = (size_t)lengths[b] - T + t + 1;
                PRIVATE(attend)(visible, C, stride, (REAL)s.scale, q + query, k + key, v + key,
                                out + query);
            }
}
