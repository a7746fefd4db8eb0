// What must hold beside the numbers: rows do not disturb each other, ties and NaN make no invalid
// index, callers may be many.
#include "parity.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static int same_bits(const float *a, const float *b, size_t count) {
    return memcmp(a, b, count * sizeof *a) == 0;
}

// A row of a linear map alone has the bits it has among others.
static void linear_rows_stand_alone(void) {
    enum { M = 211, I = 600, O = 75 };
    float *x = random_floats(M * I), *w = random_floats(O * I), *y = random_floats(M * O), row[O];
    martlet_linear_f32(M, I, O, x, w, NULL, y);
    for (size_t m = 0; m < M; m += 3) {
        martlet_linear_f32(1, I, O, x + m * I, w, NULL, row);
        expect(same_bits(row, y + m * O, O), "a row alone", "linear");
    }
    free(x), free(w), free(y);
}

// Leaving out some slots leaves the bits of all other rows.
static void skipped_slots_change_nothing_else(void) {
    enum { E = 3, D = 40, F = 72, M = 60, ALL = E * 3 * D * F };
    const size_t gate[E] = {0, 3 * D * F, 6 * D * F};
    const size_t up[E] = {D * F, 4 * D * F, 7 * D * F};
    const size_t down[E] = {2 * D * F, 5 * D * F, 8 * D * F};
    const martlet_experts_shape shape = {E, D, F, gate, up, down};
    float *x = random_floats(M * D), *w = random_floats(ALL), *rows = random_floats(M * D);
    float *y[2], *g = random_floats(M * F), *u = random_floats(M * F), *h = random_floats(M * F);
    float *weights = random_floats(M);
    int32_t experts[M], offsets[E + 1], row_of_slot[M], slot_of_row[M];
    for (int skip = 0; skip < 2; skip++) {
        y[skip] = random_floats(M * D);
        for (int i = 0; i < M; i++) experts[i] = skip && i % 3 == 1 ? -1 : i % 7 % E;
        martlet_dispatch(M, 1, E, experts, offsets, row_of_slot, slot_of_row);
        const martlet_routing routing = {M, 1, offsets, slot_of_row, row_of_slot};
        martlet_experts_f32(shape, routing, w, x, weights, g, u, h, rows, 0, y[skip]);
    }
    for (int i = 0; i < M; i++) {
        float largest = 0;
        for (int d = 0; d < D; d++) largest = fmaxf(largest, fabsf(y[1][i * D + d]));
        expect(i % 3 == 1 ? largest == 0 : same_bits(y[0] + i * D, y[1] + i * D, D),
               "a slot beside skipped ones", "experts");
    }
    free(x), free(w), free(rows), free(y[0]), free(y[1]), free(g), free(u), free(h);
    free(weights);
}

// Packed weights give the bits of unpacked ones.
static void packing_changes_nothing(void) {
    enum { M = 5, E = 3, D = 40, F = 72, ONE = D * F, ALL = E * 3 * ONE };
    const size_t gate[E] = {0, 3 * ONE, 6 * ONE}, up[E] = {ONE, 4 * ONE, 7 * ONE};
    const size_t down[E] = {2 * ONE, 5 * ONE, 8 * ONE};
    const martlet_experts_shape shape = {E, D, F, gate, up, down};
    martlet_bf16 *x = random_halves(M * D), *w = random_halves(ALL);
    martlet_bf16 *packed = random_halves(ALL + 64);
    martlet_bf16 *scratch = random_halves(4 * M * 2 * (D + F)), y[2][M * D];
    float *weights = random_floats(2 * M);
    int32_t experts[2 * M], offsets[E + 1], row_of_slot[2 * M], slot_of_row[2 * M];
    for (int i = 0; i < 2 * M; i++) experts[i] = i % E;
    martlet_dispatch(M, 2, E, experts, offsets, row_of_slot, slot_of_row);
    const martlet_routing routing = {M, 2, offsets, slot_of_row, row_of_slot};
    for (int e = 0; e < E; e++) {
        martlet_pack_bf16(D, F, w + gate[e], packed + gate[e]);
        martlet_pack_bf16(D, F, w + up[e], packed + up[e]);
        martlet_pack_bf16(F, D, w + down[e], packed + down[e]);
    }
    martlet_bf16 *g = scratch, *u = g + 2 * M * F, *h = u + 2 * M * F, *rows = h + 2 * M * F;
    martlet_experts_bf16(shape, routing, w, x, weights, g, u, h, rows, 0, y[0]);
    martlet_experts_packed_bf16(shape, routing, packed, x, weights, g, u, h, rows, 0, y[1]);
    expect(memcmp(y[0], y[1], sizeof y[0]) == 0, "packed", "experts");
    free(x), free(w), free(packed), free(scratch), free(weights);
}

