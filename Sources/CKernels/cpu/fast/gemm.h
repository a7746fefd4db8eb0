// Matrix products on one thread: C (+)= A B for any strides of A and B.
//
// B is cut into panels of PANEL columns and A into strips of 6 rows. The microkernel keeps a 6 x
// PANEL tile of C in registers, reads a panel row and broadcasts six elements of A for each step of
// depth. B is copied to panel order (and transposed on the way, if depth is its contiguous side)
// when enough rows share the copy. Every element of C is one chain of fused multiply-adds in order
// of depth, cut every DEPTH_BLOCK steps, whatever tile it falls into: its bits depend on its row of
// A, its column of B and the depth alone.

enum {
    STRIP = 6,                       // rows of a microkernel tile
    PANEL = PANEL_VECTORS * LANES,   // columns of a microkernel tile
    DEPTH_BLOCK = 512,               // steps between a load and a store of C; the panel fits L2
    ROWS_TO_COPY = 128,              // rows from which a copied panel pays, if it need not be
    TILE_ROWS = 32 * STRIP,          // rows of one task
    PANEL_BYTES = DEPTH_BLOCK * PANEL * 4,
};

// A(i, p) is a[i * a_row + p * a_step], B(p, j) is b[p * b_step + j * b_column] with one of b_step
// and b_column 1, C(i, j) is c[i * c_row + j].
typedef struct {
    const float *a;
    size_t a_row, a_step;
    const float *b;
    size_t b_step, b_column;
    float *c;
    size_t c_row, depth;
    int accumulate;
} product;

typedef void (*microkernel)(size_t depth, const float *a, size_t a_row, size_t a_step,
                            const float *b, size_t b_step, float *c, size_t c_row,
                            int accumulate);

INLINE void tile_kernel(const int rows, const int vectors, size_t depth, const float *restrict a,
                        size_t a_row, size_t a_step, const float *restrict b, size_t b_step,
                        float *restrict c, size_t c_row, int accumulate) {
    vec sum[STRIP][PANEL_VECTORS];
    UNROLL for (int i = 0; i < rows; i++) {
        UNROLL for (int j = 0; j < vectors; j++) sum[i][j] = (vec){0};
    }
    for (size_t p = 0; p < depth; p++, a += a_step, b += b_step) {
        vec row[PANEL_VECTORS];
        UNROLL for (int j = 0; j < vectors; j++) row[j] = v_full(b + j * LANES);
        UNROLL for (int i = 0; i < rows; i++) {
            const vec factor = v_all(a[(size_t)i * a_row]);
            UNROLL for (int j = 0; j < vectors; j++) sum[i][j] = factor * row[j] + sum[i][j];
        }
    }
    UNROLL for (int i = 0; i < rows; i++) {
        UNROLL for (int j = 0; j < vectors; j++) {
            float *out = c + (size_t)i * c_row + j * LANES;
            *(loose *)out = accumulate ? v_full(out) + sum[i][j] : sum[i][j];
        }
    }
}

