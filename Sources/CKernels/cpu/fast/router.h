// The router.

typedef struct {
    martlet_router_shape shape;
    size_t M, E, K, stride, rows;  // `rows` of one task
    const float *logits, *probabilities_in, *weights_in, *dweights;
    const int32_t *experts_in;
    const double *dprobability;
    float *probabilities, *weights, *dlogits;
    int32_t *experts;
    double *sums;  // [tasks,E]
} routing;

INLINE size_t logits_stride(const martlet_router_shape *s) {
    return s->stride ? s->stride : s->experts;
}

static float row_dot(size_t n, const float *a, const float *b) {
    vec sum = {0};
    for (size_t i = 0; i < n; i += LANES)
        sum += v_load(a + i, n - i, 0) * v_load(b + i, n - i, 0);
    return v_sum(sum);
}

static void row_softmax(size_t n, const float *x, float *p) {
    const vec largest = v_all(row_largest(n, x));
    vec sum = {0};
    for (size_t i = 0; i < n; i += LANES) {
        const vec e = v_exp(v_load(x + i, n - i, -INFINITY) - largest);
        v_store(p + i, n - i, e);
        sum += e;
    }
    const float total = v_sum(sum);
    for (size_t i = 0; i < n; i += LANES)
        v_store(p + i, n - i, v_load(p + i, n - i, 0) / total);
}

// Index of the largest element that is not `taken` (-1); the first free one if none compares.
static size_t best_free(size_t n, const float *p) {
    const float best = row_largest(n, p);
    size_t free_one = n;
    for (size_t i = 0; i < n; i++) {
        if (p[i] == best && best >= 0) return i;
        if (free_one == n && p[i] != -1.0f) free_one = i;
    }
    return free_one;
}

// Takes every expert outside the groups with the best experts out of free_p [E]. best [groups].
static void close_groups(const martlet_router_shape *s, float *free_p, float *best) {
    const size_t size = s->experts / s->groups;
    for (size_t e = 0; e < s->experts; e++) {
        const float so_far = e % size ? best[e / size] : 0;
        best[e / size] = free_p[e] > so_far ? free_p[e] : so_far;
    }
    for (size_t g = 0; g < s->groups_chosen; g++) best[best_free(s->groups, best)] = -1.0f;
    for (size_t e = 0; e < s->experts; e++)
        if (best[e / size] != -1.0f) free_p[e] = -1.0f;
}

static void route_row(const routing *s, size_t m, float *free_p) {
    const float *p = s->probabilities + m * s->E;
    float *w = s->weights + m * s->K, sum = 0;
    memcpy(free_p, p, s->E * sizeof(float));
    if (s->shape.groups > s->shape.groups_chosen) close_groups(&s->shape, free_p, free_p + s->E);
    for (size_t k = 0; k < s->K; k++) {
        const size_t e = best_free(s->E, free_p);
        free_p[e] = -1.0f;
        s->experts[m * s->K + k] = (int32_t)e;
        w[k] = p[e];
        sum += p[e];
    }
    if (s->shape.renormalize)
        for (size_t k = 0; k < s->K; k++) w[k] /= sum;
    if (s->shape.scale != 1)
        for (size_t k = 0; k < s->K; k++) w[k] *= (float)s->shape.scale;
}

static void router_task(const void *context, size_t index) {
    const routing *s = context;
    const size_t E = s->E, end = smaller(s->M, (index + 1) * s->rows);
    double *sums = s->sums + index * E;
    float *free_p = martlet_scratch(martlet_scratch_task, 2 * E * sizeof(float));
    memset(sums, 0, E * sizeof(double));
    for (size_t m = index * s->rows; m < end; m++) {
        float *p = s->probabilities + m * E;
        row_softmax(E, s->logits + m * s->stride, p);
        for (size_t e = 0; e < E; e++) sums[e] += (double)p[e];
        route_row(s, m, free_p);
    }
}

void MARTLET_OP(router)(martlet_router_shape shape, const float *logits, float *probabilities,
                        int32_t *experts, float *weights, int32_t *counts,
                        double *probability_sums) {
    const size_t M = shape.rows, E = shape.experts, K = shape.choices;
    const size_t rows = rows_per_partial(M), tasks = ceil_div(M, rows);
    const routing s = {
        .shape = shape, .M = M, .E = E, .K = K, .stride = logits_stride(&shape),
        .rows = rows, .logits = logits,
        .probabilities = probabilities, .experts = experts, .weights = weights,
        .sums = martlet_scratch(martlet_scratch_region, tasks * E * sizeof(double))};
    martlet_parallel(tasks, (8.0 + (double)K) * (double)M * (double)E, router_task, &s);
    for (size_t e = 0; e < E; e++) counts[e] = 0, probability_sums[e] = 0;
    for (size_t i = 0; i < tasks * E; i++) probability_sums[i % E] += s.sums[i];
    for (size_t i = 0; i < M * K; i++) counts[experts[i]]++;
}

static void router_backward_task(const void *context, size_t index) {
    const routing *s = context;
    const size_t E = s->E, K = s->K, end = smaller(s->M, (index + 1) * s->rows);
    for (size_t m = index * s->rows; m < end; m++) {
        const float *p = s->probabilities_in + m * E, *w = s->weights_in + m * K;
        const float *dw = s->dweights + m * K;
        const int32_t *chosen = s->experts_in + m * K;
        float *dp = s->dlogits + m * s->stride, dot = 0, sum = 0;
        for (size_t k = 0; k < K; k++) dot += w[k] * dw[k], sum += p[chosen[k]];
        if (!s->shape.renormalize) dot = 0, sum = 1;
        for (size_t e = 0; e < E; e++) dp[e] = s->dprobability ? (float)s->dprobability[e] : 0;
        const float scale = (float)s->shape.scale;
        for (size_t k = 0; k < K; k++) dp[chosen[k]] += (scale * dw[k] - dot) / sum;
        const vec total = v_all(row_dot(E, p, dp));
        for (size_t e = 0; e < E; e += LANES)
            v_store(dp + e, E - e, v_load(p + e, E - e, 0) * (v_load(dp + e, E - e, 0) - total));
    }
}

void MARTLET_OP(router_backward)(martlet_router_shape shape, const float *probabilities,
                                 const int32_t *experts, const float *weights,
                                 const float *dweights, const double *dprobability,
                                 float *dlogits) {
    const size_t M = shape.rows, E = shape.experts;
    const routing s = {.shape = shape, .M = M, .E = E, .K = shape.choices,
                       .stride = logits_stride(&shape),
                       .rows = rows_per_partial(M), .probabilities_in = probabilities,
                       .experts_in = experts, .weights_in = weights, .dweights = dweights,
                       .dprobability = dprobability, .dlogits = dlogits};
    martlet_parallel(ceil_div(M, s.rows), 6 * (double)M * (double)E, router_backward_task, &s);
}