// Tokens decoded in pieces over a cache have the bits of the whole sequence.
static void cached_attention_is_attention(void) {
    enum { T = 150, H = 4, G = 2, C = 20, W = 12, CAPACITY = 170 };
    const martlet_attention_shape whole = {1, T, H, G, C, W, 0.25};
    float *q = random_floats(T * H * C), *k = random_floats(CAPACITY * G * C);
    float *v = random_floats(CAPACITY * G * W), *out = random_floats(T * H * W);
    float *logsumexp = random_floats(H * T), *piece = random_floats(T * H * W);
    martlet_attention_f32(whole, q, k, v, out, logsumexp);
    for (int32_t first = 0, count; first < T; first += count) {
        count = first == 0 ? 70 : first < 100 ? 1 : first == 100 ? 33 : 17;
        const martlet_attention_shape part = {1, (size_t)count, H, G, C, W, 0.25};
        const int32_t length = first + count;
        const float *from = q + first * H * C;
        const size_t n = (size_t)count * H * W;
        martlet_attention_cached_f32(part, CAPACITY, &length, from, k, v, piece);
        expect(same_bits(piece, out + first * H * W, n), "cached", "attention");
        martlet_attention_cached_ref_f32(part, CAPACITY, &length, from, k, v, piece);
        double worst = 0;
        for (size_t i = 0; i < n; i++)
            worst = fmax(worst, fabs((double)piece[i] - (double)out[(size_t)first * H * W + i]));
        expect(worst < 1e-5, "cached reference", "attention");
    }
    free(q), free(k), free(v), free(out), free(logsumexp), free(piece);
}

// Two sequences of different lengths in one cache, fast against reference.
static void cached_lengths_differ(void) {
    enum { B = 2, T = 3, H = 2, G = 1, C = 8, CAPACITY = 90 };
    const martlet_attention_shape shape = {B, T, H, G, C, C, 0.5};
    const int32_t lengths[B] = {3, 77};
    float *q = random_floats(B * T * H * C), *k = random_floats(B * CAPACITY * G * C);
    float *v = random_floats(B * CAPACITY * G * C), a[B * T * H * C], b[B * T * H * C];
    martlet_attention_cached_f32(shape, CAPACITY, lengths, q, k, v, a);
    martlet_attention_cached_ref_f32(shape, CAPACITY, lengths, q, k, v, b);
    for (int i = 0; i < B * T * H * C; i++)
        expect(fabsf(a[i] - b[i]) < 1e-5f, "lengths", "attention_cached");
    free(q), free(k), free(v);
}

static void dispatch_is_stable(void) {
    const int32_t experts[] = {2, 0, -1, 2, 0, 2};
    int32_t offsets[5], rows[6], slots[6] = {-9, -9, -9, -9, -9, -9};
    martlet_dispatch(3, 2, 4, experts, offsets, rows, slots);
    expect(memcmp(offsets, (int32_t[]){0, 2, 2, 5, 5}, sizeof offsets) == 0, "offsets", "dispatch");
    expect(memcmp(rows, (int32_t[]){2, 0, -1, 3, 1, 4}, sizeof rows) == 0, "rows", "dispatch");
    expect(memcmp(slots, (int32_t[]){1, 4, 0, 3, 5, -9}, sizeof slots) == 0, "slots", "dispatch");
}

