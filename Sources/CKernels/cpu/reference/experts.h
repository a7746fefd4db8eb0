// Reference: SwiGLU experts and the shared expert's gate. Included by reference.c for each REAL.

static REAL PRIVATE(logistic)(REAL x) { return 1 / (1 + (REAL)exp(-(double)x)); }

static size_t PRIVATE(slot_of)(martlet_routing g, size_t row) {
    return g.slot_of_row ? (size_t)g.slot_of_row[row] : row;
}

void OP(experts)(martlet_experts_shape s, martlet_routing g, const REAL *parameters,
                 const REAL *x, const REAL *weights, REAL *gate, REAL *up, REAL *hidden,
                 REAL *rows, int accumulate, REAL *out) {
    const size_t D = s.width, F = s.hidden, K = g.choices;
    (void)rows;
    for (size_t i = 0; !accumulate && i < g.tokens * D; i++) out[i] = 0;
    for (size_t e = 0; e < s.experts; e++)
        for (size_t r = (size_t)g.offsets[e]; r < (size_t)g.offsets[e + 1]; r++) {
            const REAL *token = x + PRIVATE(slot_of)(g, r) / K * D;
            OP(linear)(1, D, F, token, parameters + s.gate[e], NULL, gate + r * F);
            OP(linear)(1, D, F, token, parameters + s.up[e], NULL, up + r * F);
            for (size_t i = r * F; i < (r + 1) * F; i++)
                hidden[i] = gate[i] * PRIVATE(logistic)(gate[i]) * up[i];
            const size_t slot = PRIVATE(slot_of)(g, r);
            if (g.slot_of_row && weights[slot] == 0) continue;
            for (size_t d = 0; d < D; d++) {
                const REAL y = PRIVATE(dot)(F, hidden + r * F, parameters + s.down[e] + d * F);
                out[slot / K * D + d] += g.slot_of_row ? weights[slot] * y : y;
            }
        }
}

void OP(experts_packed)(martlet_experts_shape s, martlet_routing g, const REAL *packed,
                        const REAL *x, const REAL *weights, REAL *gate, REAL *up, REAL *hidden,
                        REAL *rows, int accumulate, REAL *out) {
    OP(experts)(s, g, packed, x, weights, gate, up, hidden, rows, accumulate, out);
}

// One row: dhidden = dout Wd, then through the slot's weight and SwiGLU. Returns dweight.
static REAL PRIVATE(row_gradient)(size_t D, size_t F, const REAL *down, REAL weight,
                                  const REAL *dout, REAL *gate, REAL *up, REAL *hidden) {
    REAL dweight = 0;
    for (size_t f = 0; f < F; f++) {
        REAL plain = 0;
        for (size_t d = 0; d < D; d++) plain += dout[d] * down[d * F + f];
        dweight += plain * hidden[f];
        const REAL a = gate[f], b = up[f], sigmoid = PRIVATE(logistic)(a);
        gate[f] = weight * plain * b * sigmoid * (1 + a * (1 - sigmoid));
        up[f] = weight * plain * a * sigmoid;
        hidden[f] *= weight;
    }
    return dweight;
}

void OP(experts_backward)(martlet_experts_shape s, martlet_routing g, const REAL *parameters,
                          const REAL *x, const REAL *weights, REAL *gate, REAL *up, REAL *hidden,
                          const REAL *dout, REAL *rows, int accumulate, REAL *dx, REAL *dweights,
                          REAL *dparameters) {
    const size_t D = s.width, F = s.hidden, K = g.choices;
    (void)rows;
    for (size_t i = 0; !accumulate && i < g.tokens * D; i++) dx[i] = 0;
    for (size_t i = 0; g.slot_of_row && i < g.tokens * K; i++) dweights[i] = 0;
    for (size_t e = 0; e < s.experts; e++)
        for (size_t i = 0; i < D * F; i++)
            dparameters[s.gate[e] + i] = dparameters[s.up[e] + i] = dparameters[s.down[e] + i] = 0;
    for (size_t e = 0; e < s.experts; e++)
        for (size_t r = (size_t)g.offsets[e]; r < (size_t)g.offsets[e + 1]; r++) {
            const size_t slot = PRIVATE(slot_of)(g, r), d = slot / K * D, f = r * F;
            const REAL weight = g.slot_of_row ? weights[slot] : 1;
            const REAL dweight = PRIVATE(row_gradient)(D, F, parameters + s.down[e], weight,
                                                       dout + d, gate + f, up + f, hidden + f);
            if (g.slot_of_row) dweights[slot] = dweight;
            OP(linear_backward)(1, F, D, hidden + f, NULL, dout + d, 0, NULL,
                                dparameters + s.down[e], NULL);
            OP(linear_backward)(1, D, F, x + d, parameters + s.gate[e], gate + f, 1, dx + d,
                                dparameters + s.gate[e], NULL);
            OP(linear_backward)(1, D, F, x + d, parameters + s.up[e], up + f, 1, dx + d,
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
