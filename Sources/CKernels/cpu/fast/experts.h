// SwiGLU experts as tasks over (expert, part of its rows, panel). A row is a slot of a token, whose
// numbers are read where the token has them.
//
// Forward: panels of hidden (gate and up side by side, then SwiGLU while both are in cache), then
// panels of the output, then each token's sum over its slots. Backward: panels of dhidden, which
// become dgate, dup and a part of the slot's dweight, in one region panels of dx and of the three
// weight gradients, then the sums.

typedef struct {
    martlet_experts_shape shape;
    martlet_routing routing;
    const real *parameters, *x, *dout;
    const float *weights;
    int is_packed;
    real *gate, *up, *hidden, *rows, *out, *dx;
    float *dparameters, *dweights;
    int accumulate;
    // Made for the operation: each row's token (NULL: the row itself), the first task of each
    // expert [E+1], and dweight's parts [R, panels of F].
    int32_t *token_of_row;
    size_t *first_task;
    float *dweight_parts;
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
    const size_t row = (size_t)s->routing.offsets[low];
    const size_t rows = (size_t)s->routing.offsets[low + 1] - row;
    return (expert_place){low, row, rows, task - s->first_task[low]};
}

static size_t row_count(const expert_work *s) {
    return s->shape.experts ? (size_t)s->routing.offsets[s->shape.experts] : 0;
}

// Scratch that lives as long as the operation.
static void begin_work(expert_work *s) {
    const size_t E = s->shape.experts, R = row_count(s), panels = panel_count(s->shape.hidden);
    const size_t parts = s->dweights ? R * panels : 0;
    char *memory = martlet_scratch(martlet_scratch_region,
                                   (E + 1) * sizeof(size_t) + (R + parts) * sizeof(float));
    s->first_task = (size_t *)(void *)memory;
    s->dweight_parts = (float *)(void *)(memory + (E + 1) * sizeof(size_t));
    if (!s->routing.slot_of_row) return;
    s->token_of_row = (int32_t *)(void *)(s->dweight_parts + parts);
    for (size_t r = 0; r < R; r++)
        s->token_of_row[r] = s->routing.slot_of_row[r] / (int32_t)s->routing.choices;
}

typedef size_t (*task_counter)(const expert_work *s, size_t rows);

// Runs `task` for every task of every expert; `flops` multiply-adds a row.
static void for_experts(expert_work *s, task_counter counter, double flops, martlet_task task) {
    const size_t E = s->shape.experts;
    s->first_task[0] = 0;
    for (size_t e = 0; e < E; e++) {
        const size_t rows = (size_t)(s->routing.offsets[e + 1] - s->routing.offsets[e]);
        s->first_task[e + 1] = s->first_task[e] + counter(s, rows);
    }
    martlet_parallel(s->first_task[E], flops * (double)row_count(s), task, s);
}

// The rows of `x` [M,D] that belong to the expert, as a product's A or B.
INLINE const real *token_rows(const expert_work *s, const real *x, expert_place at) {
    return s->token_of_row ? x : x + at.row * s->shape.width;
}
INLINE const int32_t *token_index(const expert_work *s, expert_place at) {
    return s->token_of_row ? s->token_of_row + at.row : NULL;
}
INLINE float slot_weight(const expert_work *s, size_t row) {
    return s->weights ? s->weights[s->routing.slot_of_row[row]] : 1;
}

// Parts of an expert's rows: all experts together have enough tasks.
INLINE size_t expert_parts(size_t rows) { return ceil_div(rows, TASK_ROWS); }

static tile expert_tile(expert_place at, size_t columns) {
    const size_t panels = panel_count(columns), parts = expert_parts(at.rows);
    const size_t part = at.task / panels, column = at.task % panels * PANEL;
    return (tile){part_begin(at.rows, parts, part), part_begin(at.rows, parts, part + 1), column,
                  smaller(columns - column, PANEL)};
}

// ---- Forward --------------------------------------------------------------------------------

static size_t hidden_tasks(const expert_work *s, size_t rows) {
    return expert_parts(rows) * panel_count(s->shape.hidden);
}

static void hidden_task(const void *context, size_t index) {
    const expert_work *s = context;
    const size_t D = s->shape.width, F = s->shape.hidden;
    const expert_place at = place_of(s, index);
    const tile t = expert_tile(at, F);
    const real *x = token_rows(s, s->x, at);
    const real *gate = s->parameters + s->shape.gate[at.expert];
    const real *up = s->parameters + s->shape.up[at.expert];
    product of_gate =
        output_product(D, F, x, gate, s->is_packed, s->gate + at.row * F, c_write_real);
    product of_up = output_product(D, F, x, up, s->is_packed, s->up + at.row * F, c_write_real);
    of_gate.a_index = of_up.a_index = token_index(s, at);
    multiply_tile(&of_gate, t);
    multiply_tile(&of_up, t);
    for (size_t r = at.row + t.row; r < at.row + t.row_end; r++) {
        const size_t i = r * F + t.column;
        swiglu_run(t.columns, s->gate + i, s->up + i, s->hidden + i);
    }
}

