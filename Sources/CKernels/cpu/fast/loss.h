// Cross-entropy, log-softmax and argmax, a row of logits at a time.

typedef struct {
    size_t M, V;
    const int32_t *targets;
    const float *x;
    float *y;
    float factor;
    double *losses;  // [M]
    int32_t *index;
} logit_rows;

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

static void loss_task(const void *context, size_t index) {
    const logit_rows *s = context;
    const size_t V = s->V, rows = rows_per_task(V), end = smaller(s->M, (index + 1) * rows);
    for (size_t m = index * rows; m < end; m++) {
        const float *x = s->x + m * V;
        float *y = s->y ? s->y + m * V : NULL;
        const int32_t target = s->targets[m];
        s->losses[m] = 0;
        if (target < 0) {
            if (y) memset(y, 0, V * sizeof(float));
            continue;
        }
        const float largest = row_largest(V, x);
        const double hit = (double)x[target] - (double)largest;
        const double sum = row_exp_sum(V, largest, x, y);
        s->losses[m] = log(sum) - hit;
        if (!y) continue;
        row_scale(V, (float)((double)s->factor / sum), y, y);
        y[target] -= s->factor;
    }
}

static martlet_loss sum_losses(logit_rows *s) {
    martlet_loss loss = {0, martlet_count_targets(s->M, s->targets)};
    s->losses = martlet_scratch(martlet_scratch_region, s->M * sizeof(double));
    martlet_parallel(ceil_div(s->M, rows_per_task(s->V)), 8 * (double)s->M * (double)s->V,
                     loss_task, s);
    for (size_t m = 0; m < s->M; m++) loss.sum += s->losses[m];
    return loss;
}

martlet_loss MARTLET_OP(cross_entropy)(size_t M, size_t V, const int32_t *targets,
                                       const float *logits) {
    logit_rows s = {.M = M, .V = V, .targets = targets, .x = logits};
    return sum_losses(&s);
}

martlet_loss MARTLET_OP(cross_entropy_backward)(size_t M, size_t V, const int32_t *targets,
                                                double factor, float *logits) {
    logit_rows s = {.M = M, .V = V, .targets = targets, .x = logits, .y = logits,
                    .factor = (float)factor};
    return sum_losses(&s);
}

static void log_softmax_task(const void *context, size_t index) {
    const logit_rows *s = context;
    const size_t V = s->V, rows = rows_per_task(V), end = smaller(s->M, (index + 1) * rows);
    for (size_t m = index * rows; m < end; m++) {
        const float *x = s->x + m * V;
        const float largest = row_largest(V, x);
        const float normaliser = (float)log(row_exp_sum(V, largest, x, NULL));
        for (size_t v = 0; v < V; v += LANES)
            v_store(s->y + m * V + v, V - v, v_load(x + v, V - v, 0) - largest - normaliser);
    }
}

void MARTLET_OP(log_softmax)(size_t M, size_t V, const float *x, float *y) {
    const logit_rows s = {.M = M, .V = V, .x = x, .y = y};
    martlet_parallel(ceil_div(M, rows_per_task(V)), 8 * (double)M * (double)V, log_softmax_task,
                     &s);
}

static void argmax_task(const void *context, size_t index) {
    const logit_rows *s = context;
    const size_t V = s->V, rows = rows_per_task(V), end = smaller(s->M, (index + 1) * rows);
    for (size_t m = index * rows; m < end; m++) {
        const float *x = s->x + m * V;
        size_t best = 0;
        for (size_t v = 1; v < V; v++)
            if (x[v] > x[best] || (x[best] != x[best] && x[v] == x[v])) best = v;
        s->index[m] = (int32_t)best;
    }
}

void MARTLET_OP(argmax)(size_t M, size_t V, const float *x, int32_t *index) {
    const logit_rows s = {.M = M, .V = V, .x = x, .index = index};
    martlet_parallel(ceil_div(M, rows_per_task(V)), (double)M * (double)V, argmax_task, &s);
}
