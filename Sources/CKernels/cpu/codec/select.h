// Top-k of a chunk without sorting it: a bound that at least k numbers reach, the few that reach
// it, and among them the k-th largest, found bit by bit.

// Columns of a chunk seen as 16 rows. The k-th largest of their maxima is a bound that k numbers
// reach, and as long as k is a quarter of the columns hardly more do.
enum { PRIVATE(columns) = 256, PRIVATE(word) = 64, PRIVATE(padding) = 16 };

// One bit for each of 16 numbers that reaches `bound`.
INLINE uint64_t PRIVATE(reaching)(const float *x, uint32_t bound) {
#if LANES == 16
    const __m512i all = _mm512_set1_epi32(0x7fffffff), least = _mm512_set1_epi32((int)bound);
    return _mm512_cmpge_epu32_mask(_mm512_and_epi32(_mm512_loadu_si512(x), all), least);
#elif LANES == 8
    // Magnitudes have no sign bit, so a signed comparison does.
    const __m256i all = _mm256_set1_epi32(0x7fffffff), below = _mm256_set1_epi32((int)bound - 1);
    const __m256i low = _mm256_loadu_si256((const __m256i *)x);
    const __m256i high = _mm256_loadu_si256((const __m256i *)(x + 8));
    const __m256i in_low = _mm256_cmpgt_epi32(_mm256_and_si256(low, all), below);
    const __m256i in_high = _mm256_cmpgt_epi32(_mm256_and_si256(high, all), below);
    return (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(in_low)) |
           (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(in_high)) << 8;
#else
    uint64_t mask = 0;
    for (uint32_t i = 0; i < 16; i++)
        mask |= (uint64_t)(PRIVATE(magnitude)(x[i]) >= bound) << i;
    return mask;
#endif
}

// How many of x [n] reach `bound`; n is a multiple of the padding.
INLINE size_t PRIVATE(count)(size_t n, const float *x, uint32_t bound) {
#if LANES >= 8 && defined(__x86_64__)
    size_t count = 0;
    for (size_t i = 0; i < n; i += PRIVATE(padding))
        count += (size_t)_mm_popcnt_u32((uint32_t)PRIVATE(reaching)(x + i, bound));
    return count;
#else
    uint32_t lane[PRIVATE(padding)] = {0};
    for (size_t i = 0; i < n; i += PRIVATE(padding))
        for (size_t j = 0; j < PRIVATE(padding); j++)
            lane[j] += PRIVATE(magnitude)(x[i + j]) >= bound;
    size_t count = 0;
    for (size_t j = 0; j < PRIVATE(padding); j++) count += lane[j];
    return count;
#endif
}

// The largest bound that at least `kept` of x [n] reach, without bits below `low`; it has the bits
// of `known` above `top`. n >= kept > 0, n is a multiple of the padding.
INLINE uint32_t PRIVATE(bound)(size_t n, const float *x, size_t kept, uint32_t known, int top,
                               int low) {
    uint32_t bound = known;
    for (int bit = top; bit >= low; bit--) {
        const uint32_t higher = bound | 1u << bit;
        if (PRIVATE(count)(n, x, higher) >= kept) bound = higher;
    }
    return bound;
}

// A bound that at least `kept` of the chunk x [n] reach.
INLINE uint32_t PRIVATE(chunk_bound)(size_t n, const float *x, size_t kept) {
    enum { top = 30, low = 16 };
    if (n == martlet_chunk && kept <= PRIVATE(columns)) {
        float most[PRIVATE(columns)] = {0};
        for (size_t row = 0; row < martlet_chunk; row += PRIVATE(columns))
            for (size_t i = 0; i < PRIVATE(columns); i++) {
                const float m = __builtin_fabsf(x[row + i]);
                most[i] = m > most[i] ? m : most[i];
            }
        return PRIVATE(bound)(PRIVATE(columns), most, kept, 0, top, low);
    }
    if (n % PRIVATE(padding) == 0) return PRIVATE(bound)(n, x, kept, 0, top, low);
    float padded[martlet_chunk] = {0};
    memcpy(padded, x, n * sizeof *x);
    return PRIVATE(bound)((n / PRIVATE(padding) + 1) * PRIVATE(padding), padded, kept, 0, top, low);
}

