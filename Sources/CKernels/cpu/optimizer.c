#include "optimizer.h"
#include "kernels.h"
#include "pool.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#pragma clang fp contract(off)

enum { RUN = 1 << 15 };  // elements of one task

// ---- AdamW ----------------------------------------------------------------------------------

typedef struct {
    size_t n;
    float *p;
    const float *dp;
    float *m, *v;
    martlet_adamw_step step;
} adamw;

// The loop, once for each instruction set: wider vectors do the same operations to each element.
static inline __attribute__((always_inline)) void adamw_run(size_t n, float *restrict p,
                                                            const float *restrict dp,
                                                            float *restrict m, float *restrict v,
                                                            martlet_adamw_step s) {
    const float keep1 = 1.0f - s.beta1, keep2 = 1.0f - s.beta2;
    for (size_t i = 0; i < n; i++) {
        const float g = dp[i];
        m[i] = s.beta1 * m[i] + keep1 * g;
        v[i] = s.beta2 * v[i] + keep2 * (g * g);
        const float mhat = m[i] / s.correction1;
        const float vhat = v[i] / s.correction2;
        const float step = mhat / (__builtin_sqrtf(vhat) + s.epsilon) + s.weight_decay * p[i];
        p[i] = p[i] - s.learning_rate * step;
    }
}

static void adamw_portable(const adamw *s, size_t i, size_t n) {
    adamw_run(n, s->p + i, s->dp + i, s->m + i, s->v + i, s->step);
}
#if defined(__x86_64__)
__attribute__((target("avx2"))) static void adamw_avx2(const adamw *s, size_t i, size_t n) {
    adamw_run(n, s->p + i, s->dp + i, s->m + i, s->v + i, s->step);
}
__attribute__((target("avx512f"))) static void adamw_avx512(const adamw *s, size_t i, size_t n) {
    adamw_run(n, s->p + i, s->dp + i, s->m + i, s->v + i, s->step);
}
#endif

static void adamw_task(const void *context, size_t index) {
    const adamw *s = context;
    const size_t first = index * RUN, n = s->n - first < RUN ? s->n - first : RUN;
#if defined(__x86_64__)
    const martlet_isa isa = martlet_isa_current();
    if (isa >= martlet_isa_avx512) adamw_avx512(s, first, n);
    else if (isa == martlet_isa_avx2) adamw_avx2(s, first, n);
    else adamw_portable(s, first, n);
#else
    adamw_portable(s, first, n);
#endif
}

void martlet_adamw(size_t n, float *p, const float *dp, float *m, float *v,
                   martlet_adamw_step step) {
    const adamw s = {n, p, dp, m, v, step};
    martlet_parallel((n + RUN - 1) / RUN, 8 * (double)n, adamw_task, &s);
}

void martlet_sgd(size_t n, float *restrict p, const float *restrict dp, float learning_rate) {
    for (size_t i = 0; i < n; i++) p[i] = p[i] - learning_rate * dp[i];
}

void martlet_scale_in_place(size_t n, float *x, float factor) {
    for (size_t i = 0; i < n; i++) x[i] *= factor;
}

// The eight partial sums of every fixed-order reduction below.
enum { LANES = 8 };

static double add_lanes(const double lane[LANES]) {
    const double a = (lane[0] + lane[4]) + (lane[1] + lane[5]);
    const double b = (lane[2] + lane[6]) + (lane[3] + lane[7]);
    return a + b;
}

double martlet_sum_of_squares(size_t n, const float *x) {
    double lane[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) lane[j] += (double)x[i + j] * (double)x[i + j];
    for (int j = 0; i < n; i++, j++) lane[j] += (double)x[i] * (double)x[i];
    return add_lanes(lane);
}

double martlet_sum_of_squares_f64(size_t n, const double *x) {
    double lane[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) lane[j] += x[i + j] * x[i + j];
    for (int j = 0; i < n; i++, j++) lane[j] += x[i] * x[i];
    return add_lanes(lane);
}

