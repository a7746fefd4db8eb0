// GFLOP/s of the products a small model is made of; time is the best of several runs.
#include "parity.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

// The best time of `statement` in seconds, tried for at least a tenth of a second.
#define BEST(seconds, statement)                                                  \
    do {                                                                          \
        (seconds) = 1e9;                                                          \
        statement;                                                                \
        const double until = now_seconds() + 0.1;                                 \
        for (int n = 0; n < 5 || (n < 2000 && now_seconds() < until); n++) {      \
            const double start = now_seconds();                                   \
            statement;                                                            \
            const double taken = now_seconds() - start;                           \
            (seconds) = taken < (seconds) ? taken : (seconds);                    \
        }                                                                         \
    } while (0)

static void linear_bench(size_t M, size_t I, size_t O) {
    float *x = random_floats(M * I), *w = random_floats(O * I), *y = random_floats(M * O);
    float *dx = random_floats(M * I), *dw = random_floats(O * I);
    const double flops = 2.0 * (double)M * (double)I * (double)O * 1e-9;
    double forward, input, weight;
    BEST(forward, martlet_linear_f32(M, I, O, x, w, NULL, y));
    BEST(input, martlet_linear_backward_f32(M, I, O, x, w, y, 0, dx, NULL, NULL));
    BEST(weight, martlet_linear_backward_f32(M, I, O, x, w, y, 0, NULL, dw, NULL));
    printf("linear  M %5zu I %5zu O %5zu: y %6.1f  dx %6.1f  dw %6.1f GFLOP/s\n", M, I, O,
           flops / forward, flops / input, flops / weight);
    free(x), free(w), free(y), free(dx), free(dw);
}

static void experts_bench(size_t E, size_t m, size_t D, size_t F) {
    const size_t R = E * m;
    size_t *places = malloc(3 * E * sizeof *places);
    int32_t *offsets = malloc((E + 1) * sizeof *offsets);
    for (size_t e = 0; e <= E; e++) offsets[e] = (int32_t)(e * m);
    for (size_t i = 0; i < 3 * E; i++) places[i] = i * D * F;
    const martlet_experts_shape shape = {E, D, F, places, places + E, places + 2 * E};
    float *w = random_floats(3 * E * D * F), *dw = random_floats(3 * E * D * F);
    float *x = random_floats(R * D), *y = random_floats(R * D), *dx = random_floats(R * D);
    float *g = random_floats(R * F), *u = random_floats(R * F), *h = random_floats(R * F);
    const double flops = 6.0 * (double)R * (double)D * (double)F * 1e-9;
    double forward, backward;
    BEST(forward, martlet_experts_f32(shape, offsets, w, x, g, u, h, y));
    BEST(backward, martlet_experts_backward_f32(shape, offsets, w, x, g, u, h, y, dx, dw));
    printf("experts E %3zu m %4zu D %4zu F %4zu: forward %6.1f  backward %6.1f GFLOP/s\n", E, m, D,
           F, flops / forward, 2 * flops / backward);
    free(places), free(offsets), free(w), free(dw), free(x), free(y), free(dx), free(g), free(u);
    free(h);
}

static void attention_bench(size_t B, size_t T, size_t H, size_t G, size_t C) {
    const martlet_attention_shape shape = {B, T, H, G, C, C, 0.125};
    const size_t n = B * T * H * C, m = B * T * G * C;
    float *q = random_floats(n), *k = random_floats(m), *v = random_floats(m);
    float *out = random_floats(n), *dout = random_floats(n), *lse = random_floats(B * H * T);
    float *dq = random_floats(n), *dk = random_floats(m), *dv = random_floats(m);
    double forward, backward;
    BEST(forward, martlet_attention_f32(shape, q, k, v, out, lse));
    BEST(backward,
         martlet_attention_backward_f32(shape, q, k, v, out, lse, dout, dq, dk, dv));
    const double flops = 2.0 * (double)n * (double)T * 1e-9;  // two products over half the pairs
    printf("attention B %2zu T %5zu H %2zu G %2zu C %3zu: forward %7.2f ms %6.1f GFLOP/s, "
           "backward %7.2f ms %6.1f GFLOP/s\n",
           B, T, H, G, C, forward * 1e3, flops / forward, backward * 1e3,
           2.5 * flops / backward);
    free(q), free(k), free(v), free(out), free(dout), free(lse), free(dq), free(dk), free(dv);
}

static void others_bench(size_t M, size_t D, size_t V, size_t E, size_t K) {
    float *x = random_floats(M * D), *y = random_floats(M * D), *w = random_floats(D);
    float *rstd = random_floats(M), *logits = random_floats(M * V), *p = random_floats(M * E);
    float *route = random_floats(M * E), *weights = random_floats(M * K);
    int32_t *targets = calloc(M, sizeof *targets), *chosen = calloc(M * K, sizeof *chosen);
    int32_t *counts = calloc(E, sizeof *counts);
    double *sums = calloc(E, sizeof *sums), norm, back, loss, router, swiglu;
    BEST(norm, martlet_rmsnorm_f32(M, D, 1e-6, x, w, y, rstd));
    BEST(back, martlet_rmsnorm_backward_f32(M, D, x, w, rstd, y, 1, y, w));
    BEST(loss, martlet_cross_entropy_backward_f32(M, V, targets, 1e-3, logits));
    const martlet_router_shape shape = {M, E, K, 1, 1, 1, 1};
    BEST(router, martlet_router_f32(shape, route, p, chosen, weights, counts, sums));
    BEST(swiglu, martlet_swiglu_f32(M * D, x, y, y));
    printf("M %zu D %zu V %zu E %zu K %zu, us: rmsnorm %.0f, backward %.0f, cross-entropy %.0f, "
           "router %.0f, swiglu %.0f\n",
           M, D, V, E, K, norm * 1e6, back * 1e6, loss * 1e6, router * 1e6, swiglu * 1e6);
    free(x), free(y), free(w), free(rstd), free(logits), free(p), free(route), free(weights);
    free(targets), free(chosen), free(counts), free(sums);
}

void all_benchmarks(void) {
    static const size_t rows[] = {1, 4, 8, 16, 32, 64, 256, 2048};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        linear_bench(rows[i], 128, 256);
        linear_bench(rows[i], 256, 512);
        linear_bench(rows[i], 512, 512);
        linear_bench(rows[i], 512, 1024);
    }
    linear_bench(2048, 128, 8);
    linear_bench(2048, 128, 320);
    linear_bench(512, 1024, 4096);
    static const size_t tokens[] = {4, 16, 64, 256, 512};
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
        experts_bench(8, tokens[i], 128, 256);
        experts_bench(32, tokens[i], 256, 512);
        experts_bench(16, tokens[i], 512, 1024);
    }
    experts_bench(1, 2048, 256, 1024);
    attention_bench(8, 256, 4, 2, 32);
    attention_bench(4, 512, 8, 2, 64);
    attention_bench(1, 2048, 8, 8, 128);
    others_bench(2048, 128, 320, 8, 2);
    others_bench(2048, 512, 4096, 64, 8);
}
