// The codecs' loops: this instruction set against the plain ones, bit for bit, on numbers of every
// kind that training and strangers may produce.
#include "codec.h"
#include "cases.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Uniform in -1 ... 1, apart from random_real, so that these checks leave all others theirs.
static double random_number(void) {
    static uint64_t state = 1;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(int32_t)(state >> 32) * 0x1p-31;
}

typedef enum {
    flat, steep, equal, zeros, denormal, huge, coarse, mixed, kinds_of_numbers
} kind_of_numbers;

static const char *const kind_names[] = {"flat",     "steep", "equal",  "zeros",
                                         "denormal", "huge",  "coarse", "mixed"};

static float number(kind_of_numbers kind, size_t i) {
    const double x = random_number();
    switch (kind) {
    case flat: return (float)x;
    case steep: return (float)(x * x * x * x * x * 1e-3);
    case equal: return i % 3 ? 0.5f : -0.5f;
    case zeros: return i % 2 ? 0.0f : -0.0f;
    case denormal: return (float)(x * 0x1p-130);
    case huge: return (float)(x * 0x1p124);
    case coarse: return (float)(rint(x * 4) * 0x1p-3);  // many ties, in choice and in rounding
    default: return number((kind_of_numbers)(i / 50 % mixed), i);
    }
}

