// Causal grouped-query attention without a [T,T] matrix in memory (Dao et al. 2022), forward.
//
// The queries of all heads that share one key/value head are rows: row t * group + h. They meet the
// keys in blocks of KEYS, always cut at multiples of KEYS from the first key, so what a query
// computes depends on its own position only. Masked scores become weights of exactly 0.

enum {
    KEYS = 64,          // keys of one block
    QUERY_ROWS = 192,   // rows that share a block's copies, if the group is not wider
    BAND_QUERIES = 16,  // of a block that not all see whole, so few see as many of its keys
};

typedef struct {
    martlet_attention_shape shape;
    size_t group, queries, tiles;  // heads a key head, queries a tile, tiles a sequence
    size_t capacity;               // keys between two sequences
    const int32_t *lengths;        // NULL: every sequence has shape.tokens keys
    const real *q, *k, *v, *out_in, *dout;
    const float *logsumexp_in;
    real *out, *dq, *dk, *dv;
    float *logsumexp;
} attention_work;

static attention_work attention_plan(martlet_attention_shape shape, size_t capacity) {
    const size_t group = shape.kv_heads ? shape.heads / shape.kv_heads : 0;
    const size_t queries = group && group < QUERY_ROWS ? QUERY_ROWS / group : 1;
    return (attention_work){.shape = shape, .group = group, .queries = queries,
                            .tiles = ceil_div(shape.tokens, queries), .capacity = capacity};
}

// Multiply-adds of `products` products over half of all pairs of tokens.
static double attention_cost(martlet_attention_shape s, double products) {
    const double T = (double)s.tokens;
    const double width = (double)(s.head_width + s.value_width) / 2;
    return products * (double)s.batch * T * T / 2 * (double)s.heads * width;
}

// Where the head of row `r` of one sequence and key head lies among all [B,T,H].
INLINE size_t head_of_row(const attention_work *s, size_t batch, size_t key_head, size_t r) {
    const size_t t = r / s->group, h = key_head * s->group + r % s->group;
    return (batch * s->shape.tokens + t) * s->shape.heads + h;
}

// A block of n keys from `key` on meets its rows in bands: all rows at once if their first query
// sees it whole; else a few queries at a time, each band with no more of its keys than its last
// query sees. Row 0 sees `seen` keys.
typedef struct {
    size_t row, row_end, n;
} band;

static band band_from(size_t group, size_t row, size_t row_end, size_t seen, size_t key,
                      size_t n) {
    if (seen + row / group >= key + n) return (band){row, row_end, n};
    const size_t end = smaller(row + BAND_QUERIES * group, row_end);
    const size_t last = seen + (end - 1) / group - key;
    return (band){row, end, smaller(ceil_div(last, LANES) * LANES, n)};
}

// Weights of one block lie in the places of its scores: a row of reals in a row of floats.
enum { WEIGHT_STRIDE = KEYS * (sizeof(float) / sizeof(real)) };

INLINE size_t lanes_left(size_t n, size_t i) { return n > i ? n - i : 0; }

// One tile of a forward pass and its buffers in the task's scratch.
typedef struct {
    size_t rows, seen;  // keys that its first query sees
    int32_t *heads;     // [rows]: where each row's head lies
    float *product, *scores, *largest, *sum, *out;  // scores [rows,KEYS], out [rows,W]
    float *k_columns, *v_rows;  // panels of one block
} attention_tile;

static attention_tile tile_begin(const attention_work *s, size_t batch, size_t key_head,
                                 size_t first) {
    const size_t W = s->shape.value_width, T = s->shape.tokens;
    const size_t rows = smaller(T - first, s->queries) * s->group;
    const size_t most = s->queries * s->group;
    const size_t block = KEYS * (s->shape.head_width + W + 2 * LANES);
    float *memory = martlet_scratch(
        martlet_scratch_task, TILE_BYTES + (most * (KEYS + W + 3) + block) * sizeof(float));
    attention_tile t = {.rows = rows, .product = memory};
    t.seen = (s->lengths ? (size_t)s->lengths[batch] : T) - T + first + 1;
    t.k_columns = memory + TILE_BYTES / sizeof(float);
    t.v_rows = t.k_columns + KEYS * (s->shape.head_width + LANES);
    t.scores = t.k_columns + block;
    t.out = t.scores + most * KEYS;
    t.largest = t.out + most * W;
    t.sum = t.largest + most;
    t.heads = (int32_t *)(void *)(t.sum + most);
    for (size_t r = 0; r < rows; r++) {
        t.heads[r] = (int32_t)head_of_row(s, batch, key_head, first * s->group + r);
        t.largest[r] = -INFINITY;
        t.sum[r] = 0;
    }
    memset(t.out, 0, rows * W * sizeof(float));
    return t;
}

