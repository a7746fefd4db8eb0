// Reference: SwiGLU experts and the shared expert's gate. Included by reference.c for each REAL.

static REAL PRIVATE(logistic)(REAL x) { return 1 / (1 + (REAL)exp(-(double)x)); }

void OP(swiglu)(size_t n, const REAL *gate, const REAL *up, REAL *hidden) {
    for (size_t i = 0; i < n; i++) hidden[i] = gate[i] * PRIVATE(logistic)(gate[i]) * up[i];
}

void OP(swiglu_backward)(size_t n, const REAL *gate, const REAL *up, const REAL *dhidden,
                         REAL *dgate, REAL *dup) {
    for (size_t i = 0; i < n; i++) {
        const REAL g = gate[i], u = up[i], s = PRIVATE(logistic)(g);
        dgate[i] = dhidden[i] * u * s * (1 + g * (1 - s));
        dup[i] = dhidden[i] * g * s;
    }
}

void OP(experts)(martlet_experts_shape s, const int32_t *offsets, const REAL *parameters,
                 const REAL *x, REAL *gate, REAL *up, REAL *hidden, REAL *y) {
    const size_t D = s.width, F = s.hidden;
    for (size_t e = 0; e < s.experts; e++) {
        const size_t first = (size_t)offsets[e], rows = (size_t)offsets[e + 1] - first;
        const size_t f = first * F;
        OP(linear)(rows, D, F, x + first * D, parameters + s.gate[e], NULL, gate + f);
        OP(linear)(rows, D, F, x + first * D, parameters + s.up[e], NULL, up + f);
        OP(swiglu)(rows * F, gate + f, up + f, hidden + f);
        OP(linear)(rows, F, D, hidden + f, parameters + s.down[e], NULL, y + first * D);
    }
}

// One row's gate and up [F] become their gradients; dhidden lives for one element at a time.
static void PRIVATE(hidden_gradient)(size_t D, size_t F, const REAL *down, const REAL *dy,
                                     REAL *gate, REAL *up) {
    for (size_t f = 0; f < F; f++) {
        REAL dhidden = 0;
        for (size_t d = 0; d < D; d++) dhidden += dy[d] * down[d * F + f];
        OP(swiglu_backward)(1, gate + f, up + f, &dhidden, gate + f, up + f);
    }
}

void OP(experts_backward)(martlet_experts_shape s, const int32_t *offsets,
                          const REAL *parameters, const REAL *x, REAL *gate, REAL *up,
                          const REAL *hidden, const REAL *dy, REAL *dx, REAL *dparameters) {
    const size_t D = s.width, F = s.hidden;
    for (size_t e = 0; e < s.experts; e++) {
        const size_t first = (size_t)offsets[e], end = (size_t)offsets[e + 1];
        const size_t rows = end - first, d = first * D, f = first * F;
        OP(linear_backward)(rows, F, D, hidden + f, NULL, dy + d, 0, NULL,
                            dparameters + s.down[e], NULL);
        for (size_t r = first; r < end; r++)
            PRIVATE(hidden_gradient)(D, F, parameters + s.down[e], dy + r * D, gate + r * F,
                                     up + r * F);
        OP(linear_backward)(rows, D, F, x + d, parameters + s.gate[e], gate + f, 0, dx + d,
                            dparameters + s.gate[e], NULL);
        OP(linear_backward)(rows, D, F, x + d, parameters + s.up[e], up + f, 1, dx + d,
                            dparameters + s.up[e], NULL);
    }
}

void OP(shared_expert)(size_t M, size_t D, const REAL *x, const REAL *w, const REAL *shared,
                       REAL *sigmoid, REAL *out) {
    for (size_t m = 0; m < M; m++, x += D, shared += D, out += D) {
        sigmoid[m] = PRIVATE(logistic)(PRIVATE(dot)(D, x, w));
        for (size_t d = 0; d < D; d++) out[d] += sigmoid[m] * shared[d];
    }
}

void OP(shared_expert_backward)(size_t M, size_t D, const REAL *x, const REAL *w,
                                const REAL *shared, const REAL *sigmoid, const REAL *dout,
                                int accumulate, REAL *dx, REAL *dw, REAL *dshared) {
    for (size_t m = 0; m < M; m++, x += D, shared += D, dout += D, dx += D, dshared += D) {
        const REAL s = sigmoid[m];
        const REAL dlogit = PRIVATE(dot)(D, dout, shared) * s * (1 - s);
        for (size_t d = 0; d < D; d++) {
            dshared[d] = s * dout[d];
            dw[d] += dlogit * x[d];
            dx[d] = accumulate ? dx[d] + dlogit * w[d] : dlogit * w[d];
        }
    }
}
