// What the bits of an fp32 number say.

// 2^-100 and 2^126.
#define SMALLEST 0x0d800000u
#define LARGEST 0x7e800000u

INLINE uint32_t PRIVATE(bits)(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

INLINE float PRIVATE(real)(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

// Magnitudes compare as integers do, and what is not finite is above all else.
INLINE uint32_t PRIVATE(magnitude)(float x) { return PRIVATE(bits)(x) & 0x7fffffffu; }

INLINE uint32_t PRIVATE(largest)(size_t n, const float *x) {
    uint32_t largest = 0;
    for (size_t i = 0; i < n; i++) {
        const uint32_t m = PRIVATE(magnitude)(x[i]);
        largest = m > largest ? m : largest;
    }
    return largest;
}
