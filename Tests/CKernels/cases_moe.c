// The operations of a mixture of experts on many shapes, with empty experts and skipped slots.
#include "cases.h"

// ---- Router, gather and combine -------------------------------------------------------------

// Sizes: M, E, K, groups, groups chosen.
static martlet_router_shape router_shape(const test *t) {
    return (martlet_router_shape){S(0), S(1), S(2), S(3), S(4), t->flag, t->flag ? 1 : 2.5};
}
static void router_forward(kind k, const test *t, void *const *b) {
    CALL(k, router, router_shape(t), IN(0), OUT(1), b[2], OUT(3), b[4], b[5]);
    // Column sums of the probabilities again, as an output that has a cotangent.
    for (size_t e = 0; e < S(1); e++) {
        if (k == kind_ref_f64) ((double *)b[6])[e] = ((double *)b[5])[e];
        else ((float *)b[6])[e] = (float)((double *)b[5])[e];
    }
}
static void router_back(kind k, const test *t, void *const *b) {
    double *dprobability = malloc((S(1) + 1) * sizeof(double));
    for (size_t e = 0; e < S(1); e++)
        dprobability[e] = k == kind_ref_f64 ? ((double *)b[8])[e] : (double)((float *)b[8])[e];
    CALL(k, router_backward, router_shape(t), IN(1), b[2], IN(3), IN(7), dprobability, OUT(9));
    free(dprobability);
}

static void router_case(size_t M, size_t E, size_t K, size_t groups, size_t chosen, int flag) {
    const test t = {"router", router_forward, router_back,
                    {{role_input, M * E, 0, 0}, {role_saved, M * E, 0, 0},
                     {role_chosen, M * K, 0, 0}, {role_output, M * K, 0, 0},
                     {role_chosen, E, 0, 0}, {role_sum, E, 0, 0}, {role_output, E, 0, 0},
                     {role_cotangent, M * K, 3, 0}, {role_cotangent, E, 6, 0},
                     {role_gradient, M * E, 0, 0}},
                    {M, E, K, groups, chosen}, flag, tolerance};
    check(&t, M * E < 2000);
}

static void gather_forward(kind k, const test *t, void *const *b) {
    CALL(k, gather, S(3), S(1), S(2), b[0], IN(2), OUT(3));
}
static void gather_back(kind k, const test *t, void *const *b) {
    CALL(k, gather_backward, S(0), S(1), S(2), b[1], IN(4), t->flag, OUT(5));
}
static void combine_forward(kind k, const test *t, void *const *b) {
    CALL(k, combine, S(0), S(1), S(2), b[0], IN(1), IN(2), OUT(3));
}
static void combine_back(kind k, const test *t, void *const *b) {
    CALL(k, combine_backward, S(0), S(1), S(2), b[0], IN(1), IN(2), IN(4), OUT(5), OUT(6));
}

static void exchange_case(size_t M, size_t K, size_t D, size_t E, size_t blank) {
    int32_t *experts = random_indices(M * K, E, blank);
    int32_t *offsets = malloc((E + 1) * sizeof *offsets);
    int32_t *row_of_slot = malloc((M * K + 1) * sizeof *row_of_slot);
    int32_t *slot_of_row = malloc((M * K + 1) * sizeof *slot_of_row);
    martlet_dispatch(M, K, E, experts, offsets, row_of_slot, slot_of_row);
    const size_t R = (size_t)offsets[E];
    const int flag = (int)(M % 2);
    const test g = {"gather", gather_forward, gather_back,
                    {{role_index, R, 0, slot_of_row}, {role_index, M * K, 0, row_of_slot},
                     {role_input, M * D, 0, 0}, {role_output, R * D, 0, 0},
                     {role_cotangent, R * D, 3, 0},
                     {flag ? role_accumulated : role_gradient, M * D, 2, 0}},
                    {M, K, D, R}, flag, tolerance};
    check(&g, M * D < 2000);
    const test c = {"combine", combine_forward, combine_back,
                    {{role_index, M * K, 0, row_of_slot}, {role_input, M * K, 0, 0},
                     {role_input, R * D, 0, 0}, {role_output, M * D, 0, 0},
                     {role_cotangent, M * D, 3, 0}, {role_gradient, M * K, 1, 0},
                     {role_gradient, R * D, 2, 0}},
                    {M, K, D, R}, 0, tolerance};
    check(&c, M * D < 2000);
    free(experts), free(offsets), free(row_of_slot), free(slot_of_row);
}

static void routing_cases(void) {
    static const size_t shapes[][5] = {
        {0, 4, 2, 1, 1},   {1, 1, 1, 1, 1},   {2, 3, 3, 1, 1},     {5, 8, 2, 1, 1},
        {17, 16, 4, 1, 1}, {33, 60, 4, 1, 1}, {500, 128, 8, 1, 1}, {5, 8, 2, 4, 2},
        {17, 18, 6, 3, 1}, {33, 60, 4, 6, 3}, {500, 160, 6, 8, 3}};
    for (size_t i = 0; i < COUNT(shapes); i++)
        for (int flag = 0; flag < 2; flag++)
            router_case(shapes[i][0], shapes[i][1], shapes[i][2], shapes[i][3], shapes[i][4],
                        flag);
    exchange_case(0, 2, 8, 4, 0);
    exchange_case(1, 1, 1, 1, 0);
    exchange_case(5, 2, 17, 3, 3);
    exchange_case(4, 3, 16, 9, 1);  // every slot skipped
    exchange_case(600, 4, 100, 8, 7);
}

