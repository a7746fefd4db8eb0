// Reference: the head's logits and their cross-entropy. Included by reference.c for each REAL.

static REAL PRIVATE(logsumexp)(size_t n, const REAL *x) {
    REAL largest = -(REAL)INFINITY, sum = 0;
    for (size_t i = 0; i < n; i++) largest = x[i] > largest ? x[i] : largest;
    for (size_t i = 0; i < n; i++) sum += (REAL)exp((double)(x[i] - largest));
    return largest + (REAL)log((double)sum);
}

martlet_loss OP(head_loss)(size_t M, size_t D, size_t V, const REAL *x, const REAL *w,
                           const int32_t *targets, double factor, REAL *dx, REAL *dw) {
    martlet_loss loss = {0, 0};
    REAL *logits = calloc(V + 1, sizeof(REAL));
    if (!logits) abort();
    for (size_t m = 0; m < M; m++) {
        for (size_t d = 0; dx && d < D; d++) dx[m * D + d] = 0;
        if (targets[m] < 0) continue;
        OP(linear)(1, D, V, x + m * D, w, NULL, logits);
        const REAL normaliser = PRIVATE(logsumexp)(V, logits);
        loss.sum += (double)normaliser - (double)logits[targets[m]];
        loss.count++;
        for (size_t v = 0; v < V; v++) {
            const REAL p = (REAL)exp((double)(logits[v] - normaliser));
            logits[v] = (REAL)factor * (p - ((int32_t)v == targets[m] ? 1 : 0));
        }
        if (dx) OP(linear_backward)(1, D, V, x + m * D, w, logits, 0, dx + m * D, dw, NULL);
    }
    free(logits);
    return loss;
}
