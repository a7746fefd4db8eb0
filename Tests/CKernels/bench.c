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
    float *x = random_floats(M * I), *w = random_floats(O * I + 64), *y = random_floats(M * O);
    float *dx = random_floats(M * I), *dw = random_floats(O * I), *p = random_floats(O * I + 64);
    martlet_bf16 *hx = random_halves(M * I), *hw = random_halves(O * I + 64);
    martlet_bf16 *hy = random_halves(M * O), *hp = random_halves(O * I + 64);
    const double flops = 2.0 * (double)M * (double)I * (double)O * 1e-9;
    double t[8];
    martlet_pack_f32(I, O, w, p);
    martlet_pack_bf16(I, O, hw, hp);
    BEST(t[0], martlet_linear_f32(M, I, O, x, w, NULL, y));
    BEST(t[1], martlet_linear_packed_f32(M, I, O, x, p, NULL, y));
    BEST(t[2], martlet_linear_backward_f32(M, I, O, x, w, y, 0, dx, NULL, NULL));
    BEST(t[3], martlet_linear_backward_f32(M, I, O, x, w, y, 0, NULL, dw, NULL));
    BEST(t[4], martlet_linear_bf16(M, I, O, hx, hw, NULL, hy));
    BEST(t[5], martlet_linear_packed_bf16(M, I, O, hx, hp, NULL, hy));
    BEST(t[6], martlet_linear_backward_bf16(M, I, O, hx, hw, hy, 0, hx, NULL, NULL));
    BEST(t[7], martlet_linear_backward_bf16(M, I, O, hx, hw, hy, 0, NULL, dw, NULL));
    printf("linear  M %5zu I %5zu O %5zu: y %6.1f  packed %6.1f  dx %6.1f  dw %6.1f, "
           "bf16: y %6.1f  packed %6.1f  dx %6.1f  dw %6.1f GFLOP/s\n",
           M, I, O, flops / t[0], flops / t[1], flops / t[2], flops / t[3], flops / t[4],
           flops / t[5], flops / t[6], flops / t[7]);
    free(x), free(w), free(y), free(dx), free(dw), free(p), free(hx), free(hw), free(hy), free(hp);
}

static void experts_bench(size_t E, size_t m, size_t D, size_t F) {
    const size_t R = E * m, all = 3 * E * D * F;
    size_t *places = malloc(3 * E * sizeof *places);
    int32_t *offsets = malloc((E + 1) * sizeof *offsets), *slots = malloc(R * sizeof *slots);
    for (size_t e = 0; e <= E; e++) offsets[e] = (int32_t)(e * m);
    for (size_t r = 0; r < R; r++) slots[r] = (int32_t)r;
    for (size_t i = 0; i < 3 * E; i++) places[i] = i * D * F;
    const martlet_experts_shape shape = {E, D, F, places, places + E, places + 2 * E};
    const martlet_routing routing = {R, 1, offsets, slots, slots};
    float *w = random_floats(all), *dw = random_floats(all), *weights = random_floats(R);
    float *x = random_floats(R * D), *y = random_floats(R * D), *dx = random_floats(R * D);
    float *g = random_floats(R * F), *u = random_floats(R * F), *h = random_floats(R * F);
    float *rows = random_floats(R * D), *dweights = random_floats(R);
    martlet_bf16 *hw = random_halves(all), *hx = random_halves(R * D), *hy = random_halves(R * D);
    martlet_bf16 *hg = random_halves(R * F), *hu = random_halves(R * F);
    martlet_bf16 *hh = random_halves(R * F), *hr = random_halves(R * D);
    const double flops = 6.0 * (double)R * (double)D * (double)F * 1e-9;
    double t[4];
    BEST(t[0], martlet_experts_f32(shape, routing, w, x, weights, g, u, h, rows, 0, y));
    BEST(t[1], martlet_experts_backward_f32(shape, routing, w, x, weights, g, u, h, y, rows, 0,
                                            dx, dweights, dw));
    BEST(t[2], martlet_experts_bf16(shape, routing, hw, hx, weights, hg, hu, hh, hr, 0, hy));
    BEST(t[3], martlet_experts_backward_bf16(shape, routing, hw, hx, weights, hg, hu, hh, hy, hr,
                                             0, hx, dweights, dw));
    printf("experts E %3zu m %4zu D %4zu F %4zu: forward %6.1f  backward %6.1f, bf16: forward "
           "%6.1f  backward %6.1f GFLOP/s\n",
           E, m, D, F, flops / t[0], 2 * flops / t[1], flops / t[2], 2 * flops / t[3]);
    free(places), free(offsets), free(slots), free(w), free(dw), free(weights), free(x), free(y);
    free(dx), free(g), free(u), free(h), free(rows), free(dweights), free(hw), free(hx), free(hy);
    free(hg), free(hu), free(hh), free(hr);
}

