// fp32 numbers to bf16, the same bits on every machine.
#include "kernels.h"
#include "pool.h"

#include <math.h>
#include <string.h>

enum { RUN = 1 << 16 };  // elements of one task

typedef struct {
    size_t n;
    const float *x;
    martlet_bf16 *y;
} rounding;

static void round_task(const void *context, size_t index) {
    const rounding *s = context;
    const size_t first = index * RUN, end = s->n - first < RUN ? s->n : first + RUN;
    for (size_t i = first; i < end; i++) {
        uint32_t bits;
        memcpy(&bits, &s->x[i], sizeof bits);
        const uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
        s->y[i].bits = (uint16_t)(s->x[i] != s->x[i] ? 0x7fc0u : rounded);
    }
}

void martlet_round_to_bf16(size_t n, const float *x, martlet_bf16 *y) {
    const rounding s = {n, x, y};
    martlet_parallel((n + RUN - 1) / RUN, (double)n, round_task, &s);
}
