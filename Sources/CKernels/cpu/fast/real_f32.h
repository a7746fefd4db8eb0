// The element type of the fp32 instances. A product takes one step of depth at a time.

typedef float real;
// What a product multiplies in one lane: the numbers of one step.
typedef float word;
enum { WORD_DEPTH = 1 };  // numbers of a word, one behind the other in depth

INLINE vec r_load(const real *p, size_t left, float rest) { return v_load(p, left, rest); }
INLINE void r_store(real *p, size_t left, vec v) { v_store(p, left, v); }
INLINE float r_get(const real *p) { return *p; }
INLINE void r_set(real *p, float x) { *p = x; }

INLINE vec w_fma(word a, vec b, vec sum) { return v_all(a) * b + sum; }
// The word of rows `first` and, if words are pairs, `second` at one column; second may be NULL.
INLINE word w_pair(const real *first, const real *second) {
    (void)second;
    return *first;
}
// LANES such words from consecutive columns.
INLINE vec w_load_pair(const real *first, const real *second, size_t left) {
    (void)second;
    return v_load(first, left, 0);
}
// LANES words one behind the other in depth.
INLINE vec w_load_words(const real *p) { return v_full(p); }
