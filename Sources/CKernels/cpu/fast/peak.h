// Multiply-adds with operands in registers: the limit that products are measured by.

enum { PEAK_SUMS = 24, PEAK_STEPS = 4096, PEAK_TASKS = 64 };

static void peak_task(const void *context, size_t index) {
    vec sum[PEAK_SUMS];
    const word factor = *(const word *)context;
    vec b = v_all((float)index);
    UNROLL for (int i = 0; i < PEAK_SUMS; i++) sum[i] = (vec){0};
    for (size_t p = 0; p < PEAK_STEPS; p++) {
        UNROLL for (int i = 0; i < PEAK_SUMS; i++) sum[i] = w_fma(factor, b, sum[i]);
    }
    UNROLL for (int i = 1; i < PEAK_SUMS; i++) sum[0] += sum[i];
    // Never so large, which the compiler can't know.
    if (v_sum(sum[0]) > 1e30f) *(float *)martlet_scratch(martlet_scratch_task, 4) = 0;
}

double MARTLET_OP(peak)(size_t rounds) {
    const word factor = 0;
    const double done = (double)PEAK_TASKS * PEAK_STEPS * PEAK_SUMS * LANES * WORD_DEPTH;
    for (size_t i = 0; i < rounds; i++) martlet_parallel(PEAK_TASKS, done, peak_task, &factor);
    return (double)rounds * done;
}
