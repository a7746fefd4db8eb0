// The mask of a router's choices.

typedef struct {
    martlet_mask_shape shape;
    size_t rows;  // of one task
    const float *logits, *weights, *soft_in, *dmasked;
    const int32_t *experts, *targets, *live_in;
    float *soft, *masked, *dweights, *dlogits, dsoft;
    int32_t *live;
    martlet_mask_report *reports;  // [tasks]
} masking;

INLINE int is_counted(const masking *s, size_t row) { return !s->targets || s->targets[row] >= 0; }

// soft holds the mask logits, and then what they are squashed to.
static void squash_run(size_t n, float *soft) {
    for (size_t i = 0; i < n; i += LANES)
        v_store(soft + i, n - i, v_sigmoid(v_load(soft + i, n - i, 0)));
}

static void mask_task(const void *context, size_t index) {
    const masking *s = context;
    const size_t K = s->shape.choices, first = index * s->rows;
    const size_t end = smaller(s->shape.rows, first + s->rows);
    const float bias = (float)s->shape.bias, threshold = (float)s->shape.threshold;
    martlet_mask_report report = {0};
    for (size_t m = first; m < end; m++) {
        size_t left = 0;
        for (size_t i = m * K; i < (m + 1) * K; i++) {
            const float z = s->logits[m * s->shape.stride + (size_t)s->experts[i]] + bias;
            const int is_live = z >= threshold;
            s->soft[i] = z;
            s->live[i] = is_live ? s->experts[i] : -1;
            s->masked[i] = is_live ? s->weights[i] : 0;
            left += (size_t)is_live;
            report.invalid += z != z;
        }
        if (!is_counted(s, m)) continue;
        report.rows++;
        report.live += left;
        report.empty += left == 0;
    }
    squash_run((end - first) * K, s->soft + first * K);
    for (size_t m = first; m < end; m++) {
        if (!is_counted(s, m)) continue;
        for (size_t i = m * K; i < (m + 1) * K; i++)
            report.soft += (double)(s->shape.squares ? s->soft[i] * s->soft[i] : s->soft[i]);
    }
    s->reports[index] = report;
}

martlet_mask_report MARTLET_OP(mask)(martlet_mask_shape shape, const float *logits,
                                     const int32_t *experts, const float *weights,
                                     const int32_t *targets, float *soft, float *masked,
                                     int32_t *live) {
    const size_t rows = rows_per_partial(shape.rows), tasks = ceil_div(shape.rows, rows);
    const masking s = {
        .shape = shape, .rows = rows, .logits = logits, .experts = experts, .weights = weights,
        .targets = targets, .soft = soft, .masked = masked, .live = live,
        .reports = martlet_scratch(martlet_scratch_region, tasks * sizeof(martlet_mask_report))};
    martlet_parallel(tasks, 16 * (double)(shape.rows * shape.choices), mask_task, &s);
    martlet_mask_report all = {0};
    for (size_t i = 0; i < tasks; i++) {
        all.soft += s.reports[i].soft;
        all.rows += s.reports[i].rows;
        all.live += s.reports[i].live;
        all.empty += s.reports[i].empty;
        all.invalid += s.reports[i].invalid;
    }
    return all;
}

static void mask_backward_task(const void *context, size_t index) {
    const masking *s = context;
    const size_t E = s->shape.experts, K = s->shape.choices;
    const size_t end = smaller(s->shape.rows, (index + 1) * s->rows);
    for (size_t m = index * s->rows; m < end; m++) {
        float *dz = s->dlogits + m * s->shape.stride;
        const float counted = is_counted(s, m) ? s->dsoft : 0;
        memset(dz, 0, E * sizeof *dz);
        for (size_t i = m * K; i < (m + 1) * K; i++) {
            const float mask = s->soft_in[i], slope = s->shape.squares ? 2 * mask : 1;
            const float dmask = s->weights[i] * s->dmasked[i] + counted * slope;
            dz[s->experts[i]] = dmask * mask * (1 - mask);
            s->dweights[i] = s->live_in[i] < 0 ? 0 : s->dmasked[i];
        }
    }
}

void MARTLET_OP(mask_backward)(martlet_mask_shape shape, const int32_t *experts,
                               const float *weights, const int32_t *targets, const float *soft,
                               const int32_t *live, const float *dmasked, double dsoft,
                               float *dweights, float *dlogits) {
    const masking s = {.shape = shape, .rows = rows_per_partial(shape.rows), .experts = experts,
                       .weights = weights, .targets = targets, .soft_in = soft, .live_in = live,
                       .dmasked = dmasked, .dsoft = (float)dsoft, .dweights = dweights,
                       .dlogits = dlogits};
    martlet_parallel(ceil_div(shape.rows, s.rows), 8 * (double)(shape.rows * shape.choices),
                     mask_backward_task, &s);
}
