// fp32 numbers to bf16 on all threads.
#include "kernels.h"
#include "pool.h"
#include "scalars.h"

enum { RUN = 1 << 16 };  // elements of one task

typedef struct {
    size_t n;
    const float *x;
    martlet_bf16 *y;
} rounding;

static void round_task(const void *context, size_t index) {
    const rounding *s = context;
    const size_t first = index * RUN, end = s->n - first < RUN ? s->n : first + RUN;
    martlet_bf16_from_float(end - first, s->x + first, &s->y[first].bits);
}

void martlet_round_to_bf16(size_t n, const float *x, martlet_bf16 *y) {
    const rounding s = {n, x, y};
    martlet_parallel((n + RUN - 1) / RUN, (double)n, round_task, &s);
}
