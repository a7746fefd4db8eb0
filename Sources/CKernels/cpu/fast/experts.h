// SwiGLU experts as tiles over (expert, rows, columns), and the shared expert's gate.
//
// Forward: tiles of hidden (gate and up side by side, then SwiGLU while both are in cache), then
// tiles of y. Backward: tiles of dgate and dup, then in one region tiles of dx and of the three
// weight gradients, none of which waits for another.

typedef struct {
    martlet_experts_shape shape;
    const int32_t *offsets;
    const float *parameters, *x, *dy, *hidden_in;
    float *gate, *up, *hidden, *y, *dx, *dparameters;
    // first_task[e] is the first task of expert e in the region under way, [E+1].
    size_t *first_task;
} expert_work;

typedef struct {
    size_t expert, row, rows, task;  // its first row, number of rows, and the task within it
} expert_place;

static expert_place place_of(const expert_work *s, size_t task) {
    size_t low = 0, high = s->shape.experts;
    while (high - low > 1) {
        const size_t middle = (low + high) / 2;
        if (s->first_task[middle] <= task) low = middle;
        else high = middle;
    }
    const size_t row = (size_t)s->offsets[low], rows = (size_t)s->offsets[low + 1] - row;
    return (expert_place){low, row, rows, task - s->first_task[low]};
}

typedef size_t (*task_counter)(const expert_work *s, size_t rows);

// Runs `task` for every tile of every expert; `flops` multiply-adds a row.
static void for_experts(expert_work *s, task_counter counter, double flops, martlet_task task) {
    const size_t E = s->shape.experts;
    s->first_task = martlet_scratch(martlet_scratch_region, (E + 1) * sizeof(size_t));
    s->first_task[0] = 0;
    for (size_t e = 0; e < E; e++) {
        const size_t rows = (size_t)(s->offsets[e + 1] - s->offsets[e]);
        s->first_task[e + 1] = s->first_task[e] + (rows ? counter(s, rows) : 0);
    }
    const double rows = E ? (double)s->offsets[E] : 0;
    martlet_parallel(s->first_task[E], flops * rows, task, s);
}

static size_t hidden_tiles(const expert_work *s, size_t rows) {
    return tile_count(rows, s->shape.hidden);
}

static void hidden_task(const void *context, size_t index) {
    const expert_work *s = context;
    const size_t D = s->shape.width, F = s->shape.hidden;
    const expert_place at = place_of(s, index);
    const tile t = tile_at(at.task, at.rows, F);
    product m = {.a = s->x + at.row * D, .a_row = D, .a_step = 1,
                 .b = s->parameters + s->shape.gate[at.expert], .b_step = 1, .b_column = D,
                 .c = s->gate + at.row * F, .c_row = F, .depth = D};
    multiply_tile(&m, t);
    m.b = s->parameters + s->shape.up[at.expert];
    m.c = s->up + at.row * F;
    multiply_tile(&m, t);
    for (size_t r = at.row + t.row; r < at.row + t.row_end; r++) {
        const size_t i = r * F + t.column;
        swiglu_run(t.column_end - t.column, s->gate + i, s->up + i, s->hidden + i);
    }
}

static size_t output_tiles(const expert_work *s, size_t rows) {
    return tile_count(rows, s->shape.width);
}

static void output_task(const void *context, size_t index) {
    const expert_work *s = context;
    const size_t D = s->shape.width, F = s->shape.hidden;
    const expert_place at = place_of(s, index);
    const product m = {.a = s->hidden + at.row * F, .a_row = F, .a_step = 1,
                       .b = s->parameters + s->shape.down[at.expert], .b_step = 1,
                       .b_column = F, .c = s->y + at.row * D, .c_row = D, .depth = F};
    multiply_tile(&m, tile_at(at.task, at.rows, D));
}

void MARTLET_OP(experts)(martlet_experts_shape shape, const int32_t *offsets,
                         const float *parameters, const float *x, float *gate, float *up,
                         float *hidden, float *y) {
    expert_work s = {.shape = shape, .offsets = offsets, .parameters = parameters, .x = x,
                     .gate = gate, .up = up, .hidden = hidden, .y = y};
    const double size = (double)shape.width * (double)shape.hidden;
    for_experts(&s, hidden_tiles, 2 * size, hidden_task);
    for_experts(&s, output_tiles, size, output_task);
}

// dhidden = dy Wd lives for one tile only, beside the panel in the task's scratch.
static void hidden_backward_task(const void *context, size_t index) {
    const expert_work *s = context;
    const size_t D = s->shape.width, F = s->shape.hidden;
    const expert_place at = place_of(s, index);
    const tile t = tile_at(at.task, at.rows, F);
    const size_t columns = t.column_end - t.column;
    float *panel = martlet_scratch(martlet_scratch_task,
                                   PANEL_BYTES + TILE_ROWS * PANEL * sizeof(float));
    float *dhidden = panel + PANEL_BYTES / sizeof(float);
    const product m = {.a = s->dy + (at.row + t.row) * D, .a_row = D, .a_step = 1,
                       .b = s->parameters + s->shape.down[at.expert] + t.column, .b_step = F,
                       .b_column = 1, .c = dhidden, .c_row = PANEL, .depth = D};
    multiply(&m, 0, t.row_end - t.row, 0, columns, panel);
    for (size_t r = t.row; r < t.row_end; r++) {
        float *gate = s->gate + (at.row + r) * F + t.column;
        float *up = s->up + (at.row + r) * F + t.column;
        swiglu_backward_run(columns, gate, up, dhidden + (r - t.row) * PANEL, gate, up);
    }
}