static size_t output_tasks(const expert_work *s, size_t rows) {
    return expert_parts(rows) * panel_count(s->shape.width);
}

static void output_task(const void *context, size_t index) {
    const expert_work *s = context;
    const size_t D = s->shape.width, F = s->shape.hidden;
    const expert_place at = place_of(s, index);
    const c_mode mode = s->accumulate && s->rows == s->out ? c_add_real : c_write_real;
    const product m =
        output_product(F, D, s->hidden + at.row * F, s->parameters + s->shape.down[at.expert],
                       s->is_packed, s->rows + at.row * D, mode);
    multiply_tile(&m, expert_tile(at, D));
}

static void experts_of(expert_work s) {
    const size_t D = s.shape.width;
    const double size = (double)D * (double)s.shape.hidden;
    const int combines = s.routing.slot_of_row != NULL;
    if (!combines) s.rows = s.out;
    begin_work(&s);
    for_experts(&s, hidden_tasks, 2 * size, hidden_task);
    for_experts(&s, output_tasks, size, output_task);
    if (combines)
        sum_slots(s.routing, D, s.weights, s.rows, s.accumulate, s.out);
}

void MARTLET_OP(experts)(martlet_experts_shape shape, martlet_routing routing,
                         const real *parameters, const real *x, const float *weights,
                         real *gate, real *up, real *hidden, real *rows, int accumulate,
                         real *out) {
    experts_of((expert_work){.shape = shape, .routing = routing, .parameters = parameters,
                             .x = x, .weights = weights, .gate = gate,
                             .up = up, .hidden = hidden, .rows = rows, .out = out,
                             .accumulate = accumulate});
}

void MARTLET_OP(experts_packed)(martlet_experts_shape shape, martlet_routing routing,
                                const real *packed, const real *x, const float *weights,
                                real *gate, real *up, real *hidden, real *rows, int accumulate,
                                real *out) {
    experts_of((expert_work){.shape = shape, .routing = routing, .parameters = packed, .x = x,
                             .weights = weights, .is_packed = 1, .gate = gate, .up = up,
                             .hidden = hidden, .rows = rows, .out = out,
                             .accumulate = accumulate});
}

// ---- Backward -------------------------------------------------------------------------------

// One row of a panel: dhidden, as if the slot's weight were 1, becomes dgate and dup in the places
// of gate and up; hidden is weighted, as the down projection's gradient wants it. Returns the
// panel's part of the slot's dweight, dhidden . hidden.
static float row_backward(size_t n, float weight, const float *dhidden, real *gate, real *up,
                          real *hidden) {
    vec dot = {0};
    for (size_t i = 0; i < n; i += LANES) {
        const size_t left = n - i;
        const vec g = r_load(gate + i, left, 0), u = r_load(up + i, left, 0);
        const vec h = r_load(hidden + i, left, 0), plain = v_load(dhidden + i, left, 0);
        const vec dh = weight * plain, sigmoid = v_sigmoid(g);
        dot += plain * h;
        r_store(gate + i, left, dh * u * sigmoid * (1.0f + g * (1.0f - sigmoid)));
        r_store(up + i, left, dh * g * sigmoid);
        r_store(hidden + i, left, weight * h);
    }
    return v_sum(dot);
}

// dhidden = dout Wd lives for one tile only, in the task's scratch.
static void hidden_backward_task(const void *context, size_t index) {
    const expert_work *s = context;
    const size_t D = s->shape.width, F = s->shape.hidden, panels = panel_count(F);
    const expert_place at = place_of(s, index);
    const tile t = expert_tile(at, F);
    float *scratch = martlet_scratch(martlet_scratch_task,
                                     TILE_BYTES + TASK_ROWS * PANEL * sizeof(float));
    float *dhidden = scratch + TILE_BYTES / sizeof(float);
    const product m = {.a = token_rows(s, s->dout, at), .a_stride = D,
                       .a_index = token_index(s, at),
                       .b = s->parameters + s->shape.down[at.expert], .b_stride = F,
                       .order = b_rows, .c = dhidden - t.row * PANEL - t.column,
                       .c_stride = PANEL, .depth = D, .mode = c_write};
    multiply_panel(&m, t.row, t.row_end, t.column, t.columns, scratch);
    for (size_t r = t.row; r < t.row_end; r++) {
        const size_t row = at.row + r, i = row * F + t.column;
        // Runs as short as a panel's rows are not foreseen by the processor.
        if (r + ROWS_AHEAD < t.row_end) {
            const size_t ahead = i + ROWS_AHEAD * F;
            ask_for(s->gate + ahead, t.columns);
            ask_for(s->up + ahead, t.columns);
            ask_for(s->hidden + ahead, t.columns);
        }
        const float part =
            row_backward(t.columns, slot_weight(s, row), dhidden + (r - t.row) * PANEL,
                         s->gate + i, s->up + i, s->hidden + i);
        if (s->dweights) s->dweight_parts[row * panels + t.column / PANEL] = part;
    }
}

