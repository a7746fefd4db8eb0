// Causal grouped-query attention, backward (legend and rows in attention.h).
//
// A task is one sequence and key head: its dk and dv so need no second pass and no atomics. Blocks
// of keys are the outer loop, so that their copies serve all rows; dq is summed in fp32 beside.

enum { BACKWARD_ROWS = 128 };  // rows that meet a block at once; even, as words may be pairs

// A task's buffers in its scratch. R = T * group rows.
typedef struct {
    size_t R, padded;  // R rounded up to full tiles
    int32_t *heads;    // [R]
    float *product;    // scratch of `multiply`
    float *sum, *logsumexp;              // [R]: dout . out, and as the forward pass left it
    float *dq, *q, *dout;                // dq [R,C] of floats; q [R,C], dout [R,W] of words
    float *k_columns, *v_columns, *k_rows;  // for the panels of one block
    float *dk, *dv;                      // [KEYS,C], [KEYS,W]
    float *scores, *dscores, *turned;    // [BACKWARD_ROWS,KEYS]
} backward_task;

// Floats of `count`, so that the next buffer begins on a cache line with a vector to spare.
INLINE size_t aligned_floats(size_t count) { return ceil_div(count, 16) * 16 + 16; }

static backward_task backward_begin(const attention_work *s, size_t batch, size_t key_head) {
    const size_t C = s->shape.head_width, W = s->shape.value_width, H = s->shape.heads;
    const size_t R = s->shape.tokens * s->group;
    backward_task t = {.R = R, .padded = ceil_div(R, BACKWARD_ROWS) * BACKWARD_ROWS};
    const size_t row = aligned_floats(R), wide = aligned_floats(R * C), out = aligned_floats(R * W);
    const size_t k = aligned_floats(KEYS * C), v = aligned_floats(KEYS * W);
    const size_t block = aligned_floats(BACKWARD_ROWS * KEYS);
    float *p = martlet_scratch(martlet_scratch_task,
                               TILE_BYTES + sizeof(float) * (3 * row + 2 * wide + out + 3 * k +
                                                             2 * v + 3 * block));
    t.product = p, p += TILE_BYTES / sizeof(float);
    t.heads = (int32_t *)(void *)p, p += row;
    t.sum = p, p += row;
    t.logsumexp = p, p += row;
    t.dq = p, p += wide;
    t.q = p, p += wide;
    t.dout = p, p += out;
    t.k_columns = p, p += k;
    t.k_rows = p, p += k;
    t.dk = p, p += k;
    t.v_columns = p, p += v;
    t.dv = p, p += v;
    t.scores = p, p += block;
    t.dscores = p, p += block;
    t.turned = p;
    for (size_t r = 0; r < R; r++) {
        const size_t head = head_of_row(s, batch, key_head, r);
        t.heads[r] = (int32_t)head;
        vec dot = {0};
        for (size_t i = 0; i < W; i += LANES)
            dot += r_load(s->dout + head * W + i, W - i, 0) *
                   r_load(s->out_in + head * W + i, W - i, 0);
        t.sum[r] = v_sum(dot);
        t.logsumexp[r] =
            s->logsumexp_in[(batch * H + head % H) * s->shape.tokens + r / s->group];
    }
    memset(t.dq, 0, R * C * sizeof(float));
    copy_rows(s->q, C, t.heads, 0, R, C, t.q, C);
    copy_rows(s->dout, W, t.heads, 0, R, W, t.dout, W);
    return t;
}

// Row r: weights p from scores and logsumexp, and dscore = scale p (dp - dout . out).
static void weigh_row(const attention_work *s, const backward_task *t, size_t first, size_t r,
                      size_t seen, size_t n) {
    const float *scores = t->scores + r * KEYS, *dweights = t->dscores + r * KEYS;
    real *p = (real *)t->scores + r * WEIGHT_STRIDE, *d = (real *)t->dscores + r * WEIGHT_STRIDE;
    const float normaliser = t->logsumexp[first + r], total = t->sum[first + r];
    const float scale = (float)s->shape.scale;
    for (size_t i = 0; i < n; i += LANES) {
        const size_t left = lanes_left(seen, i);
        const vec weight = v_exp(scale * v_load(scores + i, left, -INFINITY) - normaliser);
        const vec dscore = scale * weight * (v_load(dweights + i, left, 0) - total);
        r_store(p + i, LANES, weight);
        r_store(d + i, LANES, dscore);
    }
}