// Ties go to the lowest index; NaN logits still choose K different experts.
static void router_choices_are_valid(void) {
    enum { M = 4, E = 20, K = 3 };
    float logits[M * E], probabilities[M * E], weights[M * K];
    int32_t experts[2][M * K], counts[E];
    double sums[E];
    for (int e = 0; e < E; e++) {
        logits[e] = 1;                          // all tie
        logits[E + e] = e == 5 || e == 17;      // two tie for the first place
        logits[2 * E + e] = NAN;
        logits[3 * E + e] = e == 4 ? INFINITY : 0;
    }
    const martlet_router_shape shape = {M, E, K, 1, 1, 1, 1};
    martlet_router_f32(shape, logits, probabilities, experts[0], weights, counts, sums);
    martlet_router_ref_f32(shape, logits, probabilities, experts[1], weights, counts, sums);
    const int32_t expected[2 * K] = {0, 1, 2, 5, 17, 0};
    expect(memcmp(experts[0], expected, sizeof expected) == 0, "ties", "router");
    expect(memcmp(experts[0], experts[1], sizeof experts[0]) == 0, "as reference", "router");
    for (int i = 0; i < M * K; i++)
        for (int j = i / K * K; j < i; j++)
            expect(experts[0][i] >= 0 && experts[0][i] < E && experts[0][i] != experts[0][j],
                   "different and valid", "router");
    // Two of four groups of five: ties to the lowest group, NaN to any.
    const martlet_router_shape groups = {M, E, K, 4, 2, 1, 1};
    martlet_router_f32(groups, logits, probabilities, experts[0], weights, counts, sums);
    martlet_router_ref_f32(groups, logits, probabilities, experts[1], weights, counts, sums);
    const int32_t grouped[2 * K] = {0, 1, 2, 5, 17, 6};
    expect(memcmp(experts[0], grouped, sizeof grouped) == 0, "grouped ties", "router");
    expect(memcmp(experts[0], experts[1], sizeof experts[0]) == 0, "grouped", "router");
}

// transformers' load_balancing_loss_func, written out over one-hot choices.
static void load_balancing_is_as_published(void) {
    enum { L = 2, M = 3, E = 4, K = 2, N = L * M };
    const int32_t chosen[N][K] = {{0, 1}, {0, 2}, {1, 0}, {3, 0}, {0, 1}, {2, 0}};
    double p[N][E], sums[L * E] = {0}, expected = 0, dprobability[E];
    int32_t counts[L * E] = {0};
    for (int n = 0; n < N; n++)
        for (int e = 0; e < E; e++) {
            p[n][e] = 0.1 + 0.02 * n + 0.05 * e;
            sums[n / M * E + e] += p[n][e];
            for (int k = 0; k < K; k++) counts[n / M * E + e] += chosen[n][k] == e;
        }
    for (int k = 0; k < K; k++)
        for (int e = 0; e < E; e++) {
            double share = 0, mean = 0;
            for (int n = 0; n < N; n++) {
                share += (double)(chosen[n][k] == e) / N;
                mean += p[n][e] / N;
            }
            expected += E * share * mean;
        }
    const double found = martlet_load_balancing(L, M, E, counts, sums, 0.5, dprobability);
    expect(fabs(found - expected) < 1e-12, "loss", "load_balancing");
    sums[2] += 0.01;
    const double moved = martlet_load_balancing(L, M, E, counts, sums, 0.5, NULL);
    expect(fabs(0.5 * (moved - found) - 0.01 * dprobability[2]) < 1e-12, "slope", "load_balancing");
}

// An expert of width 1 whose gate is g and whose up and down projections are 1 and 1.
static float gated(float g) {
    const size_t gate = 0, up = 1, down = 2;
    const martlet_experts_shape shape = {1, 1, 1, &gate, &up, &down};
    const int32_t offsets[] = {0, 1};
    const martlet_routing routing = {1, 1, offsets, NULL, NULL};
    const float w[] = {g, 1, 1}, x = 1;
    float kept[3], y;
    martlet_experts_f32(shape, routing, w, &x, NULL, kept, kept + 1, kept + 2, NULL, 0, &y);
    return y;
}

