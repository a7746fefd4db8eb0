// Matrix products on one thread: C (+)= A B.
//
// B is cut into panels of PANEL columns and A into strips of 6 rows. The microkernel keeps a 6 x
// PANEL tile of C in registers, reads a panel row and broadcasts six words of A for each step of
// depth. Every element of C is one chain of fused operations in order of depth, cut every
// STEPS_BLOCK steps, whatever tile it falls into: its bits depend on its row of A, its column of B
// and the depth alone.
//
enum {
    // Words of scratch that `multiply` wants: a panel, and a strip that cannot be read in place.
    MULTIPLY_WORDS = PANEL_WORDS + STRIP * STEPS_BLOCK,
    ROWS_TO_COPY = 128,  // rows from which a copied panel pays, if it need not be
};

typedef word loose_a __attribute__((aligned(sizeof(real)), may_alias));

// Where B's numbers lie.
typedef enum {
    b_rows,     // B(p, j) = b[row(p) * b_stride + j]
    b_columns,  // B(p, j) = b[j * b_stride + p]: a weight [O,I] as it is in memory
    b_panels,   // panels that are ready, see panel.h
} b_order;

// How a tile of C is left.
typedef enum { c_write, c_add, c_write_real, c_add_real } c_mode;

// A(i, p) = a[row(i) * a_stride + p]; row(i) is a_index[i], or i itself without an index; likewise
// B's rows. C(i, j) = c[i * c_stride + j], of floats or, in modes that end in `real`, of reals.
typedef struct {
    const real *a;
    size_t a_stride;
    const int32_t *a_index;
    const real *b;
    size_t b_stride;
    const int32_t *b_index;
    ready_panels panels;  // instead of b
    b_order order;
    void *c;
    size_t c_stride, depth;
    c_mode mode;
} product;

// ---- Microkernels ---------------------------------------------------------------------------

INLINE void leave_tile(const c_mode mode, void *c, size_t at, vec sum) {
    if (mode == c_write) *(loose *)((float *)c + at) = sum;
    if (mode == c_add) *(loose *)((float *)c + at) = v_full((float *)c + at) + sum;
    if (mode == c_write_real) r_store((real *)c + at, LANES, sum);
    if (mode == c_add_real)
        r_store((real *)c + at, LANES, r_load((real *)c + at, LANES, 0) + sum);
}

// a: one pointer a row, `a_step` words between two steps.
INLINE void tile_kernel(const int rows, const int vectors, size_t steps, const loose_a *const *a,
                        size_t a_step, const float *restrict b, size_t b_step, void *c,
                        size_t c_stride, c_mode mode) {
    vec sum[STRIP][PANEL_VECTORS];
    const loose_a *row_a[STRIP];
    UNROLL for (int i = 0; i < rows; i++) {
        row_a[i] = a[i];
        UNROLL for (int j = 0; j < vectors; j++) sum[i][j] = (vec){0};
    }
    for (size_t p = 0, at = 0; p < steps; p++, at += a_step, b += b_step) {
        vec row[PANEL_VECTORS];
        UNROLL for (int j = 0; j < vectors; j++) row[j] = v_full(b + j * LANES);
        UNROLL for (int i = 0; i < rows; i++) {
            const word factor = row_a[i][at];
            UNROLL for (int j = 0; j < vectors; j++) sum[i][j] = w_fma(factor, row[j], sum[i][j]);
        }
    }
    UNROLL for (int i = 0; i < rows; i++) {
        UNROLL for (int j = 0; j < vectors; j++)
            leave_tile(mode, c, (size_t)i * c_stride + (size_t)j * LANES, sum[i][j]);
    }
}

typedef void (*microkernel)(size_t steps, const loose_a *const *a, size_t a_step, const float *b,
                            size_t b_step, void *c, size_t c_stride, c_mode mode);

#define KERNEL(rows, vectors)                                                                  \
    static void tile_##rows##_##vectors(size_t steps, const loose_a *const *a, size_t a_step,  \
                                        const float *b, size_t b_step, void *c,                \
                                        size_t c_stride, c_mode mode) {                        \
        tile_kernel(rows, vectors, steps, a, a_step, b, b_step, c, c_stride, mode);            \
    }
#define KERNELS(vectors) \
    KERNEL(1, vectors) KERNEL(2, vectors) KERNEL(3, vectors) \
    KERNEL(4, vectors) KERNEL(5, vectors) KERNEL(6, vectors)