// The positions in x [n] of all that reach `bound`, ascending; returns how many.
INLINE size_t PRIVATE(find)(size_t n, const float *x, uint32_t bound,
                            martlet_feedback_of ahead, uint16_t *positions) {
    size_t count = 0, first = 0;
    for (; first + PRIVATE(word) <= n; first += PRIVATE(word)) {
        const float *y = x + first;
        PRIVATE(ask)(first, ahead);
        uint64_t mask = PRIVATE(reaching)(y, bound) | PRIVATE(reaching)(y + 16, bound) << 16 |
                        PRIVATE(reaching)(y + 32, bound) << 32 |
                        PRIVATE(reaching)(y + 48, bound) << 48;
        for (; mask; mask &= mask - 1)
            positions[count++] = (uint16_t)(first + (size_t)__builtin_ctzll(mask));
    }
    for (; first < n; first++)
        if (PRIVATE(magnitude)(x[first]) >= bound) positions[count++] = (uint16_t)first;
    return count;
}

// The positions of the `kept` largest of x [n], of equals the first.
static void PRIVATE(select)(size_t n, const float *x, size_t kept, martlet_feedback_of ahead,
                            uint16_t *positions) {
    const uint32_t rough = PRIVATE(chunk_bound)(n, x, kept);
    uint16_t found[martlet_chunk];
    float m[martlet_chunk + PRIVATE(padding)];
    const size_t count = PRIVATE(find)(n, x, rough, ahead, found);
    for (size_t j = 0; j < count; j++) m[j] = x[found[j]];
    for (size_t j = 0; j < PRIVATE(padding); j++) m[count + j] = 0;
    const size_t padded = (count + PRIVATE(padding) - 1) / PRIVATE(padding) * PRIVATE(padding);

    // All reach the rough bound, so the exact one is it and what follows its last bit, or more; the
    // first bit that may differ is the first in which it differs from the largest.
    const uint32_t differs = (rough ^ PRIVATE(largest)(padded, m)) | 0xffff;
    const int top = 31 - __builtin_clz(differs);
    const uint32_t known = rough & ~((2u << top) - 1);
    const uint32_t exact = PRIVATE(bound)(padded, m, kept, known, top, 0);
    size_t equal = kept - PRIVATE(count)(padded, m, exact + 1), out = 0;
    for (size_t j = 0; out < kept; j++) {
        const uint32_t magnitude = PRIVATE(magnitude)(m[j]);
        const size_t is_equal = magnitude == exact && equal > 0;
        // Written in any case: what is not taken is written over.
        positions[out] = found[j];
        equal -= is_equal;
        out += magnitude > exact || is_equal;
    }
}

// ---- Two levels -----------------------------------------------------------------------------

// Rounds a magnitude to 4 bits of precision, to nearest, ties to even, never to infinity.
INLINE uint16_t PRIVATE(level_code)(double magnitude) {
    const uint32_t bits = PRIVATE(bits)((float)magnitude);
    const uint32_t code = (bits + 0x3ffffu + ((bits >> 19) & 1)) >> 19;
    return (uint16_t)(code < 0xff0 ? code : 0xfef);
}