static void extremes_flow_through(void) {
    const float gate[] = {-1e30f, -100, -88, 0, 88, 100, 1e30f};
    for (int i = 0; i < 4; i++) expect(fabsf(gated(gate[i])) < 1e-20f, "far below 0", "swiglu");
    for (int i = 4; i < 7; i++) expect(gated(gate[i]) == gate[i], "far above 0", "swiglu");
    expect(isnan(gated(NAN)), "NaN", "swiglu");
    const float logits[] = {1e4f, -1e4f, -3e38f, 9999.5f}, one = 1;
    float dx, dw[4] = {0};
    const int32_t target = 3;
    const martlet_loss loss =
        martlet_head_loss_f32(1, 1, 4, &one, logits, &target, 1, &dx, dw);
    expect(fabs(loss.sum - log(1 + exp(0.5))) < 1e-6, "large logits", "head_loss");
    expect(dw[1] == 0 && dw[2] == 0, "no weight", "head_loss");
}

// exp is used relative to the row's largest value, so it is its relative error that counts:
// x sigmoid(x) is nearly x exp(x) for negative x.
static void exp_is_accurate(void) {
    double worst = 0;
    for (int i = 0; i < 4000; i++) {
        const float gate = -80 + 0.025f * (float)i;
        const double x = (double)gate, exact = x / (1 + exp(-x));
        if (x != 0) worst = fmax(worst, fabs((double)gated(gate) - exact) / fabs(exact));
    }
    expect(worst < 4e-7, "relative error", "exp");
}

// ---- Many callers ---------------------------------------------------------------------------

enum { CALLS = 60, ROWS = 300, IN = 64, OUT = 96 };

typedef struct {
    const float *x, *w, *expected;
    int differences;
} caller;

static void *call_often(void *argument) {
    caller *c = argument;
    float *y = malloc(ROWS * OUT * sizeof *y);
    for (int i = 0; i < CALLS; i++) {
        memset(y, 0, ROWS * OUT * sizeof *y);
        martlet_linear_f32(ROWS, IN, OUT, c->x, c->w, NULL, y);
        c->differences += !same_bits(y, c->expected, ROWS * OUT);
    }
    free(y);
    return NULL;
}

// Operations from several threads while the pool changes its size.
static void callers_may_be_many(void) {
    enum { CALLERS = 3 };
    float *x = random_floats(ROWS * IN), *w = random_floats(OUT * IN);
    float *y = random_floats(ROWS * OUT);
    martlet_linear_f32(ROWS, IN, OUT, x, w, NULL, y);
    pthread_t threads[CALLERS];
    caller callers[CALLERS];
    for (int i = 0; i < CALLERS; i++) {
        callers[i] = (caller){x, w, y, 0};
        pthread_create(&threads[i], NULL, call_often, &callers[i]);
    }
    for (int i = 0; i < 20; i++) martlet_threads_set(1 + i % 5);
    for (int i = 0; i < CALLERS; i++) {
        pthread_join(threads[i], NULL);
        expect(callers[i].differences == 0, "bits", "several callers");
    }
    martlet_threads_set(3);
    martlet_threads_stop();
    expect(martlet_threads() == 1, "one thread after stop", "pool");
    free(x), free(w), free(y);
}

void all_properties(void) {
    for (int threads = 1; threads <= 2; threads++) {
        martlet_threads_set(threads);
        linear_rows_stand_alone();
        skipped_slots_change_nothing_else();
        packing_changes_nothing();
        cached_attention_is_attention();
        cached_lengths_differ();
        router_choices_are_valid();
        extremes_flow_through();
        exp_is_accurate();
    }
    dispatch_is_stable();
    load_balancing_is_as_published();
    callers_may_be_many();
}
