// Reference: RMSNorm and rotary position embedding. Included by reference.c for each REAL.

void OP(rmsnorm)(size_t M, size_t D, double epsilon, const REAL *x, const REAL *w, REAL *y,
                 REAL *rstd) {
    for (size_t m = 0; m < M; m++, x += D, y += D) {
        REAL squares = 0;
        for (size_t d = 0; d < D; d++) squares += x[d] * x[d];
        rstd[m] = 1 / (REAL)sqrt((double)(squares / (REAL)D + (REAL)epsilon));
        for (size_t d = 0; d < D; d++) y[d] = w[d] * (x[d] * rstd[m]);
    }
}

void OP(rmsnorm_backward)(size_t M, size_t D, const REAL *x, const REAL *w, const REAL *rstd,
                          const REAL *dy, int accumulate, REAL *dx, REAL *dw) {
    for (size_t m = 0; m < M; m++, x += D, dy += D, dx += D) {
        const REAL r = rstd[m];
        REAL dot = 0;
        for (size_t d = 0; d < D; d++) dot += dy[d] * w[d] * x[d];
        for (size_t d = 0; d < D; d++) {
            const REAL g = r * (dy[d] * w[d] - x[d] * r * r * dot / (REAL)D);
            dw[d] += dy[d] * x[d] * r;
            dx[d] = accumulate ? dx[d] + g : g;
        }
    }
}

static void PRIVATE(rotate)(martlet_rope_shape r, const REAL *cosine, const REAL *sine,
                            REAL direction, REAL *x) {
    const size_t half = r.width / 2;
    for (size_t b = 0; b < r.batch; b++)
        for (size_t t = 0; t < r.tokens; t++)
            for (size_t h = 0; h < r.heads; h++, x += r.stride)
                for (size_t i = 0; i < half; i++) {
                    const REAL c = cosine[t * half + i], s = direction * sine[t * half + i];
                    REAL *one = r.interleaved ? x + 2 * i : x + i;
                    REAL *other = r.interleaved ? one + 1 : one + half;
                    const REAL first = *one, second = *other;
                    *one = first * c - second * s;
                    *other = second * c + first * s;
                }
}

void OP(rope)(martlet_rope_shape shape, const REAL *cosine, const REAL *sine, REAL *x) {
    PRIVATE(rotate)(shape, cosine, sine, 1, x);
}

void OP(rope_backward)(martlet_rope_shape shape, const REAL *cosine, const REAL *sine, REAL *dx) {
    PRIVATE(rotate)(shape, cosine, sine, -1, dx);
}
