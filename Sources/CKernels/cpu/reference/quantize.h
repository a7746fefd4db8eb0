// Numbers in blocks that share a scale, as plainly as they can be said.

static float wide(uint16_t scale) {
    const uint32_t bits = (uint32_t)scale << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static size_t block_length(size_t n, size_t first) {
    return n - first < martlet_block ? n - first : martlet_block;
}

static float block_largest(size_t n, const float *x) {
    float largest = 0;
    for (size_t i = 0; i < n; i++) largest = fmaxf(largest, fabsf(x[i]));
    return largest;
}

// bf16 that times `codes` is no less than the block's largest magnitude.
static uint16_t scale_of(float largest, float codes) {
    if (largest < 0x1p-100f) return 0;
    const float exact = largest / codes;
    const uint16_t scale = (uint16_t)(bits_of(exact) >> 16);
    return wide(scale) < exact ? (uint16_t)(scale + 1) : scale;
}

static int quantized(float x, uint16_t scale) {
    return scale ? (int)rintf(x * (1 / wide(scale))) : 0;
}

// Codes come in halves of a byte, as the first and the second half of a block.
static void put_half(uint8_t *codes, size_t i, size_t length, unsigned code) {
    const size_t half = (length + 1) / 2;
    if (i < half) codes[i] = (uint8_t)code;
    else codes[i - half] = (uint8_t)(codes[i - half] | code << 4);
}

static unsigned get_half(const uint8_t *codes, size_t i, size_t length) {
    const size_t half = (length + 1) / 2;
    return i < half ? codes[i] & 15u : (unsigned)codes[i - half] >> 4;
}

void martlet_int8_from_float_ref(size_t n, const float *x, uint16_t *scales, int8_t *codes) {
    for (size_t first = 0; first < n; first += martlet_block, scales++) {
        const size_t length = block_length(n, first);
        *scales = scale_of(block_largest(length, x + first), 127);
        for (size_t i = first; i < first + length; i++) codes[i] = (int8_t)quantized(x[i], *scales);
    }
}

void martlet_float_from_int8_ref(size_t n, const uint16_t *scales, const int8_t *codes, float *x) {
    for (size_t i = 0; i < n; i++) x[i] = (float)codes[i] * wide(scales[i / martlet_block]);
}

void martlet_int4_from_float_ref(size_t n, const float *x, uint16_t *scales, uint8_t *codes) {
    for (size_t first = 0; first < n; first += martlet_block, scales++) {
        const size_t length = block_length(n, first);
        *scales = scale_of(block_largest(length, x + first), 7);
        for (size_t i = 0; i < length; i++)
            put_half(codes + first / 2, i, length, (unsigned)quantized(x[first + i], *scales) & 15);
    }
}

void martlet_float_from_int4_ref(size_t n, const uint16_t *scales, const uint8_t *codes,
                                 float *x) {
    for (size_t i = 0; i < n; i++) {
        const size_t first = i / martlet_block * martlet_block;
        const int code = (int)get_half(codes + first / 2, i - first, block_length(n, first));
        x[i] = (float)(code < 8 ? code : code - 16) * wide(scales[i / martlet_block]);
    }
}

// The exponent of the power of 2 nearest to x, biased by 127; of the middle the upper one.
static int nearest_exponent(float x) {
    int exponent;
    return frexpf(x, &exponent) >= 0.75f ? exponent + 127 : exponent + 126;
}

static unsigned fp4_code(float x, int top) {
    const float smallest = ldexpf(1, top - 127 - 6);
    int code = 0;
    if (fabsf(x) >= smallest / 2) code = nearest_exponent(fabsf(x)) - top + 7;
    if (fabsf(x) >= smallest / 2 && code < 1) code = 1;
    return (unsigned)code | (signbit(x) ? 8 : 0);
}

void martlet_fp4_from_float_ref(size_t n, const float *x, uint8_t *scales, uint8_t *codes) {
    for (size_t first = 0; first < n; first += martlet_block, scales++) {
        const size_t length = block_length(n, first);
        const float largest = block_largest(length, x + first);
        *scales = (uint8_t)(largest < 0x1p-100f ? 0 : nearest_exponent(largest));
        for (size_t i = 0; i < length; i++)
            put_half(codes + first / 2, i, length, *scales ? fp4_code(x[first + i], *scales) : 0);
    }
}

void martlet_float_from_fp4_ref(size_t n, const uint8_t *scales, const uint8_t *codes, float *x) {
    for (size_t i = 0; i < n; i++) {
        const size_t first = i / martlet_block * martlet_block;
        const unsigned code = get_half(codes + first / 2, i - first, block_length(n, first));
        const int top = scales[i / martlet_block];
        const float m = code & 7 ? ldexpf(1, top - 127 - 7 + (int)(code & 7)) : 0;
        x[i] = top == 0 ? 0 : code & 8 ? -m : m;
    }
}

void martlet_planes_from_float_ref(size_t n, const float *x, uint8_t *upper, uint8_t *lower) {
    for (size_t i = 0; i < n; i++) {
        const float below = wide((uint16_t)(bits_of(x[i]) >> 16));
        uint16_t half = (uint16_t)(bits_of(x[i]) >> 16);
        const uint32_t rest = bits_of(x[i]) - bits_of(below);
        if (rest > 0x8000 || (rest == 0x8000 && half % 2 == 1)) half++;
        upper[i] = (uint8_t)(half >> 8);
        lower[i] = (uint8_t)(half & 255);
    }
}

void martlet_float_from_planes_ref(size_t n, const uint8_t *upper, const uint8_t *lower,
                                   float *x) {
    for (size_t i = 0; i < n; i++) x[i] = wide((uint16_t)(upper[i] * 256 + lower[i]));
}

void martlet_weigh_ref(size_t n, double weight, const float *x, double *sum) {
    for (size_t i = 0; i < n; i++) {
        const double share = weight * (double)x[i];
        sum[i] = sum[i] + share;
    }
}