static void attention_bench(size_t B, size_t T, size_t H, size_t G, size_t C) {
    const martlet_attention_shape shape = {B, T, H, G, C, C, 0.125};
    const size_t n = B * T * H * C, m = B * T * G * C;
    float *q = random_floats(n), *k = random_floats(m), *v = random_floats(m);
    float *out = random_floats(n), *dout = random_floats(n), *lse = random_floats(B * H * T);
    float *dq = random_floats(n), *dk = random_floats(m), *dv = random_floats(m);
    martlet_bf16 *hq = random_halves(n), *hk = random_halves(m), *hv = random_halves(m);
    martlet_bf16 *ho = random_halves(n), *hd = random_halves(n);
    double t[4];
    BEST(t[0], martlet_attention_f32(shape, q, k, v, out, lse));
    BEST(t[1], martlet_attention_backward_f32(shape, q, k, v, out, lse, dout, dq, dk, dv));
    BEST(t[2], martlet_attention_bf16(shape, hq, hk, hv, ho, lse));
    BEST(t[3], martlet_attention_backward_bf16(shape, hq, hk, hv, ho, lse, hd, hq, hk, hv));
    const double flops = 2.0 * (double)n * (double)T * 1e-9;  // two products over half the pairs
    printf("attention B %2zu T %5zu H %2zu G %2zu C %3zu: forward %6.1f  backward %6.1f, bf16: "
           "forward %6.1f  backward %6.1f GFLOP/s\n",
           B, T, H, G, C, flops / t[0], 2.5 * flops / t[1], flops / t[2], 2.5 * flops / t[3]);
    free(q), free(k), free(v), free(out), free(dout), free(lse), free(dq), free(dk), free(dv);
    free(hq), free(hk), free(hv), free(ho), free(hd);
}

static void others_bench(size_t M, size_t D, size_t V, size_t E, size_t K) {
    float *x = random_floats(M * D), *y = random_floats(M * D), *w = random_floats(D);
    float *rstd = random_floats(M), *p = random_floats(M * E), *head = random_floats(V * D);
    float *route = random_floats(M * E), *weights = random_floats(M * K);
    int32_t *targets = calloc(M, sizeof *targets), *chosen = calloc(M * K, sizeof *chosen);
    int32_t *counts = calloc(E, sizeof *counts);
    double *sums = calloc(E, sizeof *sums), norm, back, loss, router;
    BEST(norm, martlet_rmsnorm_f32(M, D, 1e-6, x, w, y, rstd));
    BEST(back, martlet_rmsnorm_backward_f32(M, D, x, w, rstd, y, 1, y, w));
    BEST(loss, martlet_head_loss_f32(M, D, V, x, head, targets, 1e-3, y, head));
    const martlet_router_shape shape = {M, E, K, 1, 1, 1, 1};
    BEST(router, martlet_router_f32(shape, route, p, chosen, weights, counts, sums));
    printf("M %zu D %zu V %zu E %zu K %zu, us: rmsnorm %.0f, backward %.0f, head and loss %.0f, "
           "router %.0f\n",
           M, D, V, E, K, norm * 1e6, back * 1e6, loss * 1e6, router * 1e6);
    free(x), free(y), free(w), free(rstd), free(head), free(p), free(route), free(weights);
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
