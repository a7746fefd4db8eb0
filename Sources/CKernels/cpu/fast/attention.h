// Causal grouped-query attention without a [T,T] matrix in memory (Dao et al. 2022).
//
// A tile is some consecutive queries with all heads that share one key/value head; its row is
// t * group + h. It meets the keys in blocks of KEYS, always cut at multiples of KEYS from the
// first key, so what a query computes depends on its own position only. Masked scores become
// weights of exactly 0.

enum {
    KEYS = 64,       // keys of one block
    QUERY_ROWS = 64  // rows of a tile, if the group is not wider
};

typedef struct {
    martlet_attention_shape shape;
    size_t group, queries, tiles;  // heads a key head, queries a tile, tiles a sequence
    size_t capacity;               // keys between two sequences
    const int32_t *lengths;        // NULL: every sequence has shape.tokens keys
    const float *q, *k, *v, *out_in, *logsumexp_in, *dout;
    float *out, *logsumexp, *dq, *dk, *dv;
} attention_work;

// One tile: where it lies and its buffers in the task's scratch.
typedef struct {
    size_t batch, head, key_head;  // `head` is the first of the group
    size_t first, count, rows;     // queries first ..< first + count, rows = count * group
    size_t seen;                   // keys that query `first` sees
    const float *k, *v;            // first key and value of this sequence and head
    size_t k_stride, v_stride;     // elements between two of them
    float *panel, *q, *scores, *largest, *sum;  // q [rows,C], scores [rows,KEYS], others [rows]
    float *out;                                 // [rows,W]
    float *dq, *dout, *dscores;                 // backward: [rows,C], [rows,W], [rows,KEYS]
} attention_tile;

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

static attention_tile tile_begin(const attention_work *s, size_t batch, size_t key_head,
                                 size_t tile_index) {
    const size_t C = s->shape.head_width, W = s->shape.value_width, T = s->shape.tokens;
    const size_t G = s->shape.kv_heads;
    attention_tile t = {.batch = batch, .key_head = key_head, .head = key_head * s->group,
                        .first = tile_index * s->queries, .k_stride = G * C, .v_stride = G * W};
    t.count = smaller(T - t.first, s->queries);
    t.rows = t.count * s->group;
    t.seen = (s->lengths ? (size_t)s->lengths[batch] : T) - T + t.first + 1;
    t.k = s->k + (batch * s->capacity * G + key_head) * C;
    t.v = s->v + (batch * s->capacity * G + key_head) * W;
    const size_t rows = s->queries * s->group, wide_k = ceil_div(rows * C, 16) * 16;
    const size_t wide_v = ceil_div(rows * W, 16) * 16;
    const size_t floats = 2 * wide_k + 2 * wide_v + 2 * rows * KEYS + 2 * rows;
    t.panel = martlet_scratch(martlet_scratch_task, PANEL_BYTES + floats * sizeof(float));
    t.scores = t.panel + PANEL_BYTES / sizeof(float);
    t.dscores = t.scores + rows * KEYS;
    t.q = t.dscores + rows * KEYS;
    t.dq = t.q + wide_k;
    t.out = t.dq + wide_k;
    t.dout = t.out + wide_v;
    t.largest = t.dout + wide_v;
    t.sum = t.largest + rows;
    return t;
}

// The place of query `i` of the tile in an array [B,T,H,width]: its group's heads lie side by side.
INLINE size_t query_place(const attention_work *s, const attention_tile *t, size_t width,
                          size_t i) {
    return ((t->batch * s->shape.tokens + t->first + i) * s->shape.heads + t->head) * width;
}

static void copy_queries(const attention_work *s, const attention_tile *t, size_t width,
                         float factor, const float *from, float *to) {
    for (size_t i = 0; i < t->count; i++)
        row_scale(s->group * width, factor, from + query_place(s, t, width, i),
                  to + i * s->group * width);
}

// How many of the `n` keys from `key` on the query of row `r` sees.
INLINE size_t seen_of_block(const attention_work *s, const attention_tile *t, size_t r,
                            size_t key, size_t n) {
    const size_t seen = t->seen + r / s->group;
    return seen <= key ? 0 : smaller(seen - key, n);
}