#define KERNEL_ROW(vectors)                                                                \
    { tile_1_##vectors, tile_2_##vectors, tile_3_##vectors, tile_4_##vectors,              \
      tile_5_##vectors, tile_6_##vectors }

KERNELS(1)
KERNELS(2)
#if PANEL_VECTORS == 4
KERNELS(3)
KERNELS(4)
#endif

static const microkernel microkernels[PANEL_VECTORS][STRIP] = {
    KERNEL_ROW(1),
    KERNEL_ROW(2),
#if PANEL_VECTORS == 4
    KERNEL_ROW(3),
    KERNEL_ROW(4),
#endif
};

// One strip of at most STRIP rows by one panel. The last vector of a row of C may end early: then
// the strip is computed beside C and its valid columns are moved.
static void strip(size_t rows, size_t columns, size_t steps, const loose_a *const *a,
                  size_t a_step, const float *b, size_t b_step, void *c, size_t c_stride,
                  c_mode mode) {
    const microkernel kernel = microkernels[ceil_div(columns, LANES) - 1][rows - 1];
    // By the time the sums are ready, the places of C are here.
    const size_t size = mode == c_write || mode == c_add ? sizeof(float) : sizeof(real);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns * size; j += 64)
            __builtin_prefetch((char *)c + i * c_stride * size + j, 1);
    if (columns % LANES == 0) {
        kernel(steps, a, a_step, b, b_step, c, c_stride, mode);
        return;
    }
    float beside[STRIP * PANEL];
    kernel(steps, a, a_step, b, b_step, beside, PANEL, c_write);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j += LANES) {
            const size_t at = i * c_stride + j, left = columns - j;
            const vec sum = v_full(beside + i * PANEL + j);
            if (mode == c_write) v_store((float *)c + at, left, sum);
            if (mode == c_add)
                v_store((float *)c + at, left, v_load((float *)c + at, left, 0) + sum);
            if (mode == c_write_real) r_store((real *)c + at, left, sum);
            if (mode == c_add_real)
                r_store((real *)c + at, left, r_load((real *)c + at, left, 0) + sum);
        }
}

// How many of `left` rows go into the next strip: never one alone behind a full strip.
INLINE size_t strip_rows(size_t left) {
    if (left >= 2 * STRIP || left <= STRIP) return smaller(left, STRIP);
    return (left + 1) / 2;
}

// ---- Products whose A lies row by row -------------------------------------------------------

// Whether A's numbers are words as they lie.
INLINE int reads_in_place(size_t depth) {
    return sizeof(word) == WORD_DEPTH * sizeof(real) && depth % WORD_DEPTH == 0;
}

// Points `row_a` at rows row ..< row + rows from number `first` on, for `depth` numbers.
static void strip_of_rows(const product *m, size_t row, size_t rows, size_t first, size_t depth,
                          float *copy, const loose_a **row_a) {
    const size_t steps = ceil_div(depth, WORD_DEPTH);
    for (size_t i = 0; i < rows; i++) {
        const real *from = m->a + row_of(m->a_index, row + i) * m->a_stride + first;
        row_a[i] = (const loose_a *)from;
        if (reads_in_place(depth)) continue;
        loose_a *to = (loose_a *)(copy + i * STEPS_BLOCK);
        for (size_t p = 0; p < steps; p++)
            to[p] = w_pair(from + p * WORD_DEPTH,
                           p * WORD_DEPTH + 1 < depth ? from + p * WORD_DEPTH + 1 : NULL);
        row_a[i] = to;
    }
}

// C's rows row ..< row_end and columns column ..< column + columns, at most PANEL of them, of one
// block of depth that begins at number `first`.
static void multiply_block(const product *m, size_t row, size_t row_end, size_t columns,
                           size_t first, size_t depth, const float *panel, size_t panel_step,
                           float *copy, void *c, size_t c_stride, c_mode mode) {
    const loose_a *row_a[STRIP];
    const size_t size = mode == c_write || mode == c_add ? sizeof(float) : sizeof(real);
    for (size_t i = row, rows; i < row_end; i += rows) {
        rows = strip_rows(row_end - i);
        strip_of_rows(m, i, rows, first, depth, copy, row_a);
        strip(rows, columns, ceil_div(depth, WORD_DEPTH), row_a, 1, panel, panel_step,
              (char *)c + i * c_stride * size, c_stride, mode);
    }
}

INLINE c_mode added(c_mode mode) { return mode == c_write ? c_add : c_add_real; }