#define KERNEL(rows, vectors)                                                                   \
    static void tile_##rows##_##vectors(size_t depth, const float *a, size_t a_row,             \
                                        size_t a_step, const float *b, size_t b_step, float *c, \
                                        size_t c_row, int accumulate) {                         \
        tile_kernel(rows, vectors, depth, a, a_row, a_step, b, b_step, c, c_row, accumulate);   \
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

// ---- Panels ---------------------------------------------------------------------------------

// Lane l of stage `size` of a transpose takes its element from the first or second vector.
#define LOW(l, size) ((l) & (size) ? LANES + (l) - (size) : (l))
#define HIGH(l, size) ((l) & (size) ? LANES + (l) : (l) + (size))
#define EACH4(take, l, size) take(l, size), take(l + 1, size), take(l + 2, size), take(l + 3, size)
#if LANES == 16
#define EACH(take, size)                                                            \
    EACH4(take, 0, size), EACH4(take, 4, size), EACH4(take, 8, size), EACH4(take, 12, size)
#elif LANES == 8
#define EACH(take, size) EACH4(take, 0, size), EACH4(take, 4, size)
#else
#define EACH(take, size) EACH4(take, 0, size)
#endif
#define STAGE(size)                                                              \
    UNROLL for (int i = 0; i < LANES; i++) if (!(i & (size))) {                  \
        const vec a = r[i], b = r[i + (size)];                                   \
        r[i] = __builtin_shufflevector(a, b, EACH(LOW, size));                   \
        r[i + (size)] = __builtin_shufflevector(a, b, EACH(HIGH, size));         \
    }

// A LANES x LANES block from rows `from_row` apart to rows PANEL apart, transposed by exchanging
// ever smaller off-diagonal blocks.
static void transpose_block(const float *from, size_t from_row, float *to) {
    vec r[LANES];
    UNROLL for (int i = 0; i < LANES; i++) r[i] = v_full(from + (size_t)i * from_row);
#if LANES == 16
    STAGE(8)
#endif
#if LANES >= 8
    STAGE(4)
#endif
    STAGE(2)
    STAGE(1)
    UNROLL for (int i = 0; i < LANES; i++) *(loose *)(to + i * PANEL) = r[i];
}

// Rows first ..< first + depth of `columns` <= PANEL columns of B, as [depth,PANEL]; columns that
// a last vector has too many are 0.
static void fill_panel(const product *m, size_t first, size_t depth, size_t column,
                       size_t columns, float *panel) {
    const float *from = m->b + first * m->b_step + column * m->b_column;
    const size_t vectors = columns / LANES * LANES;
    const int is_row_major = m->b_column == 1;
    const size_t blocks = is_row_major ? 0 : depth / LANES * LANES;
    for (size_t p = 0; p < blocks; p += LANES)
        for (size_t j = 0; j < vectors; j += LANES)
            transpose_block(from + j * m->b_column + p, m->b_column, panel + p * PANEL + j);
    for (size_t p = 0; p < depth; p++) {
        float *to = panel + p * PANEL;
        const float *row = from + p * m->b_step;
        const size_t done = p < blocks ? vectors : 0;
        if (is_row_major)
            for (size_t j = 0; j < columns; j += LANES)
                *(loose *)(to + j) = v_load(row + j, columns - j, 0);
        else
            for (size_t j = done; j < columns; j++) to[j] = row[j * m->b_column];
        for (size_t j = columns; j % LANES != 0; j++) to[j] = 0;
    }
}

// One strip of at most STRIP rows by one panel. The last vector of a row of C may end early: then
// the strip is computed beside C and its valid columns copied.
static void strip(const product *m, size_t rows, size_t columns, size_t depth, const float *a,
                  const float *b, size_t b_step, float *c, int accumulate) {
    const microkernel kernel = microkernels[ceil_div(columns, LANES) - 1][rows - 1];
    if (columns % LANES == 0) {
        kernel(depth, a, m->a_row, m->a_step, b, b_step, c, m->c_row, accumulate);
        return;
    }
    float beside[STRIP * PANEL];
    kernel(depth, a, m->a_row, m->a_step, b, b_step, beside, PANEL, 0);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++) {
            float *out = c + i * m->c_row + j;
            *out = accumulate ? *out + beside[i * PANEL + j] : beside[i * PANEL + j];
        }
}

// How many of `left` rows go into the next strip: never one alone behind a full strip.
INLINE size_t strip_rows(size_t left) {
    if (left >= 2 * STRIP || left <= STRIP) return smaller(left, STRIP);
    return (left + 1) / 2;
}

// C's rows `row` ..< row_end, columns `column` ..< column_end. panel: PANEL_BYTES of scratch.
static void multiply(const product *m, size_t row, size_t row_end, size_t column,
                     size_t column_end, float *panel) {
    for (size_t j = column; m->depth == 0 && !m->accumulate && j < column_end; j++)
        for (size_t i = row; i < row_end; i++) m->c[i * m->c_row + j] = 0;
    for (size_t j = column; j < column_end; j += PANEL) {
        const size_t columns = smaller(column_end - j, PANEL);
        const int must_copy = m->b_column != 1 || columns % LANES != 0;
        const int copies = must_copy || row_end - row >= ROWS_TO_COPY;
        for (size_t p = 0; p < m->depth; p += DEPTH_BLOCK) {
            const size_t depth = smaller(m->depth - p, DEPTH_BLOCK);
            const float *b = copies ? panel : m->b + p * m->b_step + j;
            if (copies) fill_panel(m, p, depth, j, columns, panel);
            for (size_t i = row, rows; i < row_end; i += rows) {
                rows = strip_rows(row_end - i);
                strip(m, rows, columns, depth, m->a + i * m->a_row + p * m->a_step, b,
                      copies ? PANEL : m->b_step, m->c + i * m->c_row + j,
                      m->accumulate || p > 0);
            }
        }
    }
}

// ---- Tiles: the tasks a product is cut into, by its shape alone -----------------------------

typedef struct {
    size_t row, row_end, column, column_end;
} tile;

INLINE size_t tile_count(size_t rows, size_t columns) {
    return ceil_div(rows, TILE_ROWS) * ceil_div(columns, PANEL);
}

INLINE tile tile_at(size_t index, size_t rows, size_t columns) {
    const size_t across = ceil_div(columns, PANEL);
    const size_t row = index / across * TILE_ROWS, column = index % across * PANEL;
    return (tile){row, smaller(rows, row + TILE_ROWS), column, smaller(columns, column + PANEL)};
}

static void multiply_tile(const product *m, tile t) {
    float *panel = martlet_scratch(martlet_scratch_task, PANEL_BYTES);
    multiply(m, t.row, t.row_end, t.column, t.column_end, panel);
}