// to [n,width] += weights [rows,n]^T times rows of `from` [rows,width] of words.
static void block_gradient(const backward_task *t, const real *weights, size_t rows, size_t n,
                           const float *from, size_t width, float *to) {
    const size_t steps = ceil_div(rows, WORD_DEPTH);
    const int lies_ready = sizeof(real) == sizeof(float);
    const loose_a *words = (const loose_a *)(lies_ready ? (const void *)weights : t->turned);
    if (!lies_ready) copy_rows(weights, WEIGHT_STRIDE, NULL, 0, rows, n, t->turned, KEYS);
    for (size_t j = 0; j < width; j += PANEL)
        for (size_t i = 0, count; i < n; i += count) {
            count = strip_rows(n - i);
            const loose_a *row_a[STRIP];
            for (size_t r = 0; r < count; r++) row_a[r] = words + i + r;
            strip(count, smaller(width - j, PANEL), steps, row_a, KEYS, from + j, width,
                  to + i * width + j, width, c_add);
        }
}

typedef struct {
    ready_panels k_columns, v_columns, k_rows;
} backward_block;

// What rows first ..< first + rows and n keys from `key` on do to each other.
static void meet(const attention_work *s, const backward_task *t, const backward_block *block,
                 size_t first, size_t rows, size_t key, size_t n) {
    const size_t C = s->shape.head_width, W = s->shape.value_width;
    const product scores = {.a = s->q, .a_stride = C, .a_index = t->heads + first,
                            .panels = block->k_columns, .order = b_panels, .c = t->scores,
                            .c_stride = KEYS, .depth = C, .mode = c_write};
    const product dweights = {.a = s->dout, .a_stride = W, .a_index = t->heads + first,
                              .panels = block->v_columns, .order = b_panels, .c = t->dscores,
                              .c_stride = KEYS, .depth = W, .mode = c_write};
    multiply(&scores, 0, rows, 0, n, t->product);
    multiply(&dweights, 0, rows, 0, n, t->product);
    for (size_t r = 0; r < rows; r++) {
        const size_t query = (first + r) / s->group;
        weigh_row(s, t, first, r, query < key ? 0 : smaller(query + 1 - key, n), n);
    }
    const size_t step = first / WORD_DEPTH;
    const real *p = (const real *)t->scores, *d = (const real *)t->dscores;
    block_gradient(t, p, rows, n, t->dout + step * W, W, t->dv);
    block_gradient(t, d, rows, n, t->q + step * C, C, t->dk);
    const product dq = {.a = d, .a_stride = WEIGHT_STRIDE, .panels = block->k_rows,
                        .order = b_panels, .c = t->dq + first * C, .c_stride = C, .depth = n,
                        .mode = c_add};
    multiply(&dq, 0, rows, 0, C, t->product);
}

// to [rows,width] of reals, `stride` apart or by index.
static void store_rows(size_t rows, size_t width, const float *from, const int32_t *index,
                       size_t stride, real *to) {
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < width; i += LANES)
            r_store(to + row_of(index, r) * stride + i, width - i,
                    v_load(from + r * width + i, width - i, 0));
}

static void attention_backward_task(const void *context, size_t index) {
    const attention_work *s = context;
    const size_t C = s->shape.head_width, W = s->shape.value_width, T = s->shape.tokens;
    const size_t G = s->shape.kv_heads, batch = index / G, key_head = index % G;
    const backward_task t = backward_begin(s, batch, key_head);
    for (size_t key = 0; key < T; key += KEYS) {
        const size_t n = smaller(T - key, KEYS), at = (batch * T + key) * G + key_head;
        const backward_block block = {ready_columns(s->k + at * C, G * C, C, n, t.k_columns),
                                      ready_columns(s->v + at * W, G * W, W, n, t.v_columns),
                                      ready_rows(s->k + at * C, G * C, n, C, t.k_rows)};
        memset(t.dk, 0, n * C * sizeof(float));
        memset(t.dv, 0, n * W * sizeof(float));
        // Rows before the block's first key see none of it.
        for (size_t row = key * s->group / 2 * 2; row < t.R;) {
            const size_t end = smaller(row + BACKWARD_ROWS, t.R);
            const band b = band_from(s->group, row, end, 1, key, n);
            meet(s, &t, &block, row, b.row_end - row, key, b.n);
            row = b.row_end;
        }
        store_rows(n, C, t.dk, NULL, G * C, s->dk + at * C);
        store_rows(n, W, t.dv, NULL, G * W, s->dv + at * W);
    }
    store_rows(t.R, C, t.dq, t.heads, C, s->dq);
}

void MARTLET_OP(attention_backward)(martlet_attention_shape shape, const real *q, const real *k,
                                    const real *v, const real *out, const float *logsumexp,
                                    const real *dout, real *dq, real *dk, real *dv) {
    attention_work s = attention_plan(shape, shape.tokens);
    s.q = q, s.k = k, s.v = v, s.out_in = out, s.logsumexp_in = logsumexp, s.dout = dout;
    s.dq = dq, s.dk = dk, s.dv = dv;
    martlet_parallel(shape.batch * shape.kv_heads, attention_cost(shape, 5),
                     attention_backward_task, &s);
}
