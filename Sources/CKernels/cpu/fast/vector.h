// Vectors of LANES floats by the compilers' vector extension, loads and stores of rows that need
// not end on a vector, exp, and reductions in a fixed order.

typedef float vec __attribute__((vector_size(4 * LANES)));
// A vector in memory that is aligned as a float is.
typedef float loose __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint32_t uvec __attribute__((vector_size(4 * LANES)));

// Taking 0 away changes no x, not even -0, so this is a broadcast and no arithmetic.
INLINE vec v_all(float x) { return x - (vec){0}; }
INLINE vec v_full(const float *p) { return *(const loose *)p; }

// The first min(left, LANES) lanes from p, the others `rest`. Rows shorter than a vector are common
// (router logits), so where the machine has masked loads and stores they are used.
INLINE vec v_load(const float *p, size_t left, float rest) {
    if (left >= LANES) return v_full(p);
#if LANES == 16
    return (vec)_mm512_mask_loadu_ps((__m512)v_all(rest), (__mmask16)((1u << left) - 1), p);
#else
    vec v = v_all(rest);
    for (size_t i = 0; i < left; i++) v[i] = p[i];
    return v;
#endif
}

INLINE void v_store(float *p, size_t left, vec v) {
    if (left >= LANES) {
        *(loose *)p = v;
        return;
    }
#if LANES == 16
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << left) - 1), (__m512)v);
#else
    for (size_t i = 0; i < left; i++) p[i] = v[i];
#endif
}

INLINE vec v_select(uvec mask, vec yes, vec no) {
    return (vec)((mask & (uvec)yes) | (~mask & (uvec)no));
}
// NaN in b is kept, NaN in a is not.
INLINE vec v_max(vec a, vec b) { return v_select((uvec)(a > b), a, b); }

// Halves are added to each other until one lane is left.
INLINE float v_sum(vec v) {
    float lane[LANES];
    memcpy(lane, &v, sizeof lane);
    UNROLL for (int width = LANES / 2; width > 0; width /= 2)
        for (int i = 0; i < width; i++) lane[i] += lane[i + width];
    return lane[0];
}

INLINE float v_largest(vec v) {
    float lane[LANES];
    memcpy(lane, &v, sizeof lane);
    UNROLL for (int width = LANES / 2; width > 0; width /= 2)
        for (int i = 0; i < width; i++)
            lane[i] = lane[i] > lane[i + width] ? lane[i] : lane[i + width];
    return lane[0];
}

// exp(x) with a relative error below 1e-7 if -87.3 < x < 88.3; 0 below, infinite above, NaN of NaN.
// x = n ln 2 + r: adding 1.5 * 2^23 rounds n to an integer that then lies in the low bits of the
// sum, from where a shift makes it the exponent of 2^n; exp(r) is a polynomial for |r| < ln 2 / 2
// (coefficients of the minimax fit in Cephes' expf). ln 2 is taken off in two parts: r stays exact.
INLINE vec v_exp(vec x) {
    const vec magic = v_all(12582912.0f), low = v_all(-87.3f), high = v_all(88.3f);
    const uvec is_low = (uvec)(x < low), is_high = (uvec)(x > high);
    x = v_select(is_high, high, v_select(is_low, low, x));
    const vec shifted = x * 1.44269504f + magic;
    const vec n = shifted - magic;
    vec r = x - n * 0.693145752f;
    r = r - n * 1.42860677e-6f;
    vec p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    const vec y = (vec)((uvec)p + ((uvec)shifted << 23));
    return v_select(is_high, v_all(INFINITY), (vec)((uvec)y & ~is_low));
}

INLINE vec v_sigmoid(vec x) { return 1.0f / (1.0f + v_exp(-x)); }

INLINE float exp_of(float x) { return v_exp(v_all(x))[0]; }

// ---- Rows -----------------------------------------------------------------------------------

static float row_largest(size_t n, const float *x) {
    vec largest = v_all(-INFINITY);
    for (size_t i = 0; i < n; i += LANES)
        largest = v_max(largest, v_load(x + i, n - i, -INFINITY));
    return v_largest(largest);
}

// y = factor * x.
static void row_scale(size_t n, float factor, const float *x, float *y) {
    for (size_t i = 0; i < n; i += LANES)
        v_store(y + i, n - i, factor * v_load(x + i, n - i, 0));
}

// y += x.
static void row_add(size_t n, const float *x, float *y) {
    for (size_t i = 0; i < n; i += LANES)
        v_store(y + i, n - i, v_load(y + i, n - i, 0) + v_load(x + i, n - i, 0));
}

// ---- Partition ------------------------------------------------------------------------------

INLINE size_t ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }
INLINE size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

// Rows of `width` floats that make a task of some 16 K elements.
INLINE size_t rows_per_task(size_t width) {
    const size_t elements = 16384;
    return width >= elements ? 1 : elements / (width ? width : 1);
}

// Rows of one partial sum: as many as keep the number of partial sums at or below 64, at least 32.
INLINE size_t rows_per_partial(size_t rows) {
    const size_t partials_max = 64, rows_min = 32;
    const size_t needed = ceil_div(rows, partials_max);
    return needed > rows_min ? needed : rows_min;
}

// sum [n] += the partial sums [count,n], in order.
static void add_partials(size_t count, size_t n, const float *partials, float *sum) {
    for (size_t i = 0; i < count; i++) row_add(n, partials + i * n, sum);
}
