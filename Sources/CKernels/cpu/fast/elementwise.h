// Embedding, add, scale and SwiGLU on runs of elements.

enum { RUN = 16384 };  // elements of one task

typedef struct {
    size_t n;
    float factor;
    const float *a, *b, *c;
    float *y, *z;
} elementwise;

static void add_task(const void *context, size_t index) {
    const elementwise *s = context;
    for (size_t i = index * RUN, end = smaller(s->n, i + RUN); i < end; i += LANES)
        v_store(s->y + i, end - i, v_load(s->a + i, end - i, 0) + v_load(s->b + i, end - i, 0));
}

void MARTLET_OP(add)(size_t n, const float *a, const float *b, float *y) {
    const elementwise s = {.n = n, .a = a, .b = b, .y = y};
    martlet_parallel(ceil_div(n, RUN), (double)n, add_task, &s);
}

static void scale_task(const void *context, size_t index) {
    const elementwise *s = context;
    const size_t i = index * RUN;
    row_scale(smaller(s->n - i, RUN), s->factor, s->a + i, s->y + i);
}

void MARTLET_OP(scale)(size_t n, double factor, const float *x, float *y) {
    const elementwise s = {.n = n, .factor = (float)factor, .a = x, .y = y};
    martlet_parallel(ceil_div(n, RUN), (double)n, scale_task, &s);
}

static void swiglu_run(size_t n, const float *gate, const float *up, float *hidden) {
    for (size_t i = 0; i < n; i += LANES) {
        const vec g = v_load(gate + i, n - i, 0), u = v_load(up + i, n - i, 0);
        v_store(hidden + i, n - i, g * v_sigmoid(g) * u);
    }
}

static void swiglu_backward_run(size_t n, const float *gate, const float *up,
                                const float *dhidden, float *dgate, float *dup) {
    for (size_t i = 0; i < n; i += LANES) {
        const vec g = v_load(gate + i, n - i, 0), u = v_load(up + i, n - i, 0);
        const vec dh = v_load(dhidden + i, n - i, 0), s = v_sigmoid(g);
        v_store(dgate + i, n - i, dh * u * s * (1.0f + g * (1.0f - s)));
        v_store(dup + i, n - i, dh * g * s);
    }
}

static void swiglu_task(const void *context, size_t index) {
    const elementwise *s = context;
    const size_t i = index * RUN;
    swiglu_run(smaller(s->n - i, RUN), s->a + i, s->b + i, s->y + i);
}

void MARTLET_OP(swiglu)(size_t n, const float *gate, const float *up, float *hidden) {
    const elementwise s = {.n = n, .a = gate, .b = up, .y = hidden};
    martlet_parallel(ceil_div(n, RUN), 4 * (double)n, swiglu_task, &s);
}

static void swiglu_backward_task(const void *context, size_t index) {
    const elementwise *s = context;
    const size_t i = index * RUN;
    swiglu_backward_run(smaller(s->n - i, RUN), s->a + i, s->b + i, s->c + i, s->y + i,
                        s->z + i);
}

void MARTLET_OP(swiglu_backward)(size_t n, const float *gate, const float *up,
                                 const float *dhidden, float *dgate, float *dup) {
    const elementwise s = {.n = n, .a = gate, .b = up, .c = dhidden, .y = dgate, .z = dup};
    martlet_parallel(ceil_div(n, RUN), 6 * (double)n, swiglu_backward_task, &s);
}

// ---- Embedding ------------------------------------------------------------------------------

typedef struct {
    size_t M, D;
    const int32_t *tokens;
    const float *from;
    float *to;
} lookup;

static void embedding_task(const void *context, size_t index) {
    const lookup *s = context;
    const size_t rows = rows_per_task(s->D), end = smaller(s->M, (index + 1) * rows);
    for (size_t m = index * rows; m < end; m++)
        memcpy(s->to + m * s->D, s->from + (size_t)s->tokens[m] * s->D, s->D * sizeof(float));
}

void MARTLET_OP(embedding)(size_t M, size_t V, size_t D, const int32_t *tokens, const float *w,
                           float *y) {
    (void)V;
    const lookup s = {M, D, tokens, w, y};
    martlet_parallel(ceil_div(M, rows_per_task(D)), (double)M * (double)D, embedding_task, &s);
}

enum { SLICE = 64 };  // columns of one task: tokens repeat, so rows cannot be split

static void embedding_backward_task(const void *context, size_t index) {
    const lookup *s = context;
    const size_t d = index * SLICE, columns = smaller(s->D - d, SLICE);
    for (size_t m = 0; m < s->M; m++)
        row_add(columns, s->from + m * s->D + d, s->to + (size_t)s->tokens[m] * s->D + d);
}

void MARTLET_OP(embedding_backward)(size_t M, size_t V, size_t D, const int32_t *tokens,
                                    const float *dy, float *dw) {
    (void)V;
    const lookup s = {M, D, tokens, dy, dw};
    martlet_parallel(ceil_div(D, SLICE), (double)M * (double)D, embedding_backward_task, &s);
}