// Row r's scores of one block of n keys, of which it sees `seen`, become weights exp(score -
// largest so far); what was summed before is brought to the new largest.
static void soften_row(const attention_work *s, attention_tile *t, size_t r, size_t seen,
                       size_t n) {
    const size_t W = s->shape.value_width;
    const float scale = (float)s->shape.scale, *scores = t->scores + r * KEYS;
    real *weights = (real *)t->scores + r * WEIGHT_STRIDE;
    const float before = t->largest[r], here = scale * row_largest(seen, scores);
    const float largest = here > before ? here : before;
    vec sum = {0};
    for (size_t i = 0; i < n; i += LANES) {
        const vec score = v_load(scores + i, lanes_left(seen, i), -INFINITY);
        const vec weight = v_exp(scale * score - largest);
        r_store(weights + i, LANES, weight);
        sum += weight;
    }
    const float shrink = exp_of(before - largest);
    t->sum[r] = t->sum[r] * shrink + v_sum(sum);
    t->largest[r] = largest;
    if (shrink != 1.0f) row_scale(W, shrink, t->out + r * W, t->out + r * W);
}

static void attention_task(const void *context, size_t index) {
    const attention_work *s = context;
    const size_t C = s->shape.head_width, W = s->shape.value_width, G = s->shape.kv_heads;
    const size_t pair = index / s->tiles, batch = pair / G, key_head = pair % G;
    const size_t first = index % s->tiles * s->queries;
    attention_tile t = tile_begin(s, batch, key_head, first);
    const real *k = s->k + (batch * s->capacity * G + key_head) * C;
    const real *v = s->v + (batch * s->capacity * G + key_head) * W;
    const size_t keys = t.seen + t.rows / s->group - 1;
    for (size_t key = 0; key < keys; key += KEYS) {
        const size_t n = smaller(keys - key, KEYS);
        // Rows before `blind` see none of these keys.
        const size_t blind = t.seen > key ? 0 : (key + 1 - t.seen) * s->group;
        product scores = {.a = s->q, .a_stride = C, .a_index = t.heads, .order = b_panels,
                          .c = t.scores, .c_stride = KEYS, .depth = C, .mode = c_write};
        product sum = {.a = (const real *)t.scores, .a_stride = WEIGHT_STRIDE,
                       .b = v + key * G * W, .b_stride = G * W, .order = b_rows, .c = t.out,
                       .c_stride = W, .mode = c_add};
        scores.panels = ready_columns(k + key * G * C, G * C, C, n, t.k_columns);
        if (t.rows >= ROWS_TO_COPY) {
            sum.panels = ready_rows(v + key * G * W, G * W, n, W, t.v_rows);
            sum.order = b_panels;
        }
        for (band b = {.row_end = blind}; b.row_end < t.rows;) {
            b = band_from(s->group, b.row_end, t.rows, t.seen, key, n);
            multiply(&scores, b.row, b.row_end, 0, b.n, t.product);
            for (size_t r = b.row; r < b.row_end; r++)
                soften_row(s, &t, r, smaller(t.seen + r / s->group - key, b.n), b.n);
            sum.depth = b.n;
            multiply(&sum, b.row, b.row_end, 0, W, t.product);
        }
    }
    for (size_t r = 0; r < t.rows; r++) {
        real *out = s->out + (size_t)t.heads[r] * W;
        const vec factor = v_all(1.0f / t.sum[r]);
        for (size_t i = 0; i < W; i += LANES)
            r_store(out + i, W - i, factor * v_load(t.out + r * W + i, W - i, 0));
        const size_t token = first + r / s->group, h = (size_t)t.heads[r] % s->shape.heads;
        if (s->logsumexp)
            s->logsumexp[(batch * s->shape.heads + h) * s->shape.tokens + token] =
                t.largest[r] + (float)log((double)t.sum[r]);
    }
}

void MARTLET_OP(attention)(martlet_attention_shape shape, const real *q, const real *k,
                           const real *v, real *out, float *logsumexp) {
    attention_work s = attention_plan(shape, shape.tokens);
    s.q = q, s.k = k, s.v = v, s.out = out, s.logsumexp = logsumexp;
    martlet_parallel(shape.batch * shape.kv_heads * s.tiles, attention_cost(shape, 2),
                     attention_task, &s);
}

void MARTLET_OP(attention_cached)(martlet_attention_shape shape, size_t capacity,
                                  const int32_t *lengths, const real *q, const real *k,
                                  const real *v, real *out) {
    attention_work s = attention_plan(shape, capacity);
    s.q = q, s.k = k, s.v = v, s.out = out, s.lengths = lengths;
    double pairs = 0;
    for (size_t b = 0; b < shape.batch; b++)
        pairs += (double)lengths[b] * (double)shape.tokens;
    martlet_parallel(shape.batch * shape.kv_heads * s.tiles,
                     pairs * (double)shape.heads * (double)(shape.head_width + shape.value_width),
                     attention_task, &s);
}