static float *numbers(kind_of_numbers kind, size_t n) {
    float *x = malloc((n + 1) * sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = number(kind, i);
    return x;
}

// ---- Top-k ----------------------------------------------------------------------------------

typedef struct {
    float *next;
    uint16_t *positions, *levels;
    uint8_t *codes;
    int is_finite;
} selection;

static selection selection_new(size_t n) {
    return (selection){calloc(n + 1, sizeof(float)), calloc(n + 1, 2),
                       calloc(2 * (n / martlet_chunk + 1), 2), calloc(n + 1, 1), 0};
}

static void selection_free(selection s) {
    free(s.next);
    free(s.positions);
    free(s.levels);
    free(s.codes);
}

static void topk_case(kind_of_numbers kind, size_t n, size_t kept, int parts) {
    float *residual = numbers(kind, n), *anchor = numbers(kind, n), *local = numbers(kind, n);
    const martlet_feedback_of of = {0.95f, parts & 1 ? residual : NULL, anchor,
                                    parts & 2 ? local : NULL};
    const selection fast = selection_new(n), plain = selection_new(n);
    const int is_fine =
        martlet_topk(n, kept, of, fast.next, fast.positions, fast.codes, fast.levels);
    const int is_fine_ref =
        martlet_topk_ref(n, kept, of, plain.next, plain.positions, plain.codes, plain.levels);
    const int same = is_fine == is_fine_ref && memcmp(fast.next, plain.next, 4 * n) == 0 &&
                     memcmp(fast.positions, plain.positions, 2 * n) == 0 &&
                     memcmp(fast.codes, plain.codes, n) == 0 &&
                     memcmp(fast.levels, plain.levels, 4 * (n / martlet_chunk + 1)) == 0;
    char detail[96];
    snprintf(detail, sizeof detail, "%s, n %zu, kept %zu, parts %d", kind_names[kind], n, kept,
             parts);
    expect(same, "topk is the plain one", detail);
    expect(is_fine, "topk takes finite numbers", detail);
    selection_free(fast);
    selection_free(plain);
    free(residual);
    free(anchor);
    free(local);
}

static void topk_refuses(void) {
    enum { n = 5000 };
    float *x = numbers(flat, n);
    const float bad[] = {NAN, -NAN, INFINITY, -INFINITY, 0x1p126f};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        for (size_t at = 0; at < n; at += 1237) {
            const float was = x[at];
            x[at] = bad[i];
            const martlet_feedback_of of = {0, NULL, x, NULL};
            const selection s = selection_new(n);
            expect(!martlet_topk(n, 64, of, s.next, s.positions, s.codes, s.levels),
                   "topk refuses", "what is not finite, or too large");
            expect(martlet_largest(n, x) >= 0x7e800000u, "largest", "shows what is not finite");
            selection_free(s);
            x[at] = was;
        }
    free(x);
}

// ---- Blocks ---------------------------------------------------------------------------------

static void block_case(kind_of_numbers kind, size_t n) {
    const size_t blocks = n / martlet_block + 1;
    float *x = numbers(kind, n), *y = calloc(n + 1, 4), *z = calloc(n + 1, 4);
    uint16_t *scales = calloc(blocks, 2), *plain_scales = calloc(blocks, 2);
    uint8_t *codes = calloc(n + 1, 1), *plain = calloc(n + 1, 1);
    uint8_t *lower = calloc(n + 1, 1), *plain_lower = calloc(n + 1, 1);
    char detail[64];
    snprintf(detail, sizeof detail, "%s, n %zu", kind_names[kind], n);
#define COMPARE(name, S, C)                                                              \
    martlet_##name##_from_float(n, x, (S *)scales, (C *)codes);                          \
    martlet_##name##_from_float_ref(n, x, (S *)plain_scales, (C *)plain);                \
    expect(memcmp(scales, plain_scales, 2 * blocks) == 0 && memcmp(codes, plain, n) == 0, \
           #name " is the plain one", detail);                                           \
    martlet_float_from_##name(n, (S *)scales, (C *)codes, y);                            \
    martlet_float_from_##name##_ref(n, (S *)scales, (C *)codes, z);                      \
    expect(memcmp(y, z, 4 * n) == 0, #name " back is the plain one", detail);
    COMPARE(int8, uint16_t, int8_t)
    for (size_t i = 0; i < n; i++) {
        const uint32_t bits = (uint32_t)scales[i / martlet_block] << 16;
        float step;
        memcpy(&step, &bits, sizeof step);
        // The inverse and the product are rounded, to 2^-23 of a code up to 127.
        const double half = step > 0 ? (0.5 + 127 * 0x1p-23) * (double)step : 0x1p-100;
        expect(fabs((double)x[i] - (double)y[i]) <= half, "int8", "half a bin at most");
    }
    COMPARE(int4, uint16_t, uint8_t)
    memset(scales, 0, 2 * blocks);
    memset(plain_scales, 0, 2 * blocks);
    COMPARE(fp4, uint8_t, uint8_t)
#undef COMPARE
    martlet_planes_from_float(n, x, codes, lower);
    martlet_planes_from_float_ref(n, x, plain, plain_lower);
    expect(memcmp(codes, plain, n) == 0 && memcmp(lower, plain_lower, n) == 0,
           "planes are the plain ones", detail);
    martlet_float_from_planes(n, codes, lower, y);
    martlet_float_from_planes_ref(n, codes, lower, z);
    expect(memcmp(y, z, 4 * n) == 0, "planes back are the plain ones", detail);
    double *sum = calloc(n + 1, sizeof *sum), *plain_sum = calloc(n + 1, sizeof *sum);
    for (size_t i = 0; i < n; i++) sum[i] = plain_sum[i] = random_number();
    martlet_weigh(n, 0.3, x, sum);
    martlet_weigh_ref(n, 0.3, x, plain_sum);
    expect(memcmp(sum, plain_sum, 8 * n) == 0, "weigh is the plain one", detail);
    expect(martlet_largest(n, x) == martlet_largest_ref(n, x), "largest is the plain one", detail);
    free(x), free(y), free(z), free(scales), free(plain_scales), free(codes), free(plain);
    free(lower), free(plain_lower), free(sum), free(plain_sum);
}

void all_codecs(void) {
    static const size_t lengths[] = {0, 1, 2, 7, 63, 127, 128, 129, 1000, 4095, 4096, 4097, 13000};
    static const size_t kept[] = {1, 64, 128, 256, 257, 1000, 4096};
    for (int kind = 0; kind < kinds_of_numbers; kind++)
        for (size_t n = 0; n < COUNT(lengths); n++) {
            block_case((kind_of_numbers)kind, lengths[n]);
            for (size_t k = 0; k < COUNT(kept); k++) {
                const int is_long = lengths[n] > 1000 && kept[k] > 256;
                if (is_long && kind % 3 != 0) continue;  // the plain one takes its time
                topk_case((kind_of_numbers)kind, lengths[n], kept[k], (int)((n + k) % 4));
            }
        }
    topk_refuses();
}
