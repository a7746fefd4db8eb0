// Copies of a product's operands in the order in which the microkernel reads them.

enum {
    STRIP = 6,                      // rows of a microkernel tile
    PANEL = PANEL_VECTORS * LANES,  // columns of a microkernel tile
    STEPS_BLOCK = 512,              // steps between a load and a store of C; the panel fits L2
    DEPTH_BLOCK = STEPS_BLOCK * WORD_DEPTH,
    PANEL_WORDS = STEPS_BLOCK * PANEL,
    // Numbers of depth that a copy from rows asks for ahead of time, and vectors from columns: both
    // read runs too short for the processor to foresee.
    ROWS_AHEAD = 16,
    VECTORS_AHEAD = 4,
};

INLINE size_t row_of(const int32_t *index, size_t i) { return index ? (size_t)index[i] : i; }

// ---- From rows ------------------------------------------------------------------------------

INLINE void ask_for(const real *from, size_t count) {
    for (size_t j = 0; j < count; j += 64 / sizeof(real)) __builtin_prefetch(from + j);
}

// to [steps,stride] of words: numbers first ..< first + depth of `columns` columns, where number p
// is row row_of(index, p) of `from`. Columns up to the next full vector are 0.
static void copy_rows(const real *from, size_t from_stride, const int32_t *index, size_t first,
                      size_t depth, size_t columns, float *to, size_t stride) {
    for (size_t p = 0; p < depth; p += WORD_DEPTH, to += stride) {
        const size_t ahead = p + ROWS_AHEAD, left = depth - p;
        for (size_t i = 0; i < WORD_DEPTH && ahead + i < depth; i++)
            ask_for(from + row_of(index, first + ahead + i) * from_stride, columns);
        const real *one = from + row_of(index, first + p) * from_stride;
        const real *two = NULL;
        if (WORD_DEPTH == 2 && left > 1) two = from + row_of(index, first + p + 1) * from_stride;
        for (size_t j = 0; j < columns; j += LANES)
            *(loose *)(to + j) = w_load_pair(one + j, two ? two + j : NULL, columns - j);
    }
}

// ---- From columns ---------------------------------------------------------------------------

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

// LANES words of LANES columns `stride` numbers apart become LANES rows `to_stride` words apart, by
// exchanging ever smaller off-diagonal blocks.
static void transpose_block(const real *from, size_t stride, float *to, size_t to_stride) {
    vec r[LANES];
    UNROLL for (int i = 0; i < LANES; i++) r[i] = w_load_words(from + (size_t)i * stride);
#if LANES == 16
    STAGE(8)
#endif
#if LANES >= 8
    STAGE(4)
#endif
    STAGE(2)
    STAGE(1)
    UNROLL for (int i = 0; i < LANES; i++) *(loose *)(to + (size_t)i * to_stride) = r[i];
}

// to [steps,stride] of words: `depth` numbers of `columns` columns, `from_stride` numbers apart.
// Columns up to the next full vector are 0 if `pads`, else untouched.
static void copy_columns(const real *from, size_t from_stride, size_t depth, size_t columns,
                         float *to, size_t stride, int pads) {
    const size_t whole = depth / (LANES * WORD_DEPTH) * LANES;  // steps of whole blocks
    const size_t full = columns / LANES * LANES;
    for (size_t j = 0; j < full; j += LANES)
        for (size_t p = 0; p < whole; p += LANES) {
            const real *block = from + j * from_stride + p * WORD_DEPTH;
            for (size_t i = 0; i < LANES; i++)
                ask_for(block + i * from_stride + VECTORS_AHEAD * LANES * WORD_DEPTH, 1);
            transpose_block(block, from_stride, to + p * stride + j, stride);
        }
    for (size_t j = 0; j < columns; j++)
        for (size_t p = j < full ? whole : 0; p * WORD_DEPTH < depth; p++) {
            const real *number = from + j * from_stride + p * WORD_DEPTH;
            const word w = w_pair(number, p * WORD_DEPTH + 1 < depth ? number + 1 : NULL);
            memcpy(to + p * stride + j, &w, sizeof w);
        }
    for (size_t p = 0; pads && columns % LANES && p * WORD_DEPTH < depth; p++)
        for (size_t j = columns; j % LANES != 0; j++) to[p * stride + j] = 0;
}

// ---- Ready panels ---------------------------------------------------------------------------
//
// An operand that serves many products is copied once: panel j, which begins at word j * PANEL *
// steps, is [steps][its columns]. The last panel is as narrow as its columns, so that ready panels
// are as many words as the operand; a read of its last vector may go beyond by a vector.

typedef struct {
    const float *words;
    size_t steps, columns;  // of the operand; a product may use fewer
} ready_panels;

static ready_panels ready_columns(const real *from, size_t from_stride, size_t depth,
                                  size_t columns, float *to) {
    const size_t steps = ceil_div(depth, WORD_DEPTH);
    for (size_t j = 0; j < columns; j += PANEL) {
        const size_t width = smaller(columns - j, PANEL);
        copy_columns(from + j * from_stride, from_stride, depth, width, to + j * steps, width, 0);
    }
    return (ready_panels){to, steps, columns};
}

static ready_panels ready_rows(const real *from, size_t from_stride, size_t depth, size_t columns,
                               float *to) {
    const size_t steps = ceil_div(depth, WORD_DEPTH);
    for (size_t j = 0; j < columns; j += PANEL) {
        const size_t width = smaller(columns - j, PANEL);
        copy_rows(from + j, from_stride, NULL, 0, depth, width, to + j * steps, width);
    }
    return (ready_panels){to, steps, columns};
}
