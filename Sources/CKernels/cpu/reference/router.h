// Reference: the router. Included by reference.c for each REAL.

static void PRIVATE(softmax)(size_t n, const REAL *x, REAL *p) {
    REAL largest = -(REAL)INFINITY, sum = 0;
    for (size_t i = 0; i < n; i++) largest = x[i] > largest ? x[i] : largest;
    for (size_t i = 0; i < n; i++) sum += p[i] = (REAL)exp((double)(x[i] - largest));
    for (size_t i = 0; i < n; i++) p[i] /= sum;
}

static REAL PRIVATE(best_of_group)(const martlet_router_shape *s, const REAL *p, size_t group) {
    const size_t size = s->experts / s->groups;
    REAL best = 0;
    for (size_t e = group * size; e < (group + 1) * size; e++) best = p[e] > best ? p[e] : best;
    return best;
}

// Whether fewer than groups_chosen groups come before that of `expert`, ties to the lowest.
static int PRIVATE(is_open)(const martlet_router_shape *s, const REAL *p, size_t expert) {
    if (s->groups_chosen >= s->groups) return 1;
    const size_t group = expert / (s->experts / s->groups);
    const REAL own = PRIVATE(best_of_group)(s, p, group);
    size_t before = 0;
    for (size_t g = 0; g < s->groups; g++) {
        const REAL best = PRIVATE(best_of_group)(s, p, g);
        before += best > own || (best == own && g < group);
    }
    return before < s->groups_chosen;
}

// The largest of p [E] that is open and not among taken [count]; the first such one if all are NaN.
static int32_t PRIVATE(best_free)(const martlet_router_shape *s, const REAL *p, size_t count,
                                  const int32_t *taken) {
    int32_t best = -1;
    for (size_t e = 0; e < s->experts; e++) {
        int is_free = PRIVATE(is_open)(s, p, e);
        for (size_t k = 0; k < count; k++) is_free &= taken[k] != (int32_t)e;
        if (is_free && (best < 0 || p[e] > p[best])) best = (int32_t)e;
    }
    return best;
}

void OP(router)(martlet_router_shape s, const REAL *logits, REAL *probabilities, int32_t *experts,
                REAL *weights, int32_t *counts, double *probability_sums) {
    const size_t M = s.rows, E = s.experts, K = s.choices, stride = s.stride ? s.stride : E;
    for (size_t e = 0; e < E; e++) counts[e] = 0, probability_sums[e] = 0;
    for (size_t m = 0; m < M; m++) {
        REAL *p = probabilities + m * E, *w = weights + m * K, sum = 0;
        int32_t *chosen = experts + m * K;
        PRIVATE(softmax)(E, logits + m * stride, p);
        for (size_t e = 0; e < E; e++) probability_sums[e] += (double)p[e];
        for (size_t k = 0; k < K; k++) {
            chosen[k] = PRIVATE(best_free)(&s, p, k, chosen);
            counts[chosen[k]]++;
            sum += w[k] = p[chosen[k]];
        }
        for (size_t k = 0; k < K; k++) w[k] = (REAL)s.scale * w[k] / (s.renormalize ? sum : 1);
    }
}

// Renormalised, w = scale p / sum(p of the chosen), so dp = (scale dw - sum w dw) / sum(p of the
// chosen). Then through the softmax: dlogit = p (dp - sum p dp).
void OP(router_backward)(martlet_router_shape s, const REAL *probabilities,
                         const int32_t *experts, const REAL *weights, const REAL *dweights,
                         const double *dprobability, REAL *dlogits) {
    const size_t M = s.rows, E = s.experts, K = s.choices, stride = s.stride ? s.stride : E;
    for (size_t m = 0; m < M; m++) {
        const REAL *p = probabilities + m * E, *w = weights + m * K, *dw = dweights + m * K;
        const int32_t *chosen = experts + m * K;
        REAL *dp = dlogits + m * stride, dot = 0, sum = 1, total = 0;
        for (size_t k = 0; s.renormalize && k < K; k++) dot += w[k] * dw[k];
        for (size_t k = 0; s.renormalize && k < K; k++) sum = (k ? sum : 0) + p[chosen[k]];
        for (size_t e = 0; e < E; e++) dp[e] = dprobability ? (REAL)dprobability[e] : 0;
        for (size_t k = 0; k < K; k++) dp[chosen[k]] += ((REAL)s.scale * dw[k] - dot) / sum;
        for (size_t e = 0; e < E; e++) total += p[e] * dp[e];
        for (size_t e = 0; e < E; e++) dp[e] = p[e] * (dp[e] - total);
    }
}
