// Sums of exponentials of a row of logits.

// y = exp(x - largest), summed: in fp32 over runs short enough to lose nothing, then in fp64. y may
// be x, or NULL if only the sum is wanted.
static double row_exp_sum(size_t n, float largest, const float *x, float *y) {
    const size_t run = 64 * LANES;
    double total = 0;
    for (size_t start = 0; start < n; start += run) {
        const size_t end = smaller(n, start + run);
        vec sum = {0};
        for (size_t i = start; i < end; i += LANES) {
            const vec e = v_exp(v_load(x + i, end - i, -INFINITY) - largest);
            if (y) v_store(y + i, end - i, e);
            sum += e;
        }
        total += (double)v_sum(sum);
    }
    return total;
}
