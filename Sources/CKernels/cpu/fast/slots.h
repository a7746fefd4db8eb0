// Sums over the slots of each token.

typedef struct {
    size_t M, K, D;  // cut by rows_per_task(D)
    const int32_t *row_of_slot;
    const float *weights;  // [M,K], or NULL for 1
    const real *from;
    real *to;
    int accumulate;
} slot_sum;

static void slot_sum_task(const void *context, size_t index) {
    const slot_sum *s = context;
    const size_t D = s->D, K = s->K, rows = rows_per_task(D);
    const size_t end = smaller(s->M, (index + 1) * rows);
    for (size_t m = index * rows; m < end; m++) {
        real *to = s->to + m * D;
        for (size_t d = 0; d < D; d += LANES) {
            vec sum = s->accumulate ? r_load(to + d, D - d, 0) : (vec){0};
            for (size_t k = 0; k < K; k++) {
                const int32_t row = s->row_of_slot[m * K + k];
                // Selected, not multiplied: 0 times a number that is not finite is no number.
                if (row < 0 || (s->weights && s->weights[m * K + k] == 0)) continue;
                const vec value = r_load(s->from + (size_t)row * D + d, D - d, 0);
                sum += s->weights ? s->weights[m * K + k] * value : value;
            }
            r_store(to + d, D - d, sum);
        }
    }
}

// to [M,D] (+)= sum over k, ascending, of weights[m,k] * from[row_of_slot[m,k]].
static void sum_slots(martlet_routing routing, size_t D, const float *weights, const real *from,
                      int accumulate, real *to) {
    const slot_sum s = {routing.tokens, routing.choices, D, routing.row_of_slot, weights,
                        from, to, accumulate};
    martlet_parallel(ceil_div(s.M, rows_per_task(D)), (double)(s.M * s.K) * (double)D,
                     slot_sum_task, &s);
}
