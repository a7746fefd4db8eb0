// Reference: cross-entropy, log-softmax and argmax. Included by reference.c for each REAL.

static REAL PRIVATE(logsumexp)(size_t n, const REAL *x) {
    REAL largest = -(REAL)INFINITY, sum = 0;
    for (size_t i = 0; i < n; i++) largest = x[i] > largest ? x[i] : largest;
    for (size_t i = 0; i < n; i++) sum += (REAL)exp((double)(x[i] - largest));
    return largest + (REAL)log((double)sum);
}

martlet_loss OP(cross_entropy)(size_t M, size_t V, const int32_t *targets, const REAL *logits) {
    martlet_loss loss = {0, 0};
    for (size_t m = 0; m < M; m++) {
        if (targets[m] < 0) continue;
        const REAL *x = logits + m * V;
        loss.sum += (double)PRIVATE(logsumexp)(V, x) - (double)x[targets[m]];
        loss.count++;
    }
    return loss;
}

martlet_loss OP(cross_entropy_backward)(size_t M, size_t V, const int32_t *targets,
                                        double factor, REAL *logits) {
    const martlet_loss loss = OP(cross_entropy)(M, V, targets, logits);
    for (size_t m = 0; m < M; m++) {
        REAL *x = logits + m * V;
        const REAL normaliser = PRIVATE(logsumexp)(V, x);
        for (size_t v = 0; v < V; v++) {
            const REAL p = (REAL)exp((double)(x[v] - normaliser));
            const REAL hit = (int32_t)v == targets[m] ? 1 : 0;
            x[v] = targets[m] < 0 ? 0 : (REAL)factor * (p - hit);
        }
    }
    return loss;
}

void OP(log_softmax)(size_t M, size_t V, const REAL *x, REAL *y) {
    for (size_t m = 0; m < M; m++, x += V, y += V) {
        const REAL normaliser = PRIVATE(logsumexp)(V, x);
        for (size_t v = 0; v < V; v++) y[v] = x[v] - normaliser;
    }
}

void OP(argmax)(size_t M, size_t V, const REAL *x, int32_t *index) {
    for (size_t m = 0; m < M; m++, x += V) {
        size_t best = 0;
        for (size_t v = 1; v < V; v++)
            if (x[v] > x[best] || (x[best] != x[best] && x[v] == x[v])) best = v;
        index[m] = (int32_t)best;
    }
}
