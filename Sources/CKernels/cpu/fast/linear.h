// Linear maps: products of one shape each, cut into tiles.

typedef struct {
    size_t M, O;
    product y;
    const float *bias;
} linear_forward;

static void linear_task(const void *context, size_t index) {
    const linear_forward *s = context;
    const tile t = tile_at(index, s->M, s->O);
    multiply_tile(&s->y, t);
    for (size_t m = t.row; s->bias && m < t.row_end; m++)
        row_add(t.column_end - t.column, s->bias + t.column, s->y.c + m * s->O + t.column);
}

void MARTLET_OP(linear)(size_t M, size_t I, size_t O, const float *x, const float *w,
                        const float *bias, float *y) {
    const linear_forward s = {
        M, O,
        {.a = x, .a_row = I, .a_step = 1, .b = w, .b_step = 1, .b_column = I, .c = y, .c_row = O,
         .depth = I},
        bias};
    martlet_parallel(tile_count(M, O), (double)M * (double)I * (double)O, linear_task, &s);
}

// dx = dy w: both operands as they lie.
static product input_gradient(size_t I, size_t O, const float *dy, const float *w, int accumulate,
                              float *dx) {
    return (product){.a = dy, .a_row = O, .a_step = 1, .b = w, .b_step = I, .b_column = 1,
                     .c = dx, .c_row = I, .depth = O, .accumulate = accumulate};
}

// dw += dy^T x: the same kernel with dy's strides exchanged, so nothing is transposed in memory.
static product weight_gradient(size_t M, size_t I, size_t O, const float *dy, const float *x,
                               float *dw) {
    return (product){.a = dy, .a_row = 1, .a_step = O, .b = x, .b_step = I, .b_column = 1,
                     .c = dw, .c_row = I, .depth = M, .accumulate = 1};
}

typedef struct {
    size_t M, I, O, dx_tiles;
    product dx, dw;
} linear_gradients;

static void linear_backward_task(const void *context, size_t index) {
    const linear_gradients *s = context;
    if (index < s->dx_tiles) multiply_tile(&s->dx, tile_at(index, s->M, s->I));
    else multiply_tile(&s->dw, tile_at(index - s->dx_tiles, s->O, s->I));
}

void MARTLET_OP(linear_backward)(size_t M, size_t I, size_t O, const float *x, const float *w,
                                 const float *dy, int accumulate, float *dx, float *dw,
                                 float *dbias) {
    const linear_gradients s = {
        M, I, O, dx ? tile_count(M, I) : 0,
        input_gradient(I, O, dy, w, accumulate, dx), weight_gradient(M, I, O, dy, x, dw)};
    const size_t dw_tiles = dw ? tile_count(O, I) : 0;
    const double products = (dx != NULL) + (dw != NULL);
    martlet_parallel(s.dx_tiles + dw_tiles, products * (double)M * (double)I * (double)O,
                     linear_backward_task, &s);
    for (size_t m = 0; dbias && m < M; m++) row_add(O, dy + m * O, dbias);
}