// ---- Experts --------------------------------------------------------------------------------

enum { experts_most = 16 };

static martlet_experts_shape experts_shape(const test *t, size_t *places) {
    const size_t E = S(0), D = S(1), F = S(2), one = 3 * D * F;
    for (size_t e = 0; e < E; e++) {
        // Not in order, and with a gap in front: places are places, not strides.
        const size_t start = 3 + (E - 1 - e) * one;
        places[e] = start + D * F;
        places[experts_most + e] = start + 2 * D * F;
        places[2 * experts_most + e] = start;
    }
    return (martlet_experts_shape){E, D, F, places, places + experts_most,
                                   places + 2 * experts_most};
}
static void experts_forward(kind k, const test *t, void *const *b) {
    size_t places[3 * experts_most];
    CALL(k, experts, experts_shape(t, places), b[0], IN(1), IN(2), OUT(3), OUT(4), OUT(5),
         OUT(6));
}
static void experts_back(kind k, const test *t, void *const *b) {
    size_t places[3 * experts_most];
    CALL(k, experts_backward, experts_shape(t, places), b[0], IN(1), IN(2), OUT(3), OUT(4),
         IN(5), IN(7), OUT(8), OUT(9));
}

static void experts_case(size_t E, size_t D, size_t F, const int32_t *offsets) {
    const size_t R = (size_t)offsets[E], all = 3 + 3 * E * D * F;
    const test t = {"experts", experts_forward, experts_back,
                    {{role_index, E + 1, 0, offsets}, {role_input, all, 0, 0},
                     {role_input, R * D, 0, 0}, {role_saved, R * F, 0, 0},
                     {role_saved, R * F, 0, 0}, {role_saved, R * F, 0, 0},
                     {role_output, R * D, 0, 0}, {role_cotangent, R * D, 6, 0},
                     {role_gradient, R * D, 2, 0}, {role_accumulated, all, 1, 0}},
                    {E, D, F, R}, 0, tolerance};
    check(&t, R * D * F < 8000);
}

static void swiglu_forward(kind k, const test *t, void *const *b) {
    CALL(k, swiglu, S(0), IN(0), IN(1), OUT(2));
}
static void swiglu_back(kind k, const test *t, void *const *b) {
    CALL(k, swiglu_backward, S(0), IN(0), IN(1), IN(3), OUT(4), OUT(5));
}
static void shared_forward(kind k, const test *t, void *const *b) {
    copy(k, b[4], b[8], t->buffers[4].count);
    CALL(k, shared_expert, S(0), S(1), IN(0), IN(1), IN(2), OUT(3), OUT(4));
}
static void shared_back(kind k, const test *t, void *const *b) {
    CALL(k, shared_expert_backward, S(0), S(1), IN(0), IN(1), IN(2), IN(3), IN(5), t->flag,
         OUT(6), OUT(7), OUT(9));
}

static void shared_case(size_t M, size_t D, int flag) {
    const test t = {"shared expert", shared_forward, shared_back,
                    {{role_input, M * D, 0, 0}, {role_input, D, 0, 0}, {role_input, M * D, 0, 0},
                     {role_saved, M, 0, 0}, {role_output, M * D, 0, 0},
                     {role_cotangent, M * D, 4, 0},
                     {flag ? role_accumulated : role_gradient, M * D, 0, 0},
                     {role_accumulated, D, 1, 0}, {role_input, M * D, 0, 0},
                     {role_gradient, M * D, 2, 0}},
                    {M, D}, flag, tolerance};
    check(&t, M * D < 2000);
}

static void expert_cases(void) {
    experts_case(0, 4, 4, (const int32_t[]){0});
    experts_case(1, 5, 7, (const int32_t[]){0, 0});
    experts_case(1, 1, 1, (const int32_t[]){0, 1});
    experts_case(3, 8, 5, (const int32_t[]){0, 0, 5, 6});
    experts_case(4, 17, 33, (const int32_t[]){0, 2, 2, 19, 19});
    experts_case(8, 64, 48, (const int32_t[]){0, 1, 30, 30, 31, 231, 231, 240, 300});
    experts_case(2, 130, 70, (const int32_t[]){0, 17, 600});
    static const size_t lengths[] = {0, 1, 17, 40000};
    for (size_t i = 0; i < COUNT(lengths); i++) {
        const size_t n = lengths[i];
        const test t = {"swiglu", swiglu_forward, swiglu_back,
                        {{role_input, n, 0, 0}, {role_input, n, 0, 0}, {role_output, n, 0, 0},
                         {role_cotangent, n, 2, 0}, {role_gradient, n, 0, 0},
                         {role_gradient, n, 1, 0}},
                        {n}, 0, tolerance};
        check(&t, n < 100);
    }
    shared_case(0, 8, 0);
    shared_case(1, 1, 1);
    shared_case(5, 17, 0);
    shared_case(700, 130, 1);
}

void moe_cases(void) {
    routing_cases();
    expert_cases();
}