INLINE size_t lanes_left(size_t n, size_t i) { return n > i ? n - i : 0; }

// to [rows,n] = from [rows,width] times the keys or values of one block, `stride` apart.
static void block_scores(const attention_tile *t, size_t width, const float *from,
                         const float *keys, size_t stride, size_t n, float *to) {
    const product m = {.a = from, .a_row = width, .a_step = 1, .b = keys, .b_step = 1,
                       .b_column = stride, .c = to, .c_row = KEYS, .depth = width};
    multiply(&m, 0, t->rows, 0, n, t->panel);
}

// to [rows,width] += weights [rows,n] times the keys or values of one block.
static void block_sum(const attention_tile *t, size_t width, const float *weights,
                      const float *keys, size_t stride, size_t n, float *to) {
    const product m = {.a = weights, .a_row = KEYS, .a_step = 1, .b = keys, .b_step = stride,
                       .b_column = 1, .c = to, .c_row = width, .depth = n, .accumulate = 1};
    multiply(&m, 0, t->rows, 0, width, t->panel);
}

// Row r's scores of one block become weights exp(score - largest so far); what was summed before is
// brought to the new largest.
static void soften_row(const attention_work *s, attention_tile *t, size_t r, size_t key,
                       size_t n) {
    const size_t W = s->shape.value_width, seen = seen_of_block(s, t, r, key, n);
    float *scores = t->scores + r * KEYS;
    const float before = t->largest[r], here = row_largest(seen, scores);
    const float largest = here > before ? here : before;
    vec sum = {0};
    for (size_t i = 0; i < n; i += LANES) {
        const vec weight =
            v_exp(v_load(scores + i, lanes_left(seen, i), -INFINITY) - largest);
        *(loose *)(scores + i) = weight;
        sum += weight;
    }
    const float shrink = exp_of(before - largest);
    t->sum[r] = t->sum[r] * shrink + v_sum(sum);
    t->largest[r] = largest;
    if (shrink != 1.0f) row_scale(W, shrink, t->out + r * W, t->out + r * W);
}

static void attention_task(const void *context, size_t index) {
    const attention_work *s = context;
    const size_t C = s->shape.head_width, W = s->shape.value_width, pair = index / s->tiles;
    attention_tile t = tile_begin(s, pair / s->shape.kv_heads, pair % s->shape.kv_heads,
                                  index % s->tiles);
    copy_queries(s, &t, C, (float)s->shape.scale, s->q, t.q);
    memset(t.out, 0, t.rows * W * sizeof(float));
    for (size_t r = 0; r < t.rows; r++) t.largest[r] = -INFINITY, t.sum[r] = 0;
    const size_t keys = t.seen + t.count - 1;
    for (size_t key = 0; key < keys; key += KEYS) {
        const size_t n = smaller(keys - key, KEYS);
        block_scores(&t, C, t.q, t.k + key * t.k_stride, t.k_stride, n, t.scores);
        for (size_t r = 0; r < t.rows; r++) soften_row(s, &t, r, key, n);
        block_sum(&t, W, t.scores, t.v + key * t.v_stride, t.v_stride, n, t.out);
    }
    for (size_t r = 0; r < t.rows; r++) {
        const size_t i = r / s->group, h = r % s->group;
        row_scale(W, 1.0f / t.sum[r], t.out + r * W, s->out + query_place(s, &t, W, i) + h * W);
        const size_t row = t.batch * s->shape.heads + t.head + h;
        if (s->logsumexp)
            s->logsumexp[row * s->shape.tokens + t.first + i] =
                t.largest[r] + (float)log((double)t.sum[r]);
    }
}

void MARTLET_OP(attention)(martlet_attention_shape shape, const float *q, const float *k,
                           const float *v, float *out, float *logsumexp) {
    attention_work s = attention_plan(shape, shape.tokens);
    s.q = q, s.k = k, s.v = v, s.out = out, s.logsumexp = logsumexp;
    martlet_parallel(shape.batch * shape.kv_heads * s.tiles, attention_cost(shape, 3),
                     attention_task, &s);
}