// Tasks of the weight gradients of one expert: few, so that A's copy serves many panels. An expert
// without rows has them too, and so gets zeros.
INLINE gradient_plan expert_plan(size_t O, size_t I) { return plan_gradient(O, I, 1); }

static size_t gradient_tasks(const expert_work *s, size_t rows) {
    const size_t D = s->shape.width, F = s->shape.hidden;
    return expert_parts(rows) * panel_count(D) + 2 * gradient_task_count(expert_plan(F, D)) +
           gradient_task_count(expert_plan(D, F));
}

static void input_gradient_tile(const expert_work *s, expert_place at) {
    const size_t D = s->shape.width, F = s->shape.hidden, e = at.expert;
    const tile t = expert_tile(at, D);
    const int adds = s->accumulate && !s->token_of_row;
    real *dx = (s->token_of_row ? s->rows : s->dx) + at.row * D;
    const product first = input_gradient(D, F, s->gate + at.row * F,
                                         s->parameters + s->shape.gate[e], adds, dx);
    const product second =
        input_gradient(D, F, s->up + at.row * F, s->parameters + s->shape.up[e], 1, dx);
    multiply_tile(&first, t);
    multiply_tile(&second, t);
}

static void gradient_task(const void *context, size_t index) {
    const expert_work *s = context;
    const size_t D = s->shape.width, F = s->shape.hidden;
    expert_place at = place_of(s, index);
    const size_t of_dx = expert_parts(at.rows) * panel_count(D);
    const gradient_plan wide = expert_plan(F, D), down = expert_plan(D, F);
    const size_t of_gate = gradient_task_count(wide);
    if (at.task < of_dx) {
        input_gradient_tile(s, at);
        return;
    }
    at.task -= of_dx;
    const int is_gate = at.task < of_gate;
    gradient m = {.a = (is_gate ? s->gate : s->up) + at.row * F, .a_stride = F,
                  .b = token_rows(s, s->x, at), .b_stride = D, .b_index = token_index(s, at),
                  .c = s->dparameters + (is_gate ? s->shape.gate : s->shape.up)[at.expert],
                  .c_stride = D, .depth = at.rows, .mode = c_write};
    if (at.task < 2 * of_gate) {
        multiply_gradient_task(&m, F, D, wide, at.task % of_gate);
        return;
    }
    m.a = token_rows(s, s->dout, at), m.a_stride = D, m.a_index = token_index(s, at);
    m.b = s->hidden + at.row * F, m.b_stride = F, m.b_index = NULL;
    m.c = s->dparameters + s->shape.down[at.expert], m.c_stride = F;
    multiply_gradient_task(&m, D, F, down, at.task - 2 * of_gate);
}

static void dweight_task(const void *context, size_t index) {
    const expert_work *s = context;
    const size_t panels = panel_count(s->shape.hidden), K = s->routing.choices;
    const size_t run = rows_per_task(panels), slots = s->routing.tokens * K;
    const size_t end = smaller(slots, (index + 1) * run);
    for (size_t slot = index * run; slot < end; slot++) {
        const int32_t row = s->routing.row_of_slot[slot];
        float sum = 0;
        for (size_t p = 0; row >= 0 && p < panels; p++)
            sum += s->dweight_parts[(size_t)row * panels + p];
        s->dweights[slot] = sum;
    }
}

void MARTLET_OP(experts_backward)(martlet_experts_shape shape, martlet_routing routing,
                                  const real *parameters, const real *x, const float *weights,
                                  real *gate, real *up, real *hidden, const real *dout,
                                  real *rows, int accumulate, real *dx, float *dweights,
                                  float *dparameters) {
    expert_work s = {.shape = shape, .routing = routing, .parameters = parameters, .x = x,
                     .dout = dout, .weights = weights, .gate = gate, .up = up,
                     .hidden = hidden, .rows = rows, .dx = dx, .dparameters = dparameters,
                     .dweights = routing.slot_of_row ? dweights : NULL, .accumulate = accumulate};
    const size_t D = shape.width, slots = routing.tokens * routing.choices;
    const double size = (double)D * (double)shape.hidden;
    begin_work(&s);
    for_experts(&s, hidden_tasks, size, hidden_backward_task);
    for_experts(&s, gradient_tasks, 5 * size, gradient_task);
    if (!routing.slot_of_row) return;
    const size_t run = rows_per_task(panel_count(shape.hidden));
    martlet_parallel(ceil_div(slots, run), (double)slots, dweight_task, &s);
    sum_slots(routing, D, NULL, rows, accumulate, dx);
}