// B's block of depth from number `first` on as a panel, and the words between two of its steps.
static const float *panel_of(const product *m, size_t rows, size_t first, size_t depth,
                             size_t column, size_t columns, float *copy, size_t *step) {
    if (m->order == b_panels) {
        *step = smaller(m->panels.columns - column, PANEL);
        return m->panels.words + column * m->panels.steps + first / WORD_DEPTH * *step;
    }
    *step = ceil_div(columns, LANES) * LANES;
    if (m->order == b_columns) {
        copy_columns(m->b + column * m->b_stride + first, m->b_stride, depth, columns, copy, *step,
                     1);
        return copy;
    }
    const int lies_ready = sizeof(real) == sizeof(float) && !m->b_index && columns % LANES == 0;
    if (lies_ready && rows < ROWS_TO_COPY) {
        *step = m->b_stride;
        return (const float *)(const void *)(m->b + first * m->b_stride + column);
    }
    copy_rows(m->b + column, m->b_stride, m->b_index, first, depth, columns, copy, *step);
    return copy;
}

INLINE int is_real_mode(c_mode mode) { return mode == c_write_real || mode == c_add_real; }

// C's rows row ..< row_end of one panel: columns column ..< column + columns, column a multiple of
// PANEL. scratch: MULTIPLY_WORDS, and (row_end - row) * PANEL more for reals that are not floats.
static void multiply_panel(const product *m, size_t row, size_t row_end, size_t column,
                           size_t columns, float *scratch) {
    float *copy = scratch + PANEL_WORDS, *partial = scratch + MULTIPLY_WORDS;
    const int is_partial =
        is_real_mode(m->mode) && m->depth > DEPTH_BLOCK && sizeof(real) != sizeof(float);
    for (size_t first = 0; first == 0 || first < m->depth; first += DEPTH_BLOCK) {
        const size_t depth = smaller(m->depth - first, DEPTH_BLOCK);
        size_t step;
        const float *b =
            panel_of(m, row_end - row, first, depth, column, columns, scratch, &step);
        c_mode mode = m->mode;
        if (is_partial) mode = first ? c_add : c_write;
        else if (first) mode = c_add;  // reals are floats here
        char *c = (char *)m->c + column * (is_real_mode(mode) ? sizeof(real) : sizeof(float));
        if (is_partial) c = (char *)(partial - row * PANEL);
        multiply_block(m, row, row_end, columns, first, depth, b, step, copy, c,
                       is_partial ? PANEL : m->c_stride, mode);
    }
    for (size_t i = row; is_partial && i < row_end; i++)
        for (size_t j = 0; j < columns; j += LANES) {
            real *to = (real *)m->c + i * m->c_stride + column + j;
            const vec sum = v_full(partial + (i - row) * PANEL + j);
            const int adds = m->mode == c_add_real;
            r_store(to, columns - j, adds ? r_load(to, columns - j, 0) + sum : sum);
        }
}

// C's rows row ..< row_end and columns column ..< column_end, column a multiple of PANEL.
static void multiply(const product *m, size_t row, size_t row_end, size_t column,
                     size_t column_end, float *scratch) {
    for (size_t j = column; j < column_end; j += PANEL)
        multiply_panel(m, row, row_end, j, smaller(column_end - j, PANEL), scratch);
}

// ---- Products whose A and B both lie by depth -----------------------------------------------

enum {
    GRADIENT_ROWS = 288,  // rows of A's copy, which stays in L2 beside a panel
    // Words between two of its steps: an odd number of cache lines, so that steps use all sets.
    GRADIENT_STRIDE = 304,
    GRADIENT_WORDS = PANEL_WORDS + STEPS_BLOCK * GRADIENT_STRIDE,
};

// C [rows,columns] (+)= A^T B, where A(p, i) = a[row(p) * a_stride + i] and B(p, j) likewise: a
// weight's gradient from rows of its output and of its input. Of floats, or of reals.
typedef struct {
    const real *a;
    size_t a_stride;
    const int32_t *a_index;
    const real *b;
    size_t b_stride;
    const int32_t *b_index;
    float *c;
    size_t c_stride, depth;
    c_mode mode;  // c_write or c_add
} gradient;