void MARTLET_OP(attention_cached)(martlet_attention_shape shape, size_t capacity,
                                  const int32_t *lengths, const float *q, const float *k,
                                  const float *v, float *out) {
    attention_work s = attention_plan(shape, capacity);
    s.q = q, s.k = k, s.v = v, s.out = out, s.lengths = lengths;
    double pairs = 0;
    for (size_t b = 0; b < shape.batch; b++)
        pairs += (double)lengths[b] * (double)shape.tokens;
    martlet_parallel(shape.batch * shape.kv_heads * s.tiles,
                     pairs * (double)shape.heads * (double)(shape.head_width + shape.value_width),
                     attention_task, &s);
}

// ---- Backward -------------------------------------------------------------------------------

// Row r: weights p from scores and logsumexp, and dscore = p (dp - sum of p dp), where the sum is
// dout . out and is kept in t->sum.
static void weigh_row(const attention_work *s, const attention_tile *t, size_t r, size_t key,
                      size_t n) {
    const size_t seen = seen_of_block(s, t, r, key, n);
    float *scores = t->scores + r * KEYS, *dscores = t->dscores + r * KEYS;
    const float normaliser = t->largest[r], total = t->sum[r];
    for (size_t i = 0; i < n; i += LANES) {
        const size_t left = lanes_left(seen, i);
        const vec p = v_exp(v_load(scores + i, left, -INFINITY) - normaliser);
        *(loose *)(scores + i) = p;
        *(loose *)(dscores + i) = p * (v_load(dscores + i, left, 0) - total);
    }
}

// to [n,width] += weights^T [n,rows] times from [rows,width]; `to` is dk or dv at the block's first
// key, its rows `stride` apart.
static void block_gradient(const attention_tile *t, size_t width, const float *weights,
                           const float *from, size_t stride, size_t n, float *to) {
    const product m = {.a = weights, .a_row = 1, .a_step = KEYS, .b = from, .b_step = width,
                       .b_column = 1, .c = to, .c_row = stride, .depth = t->rows,
                       .accumulate = 1};
    multiply(&m, 0, n, 0, width, t->panel);
}

static void tile_backward(const attention_work *s, attention_tile *t) {
    const size_t C = s->shape.head_width, W = s->shape.value_width, T = s->shape.tokens;
    const size_t head = t->batch * T * s->shape.kv_heads + t->key_head;
    copy_queries(s, t, C, (float)s->shape.scale, s->q, t->q);
    copy_queries(s, t, W, 1, s->dout, t->dout);
    memset(t->dq, 0, t->rows * C * sizeof(float));
    for (size_t r = 0; r < t->rows; r++) {
        const size_t i = r / s->group, h = r % s->group;
        t->sum[r] = row_dot(W, t->dout + r * W, s->out_in + query_place(s, t, W, i) + h * W);
        const size_t row = t->batch * s->shape.heads + t->head + h;
        t->largest[r] = s->logsumexp_in[row * T + t->first + i];
    }
    const size_t keys = t->seen + t->count - 1;
    for (size_t key = 0; key < keys; key += KEYS) {
        const size_t n = smaller(keys - key, KEYS);
        const size_t k_at = key * t->k_stride, v_at = key * t->v_stride;
        block_scores(t, C, t->q, t->k + k_at, t->k_stride, n, t->scores);
        block_scores(t, W, t->dout, t->v + v_at, t->v_stride, n, t->dscores);
        for (size_t r = 0; r < t->rows; r++) weigh_row(s, t, r, key, n);
        block_gradient(t, W, t->scores, t->dout, t->v_stride, n, s->dv + head * W + v_at);
        // q carries the scale.
        block_gradient(t, C, t->dscores, t->q, t->k_stride, n, s->dk + head * C + k_at);
        block_sum(t, C, t->dscores, t->k + k_at, t->k_stride, n, t->dq);
    }
    const size_t width = s->group * C;
    for (size_t i = 0; i < t->count; i++)
        row_scale(width, (float)s->shape.scale, t->dq + i * width,
                  s->dq + query_place(s, t, C, i));
}

