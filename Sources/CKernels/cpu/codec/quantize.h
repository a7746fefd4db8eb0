// Numbers in blocks that share a scale.

// 1.5 * 2^23. Adding it rounds what is below 2^22 to an integer, ties to even, and leaves that
// integer in the lower bits of the sum.
#define ROUNDER 12582912.0f

INLINE int32_t PRIVATE(nearest)(float x) {
    return (int32_t)(PRIVATE(bits)(x + ROUNDER) - 0x4b400000u);
}

// The scale of a block whose largest magnitude has these bits, as bf16, rounded up so that the
// largest code is enough for it; 0 if it is too small.
INLINE uint16_t PRIVATE(scale)(uint32_t largest, float codes) {
    if (largest < SMALLEST) return 0;
    return (uint16_t)((PRIVATE(bits)(PRIVATE(real)(largest) / codes) + 0xffffu) >> 16);
}

INLINE float PRIVATE(wide)(uint16_t scale) { return PRIVATE(real)((uint32_t)scale << 16); }

INLINE float PRIVATE(inverse)(uint16_t scale) { return scale ? 1 / PRIVATE(wide)(scale) : 0; }

INLINE void PRIVATE(int8_block)(size_t n, const float *restrict x, uint16_t *restrict scale,
                                int8_t *restrict codes) {
    *scale = PRIVATE(scale)(PRIVATE(largest)(n, x), 127);
    const float inverse = PRIVATE(inverse)(*scale);
    for (size_t i = 0; i < n; i++) codes[i] = (int8_t)PRIVATE(nearest)(x[i] * inverse);
}

INLINE void PRIVATE(int4_block)(size_t n, const float *restrict x, uint16_t *restrict scale,
                                uint8_t *restrict codes) {
    *scale = PRIVATE(scale)(PRIVATE(largest)(n, x), 7);
    const float inverse = PRIVATE(inverse)(*scale);
    const size_t half = (n + 1) / 2, pairs = n / 2;
    for (size_t i = 0; i < pairs; i++) {
        const uint32_t low = (uint32_t)PRIVATE(nearest)(x[i] * inverse) & 15;
        const uint32_t high = (uint32_t)PRIVATE(nearest)(x[i + half] * inverse) & 15;
        codes[i] = (uint8_t)(low | high << 4);
    }
    if (pairs < half) codes[pairs] = (uint8_t)(PRIVATE(nearest)(x[pairs] * inverse) & 15);
}

// Half a unit above the significand's middle carries into the exponent, so `bits` become the
// exponent of the nearest power of 2. The smallest code also has what rounds to it from below.
INLINE uint32_t PRIVATE(fp4_code)(float x, int32_t top) {
    const uint32_t m = PRIVATE(magnitude)(x);
    const int32_t near = (int32_t)((m + 0x400000u) >> 23) - top + 7;
    const int32_t smallest = (int32_t)(m >> 23) >= top - 7;
    const int32_t code = near > smallest ? near : smallest;
    return (uint32_t)code | (PRIVATE(bits)(x) >> 31) << 3;
}

INLINE void PRIVATE(fp4_block)(size_t n, const float *restrict x, uint8_t *restrict scale,
                               uint8_t *restrict codes) {
    const uint32_t largest = PRIVATE(largest)(n, x);
    const size_t half = (n + 1) / 2, pairs = n / 2;
    const int32_t top = largest < SMALLEST ? 0 : (int32_t)((largest + 0x400000u) >> 23);
    *scale = (uint8_t)top;
    if (top == 0) {
        memset(codes, 0, half);
        return;
    }
    for (size_t i = 0; i < pairs; i++)
        codes[i] =
            (uint8_t)(PRIVATE(fp4_code)(x[i], top) | PRIVATE(fp4_code)(x[i + half], top) << 4);
    if (pairs < half) codes[pairs] = (uint8_t)PRIVATE(fp4_code)(x[pairs], top);
}

INLINE float PRIVATE(fp4_value)(uint32_t code, int32_t top) {
    const uint32_t exponent = (uint32_t)(top - 7 + (int32_t)(code & 7));
    const uint32_t magnitude = code & 7 ? exponent << 23 : 0;
    return PRIVATE(real)(top ? magnitude | (code & 8) << 28 : 0);
}

