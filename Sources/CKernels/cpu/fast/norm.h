// RMSNorm and rotary position embedding.

typedef struct {
    size_t M, D, rows;  // `rows` of one task
    float epsilon;
    const real *x, *w, *dy;
    const float *rstd_in;
    real *y;
    float *rstd, *dw_partials;
    int accumulate;
} norm;

static void rmsnorm_task(const void *context, size_t index) {
    const norm *s = context;
    const size_t D = s->D, end = smaller(s->M, (index + 1) * s->rows);
    for (size_t m = index * s->rows; m < end; m++) {
        const real *x = s->x + m * D;
        const float r = 1.0f / sqrtf(r_dot(D, x, x) / (float)D + s->epsilon);
        s->rstd[m] = r;
        for (size_t d = 0; d < D; d += LANES)
            r_store(s->y + m * D + d, D - d,
                    r_load(s->w + d, D - d, 0) * (r_load(x + d, D - d, 0) * r));
    }
}

void MARTLET_OP(rmsnorm)(size_t M, size_t D, double epsilon, const real *x, const real *w,
                         real *y, float *rstd) {
    const norm s = {.M = M, .D = D, .rows = rows_per_task(D), .epsilon = (float)epsilon, .x = x,
                    .w = w, .y = y, .rstd = rstd};
    martlet_parallel(ceil_div(M, s.rows), 4 * (double)M * (double)D, rmsnorm_task, &s);
}

// One task: some rows of dx and their partial sum of dw.
static void rmsnorm_backward_task(const void *context, size_t index) {
    const norm *s = context;
    const size_t D = s->D, end = smaller(s->M, (index + 1) * s->rows);
    float *dw = s->dw_partials + index * D;
    memset(dw, 0, D * sizeof(float));
    for (size_t m = index * s->rows; m < end; m++) {
        const real *x = s->x + m * D, *dy = s->dy + m * D;
        const float r = s->rstd_in[m];
        vec sum = {0};
        for (size_t d = 0; d < D; d += LANES)
            sum += r_load(dy + d, D - d, 0) * r_load(s->w + d, D - d, 0) *
                   r_load(x + d, D - d, 0);
        const float share = v_sum(sum) * r * r / (float)D;
        for (size_t d = 0; d < D; d += LANES) {
            const size_t left = D - d;
            const vec g = r_load(dy + d, left, 0), value = r_load(x + d, left, 0);
            const vec slope = r * (g * r_load(s->w + d, left, 0) - value * share);
            real *dx = s->y + m * D + d;
            v_store(dw + d, left, v_load(dw + d, left, 0) + g * (value * r));
            r_store(dx, left, s->accumulate ? r_load(dx, left, 0) + slope : slope);
        }
    }
}

void MARTLET_OP(rmsnorm_backward)(size_t M, size_t D, const real *x, const real *w,
                                  const float *rstd, const real *dy, int accumulate, real *dx,
                                  float *dw) {
    const size_t rows = rows_per_partial(M), partials = ceil_div(M, rows);
    const norm s = {
        .M = M, .D = D, .rows = rows, .x = x, .w = w, .rstd_in = rstd, .dy = dy, .y = dx,
        .dw_partials = martlet_scratch(martlet_scratch_region, partials * D * sizeof(float)),
        .accumulate = accumulate};
    martlet_parallel(partials, 8 * (double)M * (double)D, rmsnorm_backward_task, &s);
    add_partials(partials, D, s.dw_partials, dw);
}

// ---- Rotary position embedding --------------------------------------------------------------

typedef struct {
    martlet_rope_shape shape;
    size_t rows, tokens;  // `rows` tokens of one task, `tokens` = B * T
    const float *cosine, *sine;
    float direction;
    real *x;
} rotation;

static void rotate_halves(size_t half, const float *cosine, const float *sine, float direction,
                          real *x) {
    real *x2 = x + half;
    for (size_t i = 0; i < half; i += LANES) {
        const size_t left = half - i;
        const vec a = r_load(x + i, left, 0), b = r_load(x2 + i, left, 0);
        const vec c = v_load(cosine + i, left, 0);
        const vec d = direction * v_load(sine + i, left, 0);
        r_store(x + i, left, a * c - b * d);
        r_store(x2 + i, left, b * c + a * d);
    }
}

static void rotate_pairs(size_t half, const float *cosine, const float *sine, float direction,
                         real *x) {
    for (size_t i = 0; i < half; i++) {
        const float a = r_get(x + 2 * i), b = r_get(x + 2 * i + 1);
        const float c = cosine[i], d = direction * sine[i];
        r_set(x + 2 * i, a * c - b * d);
        r_set(x + 2 * i + 1, b * c + a * d);
    }
}

static void rotate_task(const void *context, size_t index) {
    const rotation *s = context;
    const size_t half = s->shape.width / 2, H = s->shape.heads, T = s->shape.tokens;
    const size_t end = smaller(s->tokens, (index + 1) * s->rows);
    for (size_t m = index * s->rows; m < end; m++) {
        const float *cosine = s->cosine + m % T * half, *sine = s->sine + m % T * half;
        for (size_t h = 0; h < H; h++) {
            real *x = s->x + (m * H + h) * s->shape.stride;
            if (s->shape.interleaved) rotate_pairs(half, cosine, sine, s->direction, x);
            else rotate_halves(half, cosine, sine, s->direction, x);
        }
    }
}

static void rotate(martlet_rope_shape shape, const float *cosine, const float *sine,
                   float direction, real *x) {
    const size_t tokens = shape.batch * shape.tokens, width = shape.heads * shape.width;
    const rotation s = {shape, rows_per_task(width), tokens, cosine, sine, direction, x};
    martlet_parallel(ceil_div(tokens, s.rows), 2 * (double)tokens * (double)width, rotate_task,
                     &s);
}

void MARTLET_OP(rope)(martlet_rope_shape shape, const float *cosine, const float *sine,
                      real *x) {
    rotate(shape, cosine, sine, 1, x);
}

void MARTLET_OP(rope_backward)(martlet_rope_shape shape, const float *cosine, const float *sine,
                               real *dx) {
    rotate(shape, cosine, sine, -1, dx);
}
