// The model's head: logits in fp32, and their cross-entropy without a [M,V] matrix in memory.
//
// Rows are taken in chunks: a chunk's logits, its loss, and at once what it adds to the gradients,
// while the logits are in cache.

enum {
    CHUNK_ROWS = 512,             // rows of a chunk, at most
    CHUNK_FLOATS = 4 * 1024 * 1024,  // logits of a chunk, at most, unless a row has more
};

typedef struct {
    size_t rows, V;
    product logits, dx;
    gradient dw;
    gradient_plan dw_plan;
    size_t dw_tasks;
    const int32_t *targets;
    float factor;
    int is_backward;
    double *losses;  // [rows]
} head_work;

static void head_logits_task(const void *context, size_t index) {
    const head_work *s = context;
    multiply_tile(&s->logits, tile_at(index, s->rows, s->V));
}

// Logits become dlogits, in rows of reals in the places of rows of floats.
static void head_loss_task(const void *context, size_t index) {
    const head_work *s = context;
    const size_t V = s->V, rows = rows_per_task(V), end = smaller(s->rows, (index + 1) * rows);
    for (size_t m = index * rows; m < end; m++) {
        float *x = (float *)s->logits.c + m * V;
        const int32_t target = s->targets[m];
        s->losses[m] = 0;
        if (target < 0) {
            memset(x, 0, V * sizeof(float));
            continue;
        }
        const float largest = row_largest(V, x);
        const double hit = (double)x[target] - (double)largest;
        const double sum = row_exp_sum(V, largest, x, s->is_backward ? x : NULL);
        s->losses[m] = log(sum) - hit;
        if (!s->is_backward) continue;
        const float factor = (float)((double)s->factor / sum);
        x[target] -= s->factor / factor;
        real *dx = (real *)(void *)x;
        for (size_t i = 0; i < V; i += LANES)
            r_store(dx + i, V - i, factor * v_load(x + i, V - i, 0));
    }
}

static void head_gradient_task(const void *context, size_t index) {
    const head_work *s = context;
    const size_t D = s->dx.c_stride;
    if (index < s->dw_tasks) multiply_gradient_task(&s->dw, s->V, D, s->dw_plan, index);
    else multiply_tile(&s->dx, tile_at(index - s->dw_tasks, s->rows, D));
}

martlet_loss MARTLET_OP(head_loss)(size_t M, size_t D, size_t V, const real *x, const real *w,
                                   const int32_t *targets, double factor, real *dx, float *dw) {
    martlet_loss loss = {0, martlet_count_targets(M, targets)};
    const size_t fitting = CHUNK_FLOATS / (V ? V : 1);
    const size_t most = fitting < 1 ? 1 : smaller(fitting, CHUNK_ROWS);
    const size_t logit_stride = V * (sizeof(float) / sizeof(real));
    char *memory = martlet_scratch(martlet_scratch_region, most * (V + 2) * sizeof(float));
    float *logits = (float *)(void *)memory;
    const double size = (double)D * (double)V;
    for (size_t first = 0; first < M; first += most) {
        const size_t rows = smaller(M - first, most);
        head_work s = {.rows = rows, .V = V, .targets = targets + first, .factor = (float)factor,
                       .is_backward = dx != NULL,
                       .losses = (double *)(void *)(logits + most * V)};
        s.logits = output_product(D, V, x + first * D, w, 0, logits, c_write);
        martlet_parallel(task_count(rows, V), (double)rows * size, head_logits_task, &s);
        martlet_parallel(ceil_div(rows, rows_per_task(V)), 8 * (double)rows * (double)V,
                         head_loss_task, &s);
        for (size_t m = 0; m < rows; m++) loss.sum += s.losses[m];
        if (!dx) continue;
        const real *dlogits = (const real *)(void *)logits;
        s.dx = input_gradient(D, V, dlogits, w, 0, dx + first * D);
        s.dx.a_stride = logit_stride;
        s.dw = weight_gradient(rows, D, V, dlogits, x + first * D, dw);
        s.dw.a_stride = logit_stride;
        s.dw_plan = plan_gradient(V, D, gradient_tasks_wanted());
        s.dw_tasks = gradient_task_count(s.dw_plan);
        martlet_parallel(s.dw_tasks + task_count(rows, D), 2 * (double)rows * size,
                         head_gradient_task, &s);
    }
    return loss;
}

// ---- Products with fp32 results -------------------------------------------------------------

void MARTLET_OP(linear_wide)(size_t M, size_t I, size_t O, const real *x, const real *w,
                             float *y) {
    const linear_forward s = {M, O, output_product(I, O, x, w, 0, y, c_write), NULL};
    martlet_parallel(task_count(M, O), (double)M * (double)I * (double)O, linear_task, &s);
}

void MARTLET_OP(linear_wide_backward)(size_t M, size_t I, size_t O, const real *x, const real *w,
                                      const float *dy, int accumulate, real *dx, float *dw) {
    const real *rounded = (const real *)(const void *)dy;
    if (sizeof(real) != sizeof(float)) {
        real *copy = martlet_scratch(martlet_scratch_region, M * O * sizeof(real));
        for (size_t i = 0; i < M * O; i += LANES)
            r_store(copy + i, M * O - i, v_load(dy + i, M * O - i, 0));
        rounded = copy;
    }
    MARTLET_OP(linear_backward)(M, I, O, x, w, rounded, accumulate, dx, dw, NULL);
}