double martlet_difference_sum_of_squares(size_t n, const float *anchor, const float *local) {
    double lane[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) {
            const double d = (double)anchor[i + j] - (double)local[i + j];
            lane[j] += d * d;
        }
    for (int j = 0; i < n; i++, j++) {
        const double d = (double)anchor[i] - (double)local[i];
        lane[j] += d * d;
    }
    return add_lanes(lane);
}

void martlet_accumulate(size_t n, const float *restrict x, double weight, double *restrict sum) {
    for (size_t i = 0; i < n; i++) sum[i] = sum[i] + weight * (double)x[i];
}

void martlet_accumulate_difference(size_t n, const float *restrict anchor,
                                   const float *restrict local, double weight,
                                   double *restrict sum) {
    for (size_t i = 0; i < n; i++)
        sum[i] = sum[i] + weight * ((double)anchor[i] - (double)local[i]);
}

void martlet_outer(size_t n, const float *global, const float *momentum, const double *mean,
                   martlet_outer_step s, float *new_global, float *new_momentum) {
    for (size_t i = 0; i < n; i++) {
        const double g = s.scale * mean[i];
        const double b = s.momentum * (double)momentum[i] + g;
        const double direction = s.nesterov ? g + s.momentum * b : b;
        new_global[i] = (float)((double)global[i] - s.learning_rate * direction);
        new_momentum[i] = (float)b;
    }
}

// ---- Delayed Nesterov -----------------------------------------------------------------------

typedef struct {
    size_t n;
    const float *global, *momentum, *pending;
    const double *update;
    martlet_delayed_step step;
    float *new_global, *new_momentum, *new_pending;
} delayed;

static void delayed_task(const void *context, size_t index) {
    const delayed *d = context;
    const martlet_delayed_step s = d->step;
    const size_t first = index * RUN, end = first + RUN < d->n ? first + RUN : d->n;
    for (size_t i = first; i < end; i++) {
        const double g = s.scale * d->update[i];
        const double b = s.begins ? g : (double)d->pending[i] + g;
        double direction = g / s.period;
        if (s.flushes) {
            const double old = s.momentum * (double)d->momentum[i];
            const double m = old + b / s.period;
            direction = s.nesterov ? direction + s.momentum * m : old + direction;
            d->new_momentum[i] = (float)m;
        } else {
            d->new_pending[i] = (float)b;
        }
        d->new_global[i] = (float)((double)d->global[i] - s.learning_rate * direction);
    }
}

void martlet_delayed(size_t n, const float *global, const float *momentum, const float *pending,
                     const double *update, martlet_delayed_step step, float *new_global,
                     float *new_momentum, float *new_pending) {
    const delayed d = {n,    global,     momentum,     pending,    update,
                       step, new_global, new_momentum, new_pending};
    martlet_parallel((n + RUN - 1) / RUN, 8 * (double)n, delayed_task, &d);
}

void martlet_rebase(size_t n, const float *restrict global, double keep, float *restrict settled,
                    float *restrict local) {
    if (keep == 1)
        for (size_t i = 0; i < n; i++)
            local[i] = (float)((double)global[i] + ((double)local[i] - (double)settled[i]));
    else
        for (size_t i = 0; i < n; i++)
            local[i] = (float)(keep * (double)local[i] + (1 - keep) * (double)global[i]);
    memcpy(settled, global, n * sizeof *settled);
}

void martlet_scale_in_place_f64(size_t n, double *x, double factor) {
    for (size_t i = 0; i < n; i++) x[i] *= factor;
}

void martlet_narrow(size_t n, const double *restrict x, double scale, float *restrict y) {
    for (size_t i = 0; i < n; i++) y[i] = (float)(scale * x[i]);
}

int martlet_all_finite(size_t n, const float *x) {
    uint32_t worst = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        bits &= 0x7f800000u;
        worst = bits > worst ? bits : worst;
    }
    return worst < 0x7f800000u;
}
