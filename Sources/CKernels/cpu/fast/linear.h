// Linear maps: products of one shape each, cut into tasks.

typedef struct {
    size_t M, O;
    product y;
    const real *bias;
} linear_forward;

static void linear_task(const void *context, size_t index) {
    const linear_forward *s = context;
    const tile t = tile_at(index, s->M, s->O);
    multiply_tile(&s->y, t);
    for (size_t m = t.row; s->bias && m < t.row_end; m++) {
        real *y = (real *)s->y.c + m * s->O + t.column;
        for (size_t j = 0; j < t.columns; j += LANES) {
            const size_t left = t.columns - j;
            r_store(y + j, left, r_load(y + j, left, 0) + r_load(s->bias + t.column + j, left, 0));
        }
    }
}

// Whether a packed weight has as many elements as the weight, so that it takes its place.
enum { PACKS = sizeof(float) == WORD_DEPTH * sizeof(real) };

// y = x w^T: B's columns are the weight's rows as they lie, or packed.
static product output_product(size_t I, size_t O, const real *x, const real *w, int is_packed,
                              void *y, c_mode mode) {
    return (product){.a = x, .a_stride = I, .b = w, .b_stride = I,
                     .panels = {(const float *)(const void *)w, ceil_div(I, WORD_DEPTH), O},
                     .order = is_packed && PACKS ? b_panels : b_columns, .c = y, .c_stride = O,
                     .depth = I, .mode = mode};
}

static void linear_of(size_t M, size_t I, size_t O, const real *x, const real *w, int is_packed,
                      const real *bias, real *y) {
    const linear_forward s = {M, O, output_product(I, O, x, w, is_packed, y, c_write_real), bias};
    martlet_parallel(task_count(M, O), (double)M * (double)I * (double)O, linear_task, &s);
}

void MARTLET_OP(linear)(size_t M, size_t I, size_t O, const real *x, const real *w,
                        const real *bias, real *y) {
    linear_of(M, I, O, x, w, 0, bias, y);
}

// dx = dy w: B's rows are the weight's as they lie.
static product input_gradient(size_t I, size_t O, const real *dy, const real *w, int accumulate,
                              real *dx) {
    return (product){.a = dy, .a_stride = O, .b = w, .b_stride = I, .order = b_rows, .c = dx,
                     .c_stride = I, .depth = O, .mode = accumulate ? c_add_real : c_write_real};
}

// dw += dy^T x.
static gradient weight_gradient(size_t M, size_t I, size_t O, const real *dy, const real *x,
                                float *dw) {
    return (gradient){.a = dy, .a_stride = O, .b = x, .b_stride = I, .c = dw, .c_stride = I,
                      .depth = M, .mode = c_add};
}

typedef struct {
    size_t M, I, O, dw_tasks;
    product dx;
    gradient dw;
    gradient_plan dw_plan;
} linear_gradients;

static void linear_backward_task(const void *context, size_t index) {
    const linear_gradients *s = context;
    if (index < s->dw_tasks) multiply_gradient_task(&s->dw, s->O, s->I, s->dw_plan, index);
    else multiply_tile(&s->dx, tile_at(index - s->dw_tasks, s->M, s->I));
}

typedef struct {
    size_t M, O;
    const real *dy;
    float *dbias;
} bias_gradient;

static void bias_task(const void *context, size_t index) {
    const bias_gradient *s = context;
    const size_t o = index * LANES, left = s->O - o;
    vec sum = v_load(s->dbias + o, left, 0);
    for (size_t m = 0; m < s->M; m++) sum += r_load(s->dy + m * s->O + o, left, 0);
    v_store(s->dbias + o, left, sum);
}

void MARTLET_OP(linear_backward)(size_t M, size_t I, size_t O, const real *x, const real *w,
                                 const real *dy, int accumulate, real *dx, float *dw,
                                 float *dbias) {
    const gradient_plan plan = plan_gradient(O, I, gradient_tasks_wanted());
    // The few large tasks first: the small ones even out when threads finish.
    const linear_gradients s = {M, I, O, dw ? gradient_task_count(plan) : 0,
                                input_gradient(I, O, dy, w, accumulate, dx),
                                weight_gradient(M, I, O, dy, x, dw), plan};
    const double products = (dx != NULL) + (dw != NULL);
    martlet_parallel(s.dw_tasks + (dx ? task_count(M, I) : 0),
                     products * (double)M * (double)I * (double)O, linear_backward_task, &s);
    const bias_gradient b = {M, O, dy, dbias};
    if (dbias) martlet_parallel(ceil_div(O, LANES), (double)M * (double)O, bias_task, &b);
}

// ---- Packed weights -------------------------------------------------------------------------

void MARTLET_OP(pack)(size_t I, size_t O, const real *w, real *packed) {
    if (PACKS) ready_columns(w, I, I, O, (float *)(void *)packed);
    else memcpy(packed, w, I * O * sizeof(real));
}

void MARTLET_OP(linear_packed)(size_t M, size_t I, size_t O, const real *x, const real *packed,
                               const real *bias, real *y) {
    linear_of(M, I, O, x, packed, 1, bias, y);
}