// The two levels that leave the smallest squared error if each magnitude m [n] becomes the nearer
// one (Lloyd 1982): the means of both sides of a threshold that lies in the middle of them. Sums
// are kept in eight lanes, so that their order is the same in vectors of any width.
INLINE void PRIVATE(fit_levels)(size_t n, const float *m, uint16_t *levels) {
    enum { sums = 8, rounds_max = 16 };
    double total = 0, low = 0, high = 0;
    float threshold = 0;
    size_t upper_before = 0;
    for (int round = 0; round < rounds_max; round++) {
        double lane[sums] = {0};
        uint64_t counts[sums] = {0};
        for (size_t i = 0; i < n; i += sums)
            for (size_t j = 0; j < sums; j++) {
                const int is_upper = m[i + j] >= threshold && i + j < n;
                lane[j] += is_upper ? (double)m[i + j] : 0;
                counts[j] += (uint64_t)is_upper;
            }
        size_t upper = 0;
        for (size_t j = 0; j < sums; j++) upper += counts[j];
        const double sum = ((lane[0] + lane[4]) + (lane[1] + lane[5])) +
                           ((lane[2] + lane[6]) + (lane[3] + lane[7]));
        if (round == 0) {
            total = sum;
            low = high = total / (double)n;
        } else if (upper == upper_before || upper == 0 || upper == n) {
            break;
        } else {
            high = sum / (double)upper;
            low = (total - sum) / (double)(n - upper);
        }
        upper_before = upper;
        threshold = (float)(0.5 * (low + high));
    }
    levels[0] = PRIVATE(level_code)(low);
    levels[1] = PRIVATE(level_code)(high);
}

// Codes the selected numbers of a chunk and takes what they stand for away from it.
static void PRIVATE(code_chunk)(size_t kept, float *x, const uint16_t *positions, uint8_t *codes,
                                uint16_t *levels) {
    float m[martlet_chunk + 8] = {0};
    for (size_t j = 0; j < kept; j++) m[j] = __builtin_fabsf(x[positions[j]]);
    PRIVATE(fit_levels)(kept, m, levels);
    const float low = martlet_level(levels[0]), high = martlet_level(levels[1]);
    const float middle = 0.5f * low + 0.5f * high;
    for (size_t j = 0; j < kept; j++) {
        const uint32_t sign = PRIVATE(bits)(x[positions[j]]) >> 31;
        const uint32_t is_upper = m[j] >= middle && low < high;
        const float sent = is_upper ? high : low;
        codes[j] = (uint8_t)(sign | is_upper << 1);
        x[positions[j]] = x[positions[j]] - (sign ? -sent : sent);
    }
}

// Copies a chunk out of the cache. Nobody reads the residual soon, so where the addresses allow it
// the lines it replaces are not read before.
INLINE void PRIVATE(put)(size_t n, const float *x, float *y) {
#if LANES == 16
    if (n % LANES == 0 && (uintptr_t)y % sizeof(__m512) == 0) {
        for (size_t i = 0; i < n; i += LANES) _mm512_stream_ps(y + i, _mm512_load_ps(x + i));
        return;
    }
#elif LANES == 8
    if (n % LANES == 0 && (uintptr_t)y % sizeof(__m256) == 0) {
        for (size_t i = 0; i < n; i += LANES) _mm256_stream_ps(y + i, _mm256_load_ps(x + i));
        return;
    }
#endif
    memcpy(y, x, n * sizeof *y);
}

int MARTLET_CODEC(topk)(size_t n, size_t kept, martlet_feedback_of of, float *next,
                        uint16_t *positions, uint8_t *codes, uint16_t *levels) {
    __attribute__((aligned(64))) float x[martlet_chunk];
    for (size_t first = 0; first < n; first += martlet_chunk) {
        const size_t length = n - first < martlet_chunk ? n - first : martlet_chunk;
        const size_t some = (kept * length + martlet_chunk - 1) / martlet_chunk;
        PRIVATE(feedback)(first, length, of, x);
        if (PRIVATE(largest)(length, x) >= LARGEST) return 0;
        PRIVATE(select)(length, x, some, PRIVATE(ahead)(first + martlet_chunk, n, of), positions);
        PRIVATE(code_chunk)(some, x, positions, codes, levels);
        if (next) PRIVATE(put)(length, x, next + first);
        positions += some;
        codes += some;
        levels += 2;
    }
    return 1;
}
