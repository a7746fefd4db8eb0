// Reference: embedding, linear and elementwise operations. Included by reference.c for each REAL.

void OP(embedding)(size_t M, size_t V, size_t D, const int32_t *tokens, const REAL *w, REAL *y) {
    (void)V;
    for (size_t m = 0; m < M; m++)
        for (size_t d = 0; d < D; d++) y[m * D + d] = w[(size_t)tokens[m] * D + d];
}

void OP(embedding_backward)(size_t M, size_t V, size_t D, const int32_t *tokens, const REAL *dy,
                            REAL *dw) {
    (void)V;
    for (size_t m = 0; m < M; m++)
        for (size_t d = 0; d < D; d++) dw[(size_t)tokens[m] * D + d] += dy[m * D + d];
}

void OP(linear)(size_t M, size_t I, size_t O, const REAL *x, const REAL *w, const REAL *bias,
                REAL *y) {
    for (size_t m = 0; m < M; m++)
        for (size_t o = 0; o < O; o++) {
            REAL sum = 0;
            for (size_t i = 0; i < I; i++) sum += x[m * I + i] * w[o * I + i];
            y[m * O + o] = bias ? sum + bias[o] : sum;
        }
}

void OP(linear_backward)(size_t M, size_t I, size_t O, const REAL *x, const REAL *w,
                         const REAL *dy, int accumulate, REAL *dx, REAL *dw, REAL *dbias) {
    for (size_t m = 0; dx && m < M; m++)
        for (size_t i = 0; i < I; i++) {
            REAL sum = 0;
            for (size_t o = 0; o < O; o++) sum += dy[m * O + o] * w[o * I + i];
            dx[m * I + i] = accumulate ? dx[m * I + i] + sum : sum;
        }
    for (size_t o = 0; dw && o < O; o++)
        for (size_t i = 0; i < I; i++) {
            REAL sum = 0;
            for (size_t m = 0; m < M; m++) sum += dy[m * O + o] * x[m * I + i];
            dw[o * I + i] += sum;
        }
    for (size_t o = 0; dbias && o < O; o++) {
        REAL sum = 0;
        for (size_t m = 0; m < M; m++) sum += dy[m * O + o];
        dbias[o] += sum;
    }
}

void OP(add)(size_t n, const REAL *a, const REAL *b, REAL *y) {
    for (size_t i = 0; i < n; i++) y[i] = a[i] + b[i];
}

void OP(linear_wide)(size_t M, size_t I, size_t O, const REAL *x, const REAL *w, REAL *y) {
    OP(linear)(M, I, O, x, w, NULL, y);
}

void OP(linear_wide_backward)(size_t M, size_t I, size_t O, const REAL *x, const REAL *w,
                              const REAL *dy, int accumulate, REAL *dx, REAL *dw) {
    OP(linear_backward)(M, I, O, x, w, dy, accumulate, dx, dw, NULL);
}

// The reference reads weights as they are: packing changes nothing.
void OP(pack)(size_t I, size_t O, const REAL *w, REAL *packed) {
    memcpy(packed, w, I * O * sizeof(REAL));
}

void OP(linear_packed)(size_t M, size_t I, size_t O, const REAL *x, const REAL *packed,
                       const REAL *bias, REAL *y) {
    OP(linear)(M, I, O, x, packed, bias, y);
}
