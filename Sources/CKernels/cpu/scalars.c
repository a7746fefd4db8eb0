// The loops are plain, for the compiler to vectorise; only fp16 has instructions of its own.
#include "scalars.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

static inline uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float float_of(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/// The i-th of the 16-bit numbers at x, which may begin at an odd address.
static inline uint32_t half_at(const uint8_t *x, size_t i) {
    uint16_t half;
    memcpy(&half, x + 2 * i, sizeof half);
    return half;
}

// ---- bf16 -----------------------------------------------------------------------------------

void martlet_float_from_bf16(size_t n, const void *restrict x, float *restrict y) {
    for (size_t i = 0; i < n; i++) y[i] = float_of(half_at(x, i) << 16);
}

void martlet_bf16_from_float(size_t n, const float *restrict x, uint16_t *restrict y) {
    for (size_t i = 0; i < n; i++) {
        const uint32_t bits = bits_of(x[i]);
        // Half a unit of the last place that stays, less one where that place is even.
        const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1)) >> 16;
        // A NaN could round to infinity: it is made quiet instead, which sets a bit that stays.
        const uint32_t quiet = (bits >> 16) | 0x40u;
        y[i] = (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? quiet : rounded);
    }
}

// ---- fp16 -----------------------------------------------------------------------------------

void martlet_float_from_f16_portable(size_t n, const void *restrict x, float *restrict y) {
    for (size_t i = 0; i < n; i++) {
        const uint32_t half = half_at(x, i), magnitude = half & 0x7fffu;
        const uint32_t sign = (half & 0x8000u) << 16;
        // The exponent is biased by 15 instead of 127; the product also makes subnormals normal.
        const uint32_t finite = bits_of(float_of(magnitude << 13) * 0x1p112f);
        const uint32_t quiet = magnitude > 0x7c00u ? 0x400000u : 0;
        const uint32_t special = 0x7f800000u | magnitude << 13 | quiet;
        y[i] = float_of((magnitude < 0x7c00u ? finite : special) | sign);
    }
}

void martlet_f16_from_float_portable(size_t n, const float *restrict x, uint16_t *restrict y) {
    for (size_t i = 0; i < n; i++) {
        const uint32_t bits = bits_of(x[i]), magnitude = bits & 0x7fffffffu;
        const uint32_t sign = (bits >> 16) & 0x8000u;
        // Normal: rounded as in bf16, with the exponent's bias changed from 127 to 15.
        const uint32_t normal = (magnitude + 0xfffu + ((magnitude >> 13) & 1) - 0x38000000u) >> 13;
        // Subnormal: adding 1/2 leaves in the last bits the number in units of 2^-24, rounded.
        const uint32_t small = bits_of(float_of(magnitude) + 0.5f) - 0x3f000000u;
        const uint32_t nan = 0x7e00u | ((magnitude >> 13) & 0x3ffu);
        uint32_t half = magnitude < 0x38800000u ? small : normal;
        half = magnitude >= 0x477ff000u ? 0x7c00u : half;
        half = magnitude > 0x7f800000u ? nan : half;
        y[i] = (uint16_t)(half | sign);
    }
}

#if defined(__x86_64__)

__attribute__((target("avx,f16c"))) static void float_from_f16_f16c(size_t n, const uint8_t *x,
                                                                    float *y) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(y + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(x + 2 * i))));
    martlet_float_from_f16_portable(n - i, x + 2 * i, y + i);
}

__attribute__((target("avx,f16c"))) static void f16_from_float_f16c(size_t n, const float *x,
                                                                    uint16_t *y) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm_storeu_si128((__m128i *)(y + i),
                         _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT));
    martlet_f16_from_float_portable(n - i, x + i, y + i);
}

static int has_f16c(void) {
    return __builtin_cpu_supports("avx") && __builtin_cpu_supports("f16c");
}

void martlet_float_from_f16(size_t n, const void *x, float *y) {
    if (has_f16c()) return float_from_f16_f16c(n, x, y);
    martlet_float_from_f16_portable(n, x, y);
}

void martlet_f16_from_float(size_t n, const float *x, uint16_t *y) {
    if (has_f16c()) return f16_from_float_f16c(n, x, y);
    martlet_f16_from_float_portable(n, x, y);
}

#else

void martlet_float_from_f16(size_t n, const void *x, float *y) {
    martlet_float_from_f16_portable(n, x, y);
}

void martlet_f16_from_float(size_t n, const float *x, uint16_t *y) {
    martlet_f16_from_float_portable(n, x, y);
}

#endif