// Calls `body` for whole blocks with a length that the compiler knows, then for what is left.
#define BLOCKS(body)                                                                     \
    size_t first = 0;                                                                    \
    for (; first + martlet_block <= n; first += martlet_block) body((size_t)martlet_block); \
    if (first < n) body(n - first)

void MARTLET_CODEC(int8_from_float)(size_t n, const float *x, uint16_t *scales, int8_t *codes) {
#define BLOCK(l) PRIVATE(int8_block)(l, x + first, scales + first / martlet_block, codes + first)
    BLOCKS(BLOCK);
#undef BLOCK
}

void MARTLET_CODEC(int4_from_float)(size_t n, const float *x, uint16_t *scales, uint8_t *codes) {
#define BLOCK(l)                                                                         \
    PRIVATE(int4_block)(l, x + first, scales + first / martlet_block, codes + first / 2)
    BLOCKS(BLOCK);
#undef BLOCK
}

void MARTLET_CODEC(fp4_from_float)(size_t n, const float *x, uint8_t *scales, uint8_t *codes) {
#define BLOCK(l) PRIVATE(fp4_block)(l, x + first, scales + first / martlet_block, codes + first / 2)
    BLOCKS(BLOCK);
#undef BLOCK
}

INLINE void PRIVATE(from_int8)(size_t n, uint16_t scale, const int8_t *restrict codes,
                               float *restrict x) {
    const float step = PRIVATE(wide)(scale);
    for (size_t i = 0; i < n; i++) x[i] = (float)codes[i] * step;
}

INLINE void PRIVATE(from_int4)(size_t n, uint16_t scale, const uint8_t *restrict codes,
                               float *restrict x) {
    const float step = PRIVATE(wide)(scale);
    const size_t half = (n + 1) / 2, pairs = n / 2;
    for (size_t i = 0; i < half; i++)
        x[i] = (float)((int32_t)((codes[i] & 15u) ^ 8u) - 8) * step;
    for (size_t i = 0; i < pairs; i++)
        x[i + half] = (float)((int32_t)((codes[i] >> 4) ^ 8u) - 8) * step;
}

INLINE void PRIVATE(from_fp4)(size_t n, uint8_t scale, const uint8_t *restrict codes,
                              float *restrict x) {
    const size_t half = (n + 1) / 2, pairs = n / 2;
    for (size_t i = 0; i < half; i++) x[i] = PRIVATE(fp4_value)(codes[i] & 15u, scale);
    for (size_t i = 0; i < pairs; i++) x[i + half] = PRIVATE(fp4_value)(codes[i] >> 4, scale);
}

void MARTLET_CODEC(float_from_int8)(size_t n, const uint16_t *scales, const int8_t *codes,
                                    float *x) {
#define BLOCK(l) PRIVATE(from_int8)(l, scales[first / martlet_block], codes + first, x + first)
    BLOCKS(BLOCK);
#undef BLOCK
}

void MARTLET_CODEC(float_from_int4)(size_t n, const uint16_t *scales, const uint8_t *codes,
                                    float *x) {
#define BLOCK(l) PRIVATE(from_int4)(l, scales[first / martlet_block], codes + first / 2, x + first)
    BLOCKS(BLOCK);
#undef BLOCK
}

void MARTLET_CODEC(float_from_fp4)(size_t n, const uint8_t *scales, const uint8_t *codes,
                                   float *x) {
#define BLOCK(l) PRIVATE(from_fp4)(l, scales[first / martlet_block], codes + first / 2, x + first)
    BLOCKS(BLOCK);
#undef BLOCK
}

void MARTLET_CODEC(planes_from_float)(size_t n, const float *restrict x, uint8_t *restrict upper,
                                      uint8_t *restrict lower) {
    for (size_t i = 0; i < n; i++) {
        const uint32_t bits = PRIVATE(bits)(x[i]);
        const uint32_t half = (bits + 0x7fffu + ((bits >> 16) & 1)) >> 16;
        upper[i] = (uint8_t)(half >> 8);
        lower[i] = (uint8_t)half;
    }
}

void MARTLET_CODEC(float_from_planes)(size_t n, const uint8_t *restrict upper,
                                      const uint8_t *restrict lower, float *restrict x) {
    for (size_t i = 0; i < n; i++)
        x[i] = PRIVATE(real)((uint32_t)upper[i] << 24 | (uint32_t)lower[i] << 16);
}
#undef BLOCKS
#undef ROUNDER
