// The element type of the bf16 instances: the upper half of an fp32 number, rounded to nearest,
// ties to even. Arithmetic is fp32.
//
// With the processor's dot product (PAIRED) a word is a pair of numbers one behind the other in
// depth, and a step of a product adds both. Without it a word is one number widened to fp32.

typedef martlet_bf16 real;
typedef uint16_t hvec __attribute__((vector_size(2 * LANES)));
typedef uint16_t loose_hvec __attribute__((vector_size(2 * LANES), aligned(2), may_alias));
typedef uint32_t loose_word __attribute__((aligned(2), may_alias));

INLINE vec h_widen(hvec h) { return (vec)(__builtin_convertvector(h, uvec) << 16); }

INLINE hvec h_part(const real *p, size_t left) {
    if (left >= LANES) return (hvec) * (const loose_hvec *)p;
#if LANES == 16
    return (hvec)_mm256_maskz_loadu_epi16((__mmask16)((1u << left) - 1), p);
#else
    hvec h = {0};
    for (size_t i = 0; i < left; i++) h[i] = p[i].bits;
    return h;
#endif
}

INLINE vec r_load(const real *p, size_t left, float rest) {
    const vec v = h_widen(h_part(p, left));
    if (left >= LANES || rest == 0) return v;
#if LANES == 16
    return (vec)_mm512_mask_mov_ps((__m512)v_all(rest), (__mmask16)((1u << left) - 1), (__m512)v);
#else
    vec w = v;
    for (size_t i = left; i < LANES; i++) w[i] = rest;
    return w;
#endif
}

INLINE hvec h_round(vec v) {
#if PAIRED
    return (hvec)_mm512_cvtneps_pbh((__m512)v);
#else
    const uvec bits = (uvec)v, even = (bits >> 16) & 1u;
    const uvec rounded = (bits + 0x7fffu + even) >> 16, quiet = (bits >> 16) | 0x40u;
    const uvec is_nan = (uvec)(v != v);
    return __builtin_convertvector((rounded & ~is_nan) | (quiet & is_nan), hvec);
#endif
}

INLINE void r_store(real *p, size_t left, vec v) {
    const hvec h = h_round(v);
    if (left >= LANES) {
        *(loose_hvec *)p = (loose_hvec)h;
        return;
    }
#if LANES == 16
    _mm256_mask_storeu_epi16(p, (__mmask16)((1u << left) - 1), (__m256i)h);
#else
    for (size_t i = 0; i < left; i++) p[i].bits = h[i];
#endif
}

INLINE float r_get(const real *p) {
    const uint32_t bits = (uint32_t)p->bits << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
INLINE void r_set(real *p, float x) { p->bits = h_round(v_all(x))[0]; }

#if PAIRED
typedef uint32_t word;
enum { WORD_DEPTH = 2 };

INLINE vec w_fma(word a, vec b, vec sum) {
    return (vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32((int)a), (__m512bh)b);
}
INLINE word w_pair(const real *first, const real *second) {
    return (word)first->bits | (second ? (word)second->bits << 16 : 0);
}
INLINE vec w_load_pair(const real *first, const real *second, size_t left) {
    const uvec low = __builtin_convertvector(h_part(first, left), uvec);
    if (!second) return (vec)low;
    return (vec)(low | __builtin_convertvector(h_part(second, left), uvec) << 16);
}
INLINE vec w_load_words(const real *p) { return v_full((const float *)(const void *)p); }
#else
typedef float word;
enum { WORD_DEPTH = 1 };

INLINE vec w_fma(word a, vec b, vec sum) { return v_all(a) * b + sum; }
INLINE word w_pair(const real *first, const real *second) {
    (void)second;
    return r_get(first);
}
INLINE vec w_load_pair(const real *first, const real *second, size_t left) {
    (void)second;
    return r_load(first, left, 0);
}
INLINE vec w_load_words(const real *p) { return r_load(p, LANES, 0); }
#endif
