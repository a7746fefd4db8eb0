// The gate of a shared expert.

typedef struct {
    size_t M, D, rows;  // `rows` of one task
    const real *x, *w, *shared, *dout;
    const float *sigmoid_in;
    real *out, *dx, *dshared;
    float *sigmoid, *dw_partials;
    int accumulate;
} shared_work;

static void shared_task(const void *context, size_t index) {
    const shared_work *s = context;
    const size_t D = s->D, end = smaller(s->M, (index + 1) * s->rows);
    for (size_t m = index * s->rows; m < end; m++) {
        const float gate = v_sigmoid(v_all(r_dot(D, s->x + m * D, s->w)))[0];
        s->sigmoid[m] = gate;
        for (size_t d = 0, i = m * D; d < D; d += LANES, i += LANES)
            r_store(s->out + i, D - d,
                    r_load(s->out + i, D - d, 0) + gate * r_load(s->shared + i, D - d, 0));
    }
}

void MARTLET_OP(shared_expert)(size_t M, size_t D, const real *x, const real *w,
                               const real *shared, float *sigmoid, real *out) {
    const shared_work s = {.M = M, .D = D, .rows = rows_per_task(D), .x = x, .w = w,
                           .shared = shared, .sigmoid = sigmoid, .out = out};
    martlet_parallel(ceil_div(M, s.rows), 2 * (double)M * (double)D, shared_task, &s);
}

static void shared_backward_task(const void *context, size_t index) {
    const shared_work *s = context;
    const size_t D = s->D, end = smaller(s->M, (index + 1) * s->rows);
    float *dw = s->dw_partials + index * D;
    memset(dw, 0, D * sizeof(float));
    for (size_t m = index * s->rows; m < end; m++) {
        const float gate = s->sigmoid_in[m];
        const float dlogit =
            r_dot(D, s->dout + m * D, s->shared + m * D) * gate * (1.0f - gate);
        for (size_t d = 0, i = m * D; d < D; d += LANES, i += LANES) {
            const size_t left = D - d;
            const vec slope = dlogit * r_load(s->w + d, left, 0);
            r_store(s->dshared + i, left, gate * r_load(s->dout + i, left, 0));
            v_store(dw + d, left, v_load(dw + d, left, 0) + dlogit * r_load(s->x + i, left, 0));
            r_store(s->dx + i, left, s->accumulate ? r_load(s->dx + i, left, 0) + slope : slope);
        }
    }
}

void MARTLET_OP(shared_expert_backward)(size_t M, size_t D, const real *x, const real *w,
                                        const real *shared, const float *sigmoid,
                                        const real *dout, int accumulate, real *dx, float *dw,
                                        real *dshared) {
    const size_t rows = rows_per_partial(M), partials = ceil_div(M, rows);
    const shared_work s = {
        .M = M, .D = D, .rows = rows, .x = x, .w = w, .shared = shared, .sigmoid_in = sigmoid,
        .dout = dout, .dx = dx, .dshared = dshared, .accumulate = accumulate,
        .dw_partials = martlet_scratch(martlet_scratch_region, partials * D * sizeof(float))};
    martlet_parallel(partials, 4 * (double)M * (double)D, shared_backward_task, &s);
    add_partials(partials, D, s.dw_partials, dw);
}