// A task is all tiles of one sequence and key head: they share dk and dv, which so need no second
// pass and no atomics.
static void attention_backward_task(const void *context, size_t index) {
    const attention_work *s = context;
    const size_t C = s->shape.head_width, W = s->shape.value_width;
    const size_t T = s->shape.tokens, G = s->shape.kv_heads;
    for (size_t j = 0; j < T; j++) {
        const size_t head = (index / G * T + j) * G + index % G;
        memset(s->dk + head * C, 0, C * sizeof(float));
        memset(s->dv + head * W, 0, W * sizeof(float));
    }
    for (size_t i = 0; i < s->tiles; i++) {
        attention_tile t = tile_begin(s, index / G, index % G, i);
        tile_backward(s, &t);
    }
}

void MARTLET_OP(attention_backward)(martlet_attention_shape shape, const float *q, const float *k,
                                    const float *v, const float *out, const float *logsumexp,
                                    const float *dout, float *dq, float *dk, float *dv) {
    attention_work s = attention_plan(shape, shape.tokens);
    s.q = q, s.k = k, s.v = v, s.out_in = out, s.logsumexp_in = logsumexp, s.dout = dout;
    s.dq = dq, s.dk = dk, s.dv = dv;
    martlet_parallel(shape.batch * shape.kv_heads, attention_cost(shape, 6),
                     attention_backward_task, &s);
}

// ---- Heads of latent attention --------------------------------------------------------------

typedef struct {
    size_t M, H, N, R, W, rows;  // `rows` of one task
    const float *kv, *rotated, *dk, *dv;
    float *k, *v, *dkv, *drotated;
} latent_work;

static void latent_heads_task(const void *context, size_t index) {
    const latent_work *s = context;
    const size_t H = s->H, N = s->N, R = s->R, W = s->W;
    const size_t end = smaller(s->M, (index + 1) * s->rows);
    for (size_t i = index * s->rows * H; i < end * H; i++) {
        const float *kv = s->kv + i * (N + W);
        float *k = s->k + i * (N + R);
        memcpy(k, kv, N * sizeof(float));
        memcpy(k + N, s->rotated + i / H * R, R * sizeof(float));
        memcpy(s->v + i * W, kv + N, W * sizeof(float));
    }
}

void MARTLET_OP(latent_heads)(size_t M, size_t H, size_t N, size_t R, size_t W, const float *kv,
                              const float *rotated, float *k, float *v) {
    const size_t width = H * (N + R + W);
    const latent_work s = {.M = M, .H = H, .N = N, .R = R, .W = W, .rows = rows_per_task(width),
                           .kv = kv, .rotated = rotated, .k = k, .v = v};
    martlet_parallel(ceil_div(M, s.rows), (double)M * (double)width, latent_heads_task, &s);
}

static void latent_heads_backward_task(const void *context, size_t index) {
    const latent_work *s = context;
    const size_t H = s->H, N = s->N, R = s->R, W = s->W;
    const size_t end = smaller(s->M, (index + 1) * s->rows);
    for (size_t m = index * s->rows; m < end; m++) {
        float *drotated = s->drotated + m * R;
        memset(drotated, 0, R * sizeof(float));
        for (size_t i = m * H; i < (m + 1) * H; i++) {
            const float *dk = s->dk + i * (N + R);
            float *dkv = s->dkv + i * (N + W);
            memcpy(dkv, dk, N * sizeof(float));
            memcpy(dkv + N, s->dv + i * W, W * sizeof(float));
            for (size_t c = 0; c < R; c++) drotated[c] += dk[N + c];
        }
    }
}

void MARTLET_OP(latent_heads_backward)(size_t M, size_t H, size_t N, size_t R, size_t W,
                                       const float *dk, const float *dv, float *dkv,
                                       float *drotated) {
    const size_t width = H * (N + R + W);
    const latent_work s = {.M = M, .H = H, .N = N, .R = R, .W = W, .rows = rows_per_task(width),
                           .dk = dk, .dv = dv, .dkv = dkv, .drotated = drotated};
    martlet_parallel(ceil_div(M, s.rows), (double)M * (double)width, latent_heads_backward_task,
                     &s);
}
