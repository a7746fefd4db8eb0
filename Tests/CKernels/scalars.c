// Conversions of 16-bit numbers: the instructions of this processor against the plain loops, and
// both against what the formats say.
#include "parity.h"
#include "scalars.h"

#include <math.h>
#include <string.h>

enum { halves = 1 << 16, block = 4099 };

static void halves_become_floats(void) {
    static uint16_t x[halves];
    static float fast[halves], plain[halves];
    for (size_t i = 0; i < halves; i++) x[i] = (uint16_t)i;
    martlet_float_from_f16(halves, x, fast);
    martlet_float_from_f16_portable(halves, x, plain);
    expect(memcmp(fast, plain, sizeof fast) == 0, "fp16 to fp32", "every number");
    int wrong = 0;
    for (size_t i = 0; i < halves; i++) {
        const int exponent = (int)(i >> 10 & 31);
        if (exponent == 31) continue;
        const double significand = (double)(i & 1023) + (exponent ? 1024 : 0);
        const double value = ldexp(significand, (exponent ? exponent : 1) - 25);
        wrong += plain[i] != (float)(i >> 15 ? -value : value);
    }
    expect(wrong == 0, "fp16 to fp32", "is the value of its bits");
}

static void floats_become_halves(void) {
    static float x[block], back[block];
    static uint16_t fast[block], plain[block];
    int differ = 0, moved = 0;
    // Every 4099th of all floats, NaN and infinity among them.
    for (uint32_t start = 0; start < 255; start++) {
        for (uint32_t i = 0; i < block; i++) {
            const uint32_t bits = (start * block + i) * 4111u;
            memcpy(&x[i], &bits, sizeof bits);
        }
        martlet_f16_from_float(block, x, fast);
        martlet_f16_from_float_portable(block, x, plain);
        differ += memcmp(fast, plain, sizeof fast) != 0;
        martlet_bf16_from_float(block, x, fast);
        martlet_float_from_bf16(block, fast, back);
        for (size_t i = 0; i < block; i++) {
            // Half a unit of the last of 8 bits, at most.
            const double size = fmax(fabs(x[i]), 0x1p-126);
            if (isfinite(back[i])) moved += fabs((double)back[i] - x[i]) > ldexp(size, -8);
            moved += isnan(back[i]) != isnan(x[i]);
        }
    }
    expect(differ == 0, "fp32 to fp16", "as the plain loop");
    expect(moved == 0, "fp32 to bf16", "goes to the nearest");
}

void all_scalars(void) {
    halves_become_floats();
    floats_become_halves();
}