static size_t gradient_tiles(const expert_work *s, size_t rows) {
    const size_t D = s->shape.width, F = s->shape.hidden;
    return tile_count(rows, D) + 2 * tile_count(F, D) + tile_count(D, F);
}

static void input_gradient_tile(const expert_work *s, expert_place at) {
    const size_t D = s->shape.width, F = s->shape.hidden, e = at.expert;
    const tile t = tile_at(at.task, at.rows, D);
    const float *dgate = s->gate + at.row * F, *dup = s->up + at.row * F;
    float *dx = s->dx + at.row * D;
    const product first = input_gradient(D, F, dgate, s->parameters + s->shape.gate[e], 0, dx);
    const product second = input_gradient(D, F, dup, s->parameters + s->shape.up[e], 1, dx);
    multiply_tile(&first, t);
    multiply_tile(&second, t);
}

static void gradient_task(const void *context, size_t index) {
    const expert_work *s = context;
    const size_t D = s->shape.width, F = s->shape.hidden;
    expert_place at = place_of(s, index);
    const size_t of_dx = tile_count(at.rows, D), of_gate = tile_count(F, D);
    if (at.task < of_dx) {
        input_gradient_tile(s, at);
        return;
    }
    at.task -= of_dx;
    if (at.task < 2 * of_gate) {
        const int is_gate = at.task < of_gate;
        const size_t weight = is_gate ? s->shape.gate[at.expert] : s->shape.up[at.expert];
        const product m =
            weight_gradient(at.rows, D, F, (is_gate ? s->gate : s->up) + at.row * F,
                            s->x + at.row * D, s->dparameters + weight);
        multiply_tile(&m, tile_at(at.task % of_gate, F, D));
        return;
    }
    const product m = weight_gradient(at.rows, F, D, s->dy + at.row * D, s->hidden_in + at.row * F,
                                      s->dparameters + s->shape.down[at.expert]);
    multiply_tile(&m, tile_at(at.task - 2 * of_gate, D, F));
}

void MARTLET_OP(experts_backward)(martlet_experts_shape shape, const int32_t *offsets,
                                  const float *parameters, const float *x, float *gate,
                                  float *up, const float *hidden, const float *dy, float *dx,
                                  float *dparameters) {
    expert_work s = {.shape = shape, .offsets = offsets, .parameters = parameters, .x = x,
                     .dy = dy, .hidden_in = hidden, .gate = gate, .up = up, .dx = dx,
                     .dparameters = dparameters};
    const double size = (double)shape.width * (double)shape.hidden;
    for_experts(&s, hidden_tiles, size, hidden_backward_task);
    for_experts(&s, gradient_tiles, 5 * size, gradient_task);
}

// ---- Shared expert --------------------------------------------------------------------------

typedef struct {
    size_t M, D, rows;  // `rows` of one task
    const float *x, *w, *shared, *sigmoid_in, *dout;
    float *sigmoid, *out, *dx, *dw_partials, *dshared;
    int accumulate;
} shared_work;

static void shared_task(const void *context, size_t index) {
    const shared_work *s = context;
    const size_t D = s->D, end = smaller(s->M, (index + 1) * s->rows);
    for (size_t m = index * s->rows; m < end; m++) {
        const float gate = v_sigmoid(v_all(row_dot(D, s->x + m * D, s->w)))[0];
        s->sigmoid[m] = gate;
        for (size_t d = 0, i = m * D; d < D; d += LANES, i += LANES)
            v_store(s->out + i, D - d,
                    v_load(s->out + i, D - d, 0) + gate * v_load(s->shared + i, D - d, 0));
    }
}

void MARTLET_OP(shared_expert)(size_t M, size_t D, const float *x, const float *w,
                               const float *shared, float *sigmoid, float *out) {
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
            row_dot(D, s->dout + m * D, s->shared + m * D) * gate * (1.0f - gate);
        for (size_t d = 0, i = m * D; d < D; d += LANES, i += LANES) {
            const size_t left = D - d;
            const vec slope = dlogit * v_load(s->w + d, left, 0);
            v_store(s->dshared + i, left, gate * v_load(s->dout + i, left, 0));
            v_store(dw + d, left, v_load(dw + d, left, 0) + dlogit * v_load(s->x + i, left, 0));
            v_store(s->dx + i, left, s->accumulate ? v_load(s->dx + i, left, 0) + slope : slope);
        }
    }
}

void MARTLET_OP(shared_expert_backward)(size_t M, size_t D, const float *x, const float *w,
                                        const float *shared, const float *sigmoid,
                                        const float *dout, int accumulate, float *dx, float *dw,
                                        float *dshared) {
    const size_t rows = rows_per_partial(M), partials = ceil_div(M, rows);
    const shared_work s = {
        .M = M, .D = D, .rows = rows, .x = x, .w = w, .shared = shared, .sigmoid_in = sigmoid,
        .dout = dout, .dx = dx, .dshared = dshared, .accumulate = accumulate,
        .dw_partials = martlet_scratch(martlet_scratch_region, partials * D * sizeof(float))};
    martlet_parallel(partials, 4 * (double)M * (double)D, shared_backward_task, &s);
    add_partials(partials, D, s.dw_partials, dw);
}