// C's rows row ..< row + rows, at most GRADIENT_ROWS, and columns column ..< column_end.
static void multiply_gradient(const gradient *m, size_t row, size_t rows, size_t column,
                              size_t column_end, float *scratch) {
    float *panel = scratch, *block = scratch + PANEL_WORDS;
    for (size_t first = 0; first == 0 || first < m->depth; first += DEPTH_BLOCK) {
        const size_t depth = smaller(m->depth - first, DEPTH_BLOCK);
        const size_t steps = ceil_div(depth, WORD_DEPTH);
        copy_rows(m->a + row, m->a_stride, m->a_index, first, depth, rows, block,
                  GRADIENT_STRIDE);
        for (size_t j = column; j < column_end; j += PANEL) {
            const size_t columns = smaller(column_end - j, PANEL);
            const size_t step = ceil_div(columns, LANES) * LANES;
            copy_rows(m->b + j, m->b_stride, m->b_index, first, depth, columns, panel, step);
            for (size_t i = 0, count; i < rows; i += count) {
                count = strip_rows(rows - i);
                const loose_a *row_a[STRIP];
                for (size_t r = 0; r < count; r++) row_a[r] = (const loose_a *)(block + i + r);
                strip(count, columns, steps, row_a, GRADIENT_STRIDE, panel, step,
                      m->c + (row + i) * m->c_stride + j, m->c_stride,
                      first ? c_add : m->mode);
            }
        }
    }
}

// ---- Tasks: what a product is cut into, which changes no bit ----------------------------------

// `count` things in `parts` parts of almost the same size.
INLINE size_t part_begin(size_t count, size_t parts, size_t part) { return count * part / parts; }

enum {
    TASKS_WANTED = 32,   // tasks of a product, so that many threads find work
    TASK_ROWS = 512,     // rows that share a panel: A's part stays in L2
    TASK_ROWS_MIN = 96,  // fewer rows would not pay for filling a panel
};

// Parts that `rows` are cut into when they meet `panels` panels.
INLINE size_t row_parts(size_t rows, size_t panels) {
    const size_t needed = ceil_div(rows, TASK_ROWS), most = ceil_div(rows, TASK_ROWS_MIN);
    const size_t wanted = ceil_div(TASKS_WANTED, panels ? panels : 1);
    return wanted <= needed ? needed : smaller(wanted, most);
}

INLINE size_t panel_count(size_t columns) { return ceil_div(columns, PANEL); }

// A task of a product with `rows` x `columns` results is one part of the rows and one panel.
INLINE size_t task_count(size_t rows, size_t columns) {
    return row_parts(rows, panel_count(columns)) * panel_count(columns);
}

typedef struct {
    size_t row, row_end, column, columns;
} tile;

INLINE tile tile_at(size_t index, size_t rows, size_t columns) {
    const size_t panels = panel_count(columns), parts = row_parts(rows, panels);
    const size_t part = index / panels, column = index % panels * PANEL;
    return (tile){part_begin(rows, parts, part), part_begin(rows, parts, part + 1), column,
                  smaller(columns - column, PANEL)};
}

// Bytes of a task's scratch for `multiply_panel`.
enum { TILE_BYTES = (MULTIPLY_WORDS + TASK_ROWS * PANEL) * 4 };

static void multiply_tile(const product *m, tile t) {
    float *scratch = martlet_scratch(martlet_scratch_task, TILE_BYTES);
    multiply_panel(m, t.row, t.row_end, t.column, t.columns, scratch);
}

// A task of a weight's gradient [O,I] is a part of O and a run of panels of I.
typedef struct {
    size_t row_parts, column_parts, panels;
} gradient_plan;

INLINE gradient_plan plan_gradient(size_t O, size_t I, size_t tasks_wanted) {
    const size_t rows = ceil_div(O, GRADIENT_ROWS), panels = panel_count(I);
    const size_t columns = ceil_div(tasks_wanted, rows ? rows : 1);
    return (gradient_plan){rows, smaller(columns ? columns : 1, panels), panels};
}

// Two for each thread: more would share a copy of A among fewer panels.
INLINE size_t gradient_tasks_wanted(void) { return 2 * martlet_pool_size(); }

INLINE size_t gradient_task_count(gradient_plan plan) {
    return plan.row_parts * plan.column_parts;
}

static void multiply_gradient_task(const gradient *m, size_t O, size_t I, gradient_plan plan,
                                   size_t index) {
    const size_t part = index / plan.column_parts, run = index % plan.column_parts;
    const size_t row = part_begin(O, plan.row_parts, part);
    const size_t rows = part_begin(O, plan.row_parts, part + 1) - row;
    const size_t first = part_begin(plan.panels, plan.column_parts, run) * PANEL;
    const size_t end = part_begin(plan.panels, plan.column_parts, run + 1) * PANEL;
    float *scratch = martlet_scratch(martlet_scratch_task, GRADIENT_WORDS * sizeof(float));
    multiply_gradient(m, row, rows, first, smaller(end, I), scratch);
}
