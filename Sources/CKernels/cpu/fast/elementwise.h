// Embedding, add and SwiGLU on runs of elements.

enum { RUN = 16384 };  // elements of one task

typedef struct {
    size_t n;
    const real *a, *b;
    real *y;
} elementwise;

static void add_task(const void *context, size_t index) {
    const elementwise *s = context;
    for (size_t i = index * RUN, end = smaller(s->n, i + RUN); i < end; i += LANES)
        r_store(s->y + i, end - i, r_load(s->a + i, end - i, 0) + r_load(s->b + i, end - i, 0));
}

void MARTLET_OP(add)(size_t n, const real *a, const real *b, real *y) {
    const elementwise s = {.n = n, .a = a, .b = b, .y = y};
    martlet_parallel(ceil_div(n, RUN), (double)n, add_task, &s);
}

static void swiglu_run(size_t n, const real *gate, const real *up, real *hidden) {
    for (size_t i = 0; i < n; i += LANES) {
        const vec g = r_load(gate + i, n - i, 0), u = r_load(up + i, n - i, 0);
        r_store(hidden + i, n - i, g * v_sigmoid(g) * u);
    }
}

static float r_dot(size_t n, const real *a, const real *b) {
    vec sum = {0};
    for (size_t i = 0; i < n; i += LANES)
        sum += r_load(a + i, n - i, 0) * r_load(b + i, n - i, 0);
    return v_sum(sum);
}

// ---- Embedding ------------------------------------------------------------------------------

typedef struct {
    size_t M, D;
    const int32_t *tokens;
    const real *from;
    real *to;
    float *sum;
} lookup;

static void embedding_task(const void *context, size_t index) {
    const lookup *s = context;
    const size_t rows = rows_per_task(s->D), end = smaller(s->M, (index + 1) * rows);
    for (size_t m = index * rows; m < end; m++)
        memcpy(s->to + m * s->D, s->from + (size_t)s->tokens[m] * s->D, s->D * sizeof(real));
}

void MARTLET_OP(embedding)(size_t M, size_t V, size_t D, const int32_t *tokens, const real *w,
                           real *y) {
    (void)V;
    const lookup s = {.M = M, .D = D, .tokens = tokens, .from = w, .to = y};
    martlet_parallel(ceil_div(M, rows_per_task(D)), (double)M * (double)D, embedding_task, &s);
}

enum { SLICE = 64 };  // columns of one task: tokens repeat, so rows cannot be split

static void embedding_backward_task(const void *context, size_t index) {
    const lookup *s = context;
    const size_t d = index * SLICE, columns = smaller(s->D - d, SLICE);
    for (size_t m = 0; m < s->M; m++) {
        const real *from = s->from + m * s->D + d;
        float *to = s->sum + (size_t)s->tokens[m] * s->D + d;
        for (size_t j = 0; j < columns; j += LANES)
            v_store(to + j, columns - j,
                    v_load(to + j, columns - j, 0) + r_load(from + j, columns - j, 0));
    }
}

void MARTLET_OP(embedding_backward)(size_t M, size_t V, size_t D, const int32_t *tokens,
                                    const real *dy, float *dw) {
    (void)V;
    const lookup s = {.M = M, .D = D, .tokens = tokens, .from = dy, .sum = dw};
    martlet_parallel(ceil_div(D, SLICE), (double)M * (double)D, embedding_backward_task, &s);
}
