// The operations of a mixture of experts on many shapes, with empty experts and skipped slots.
#include "cases.h"

// ---- Router ---------------------------------------------------------------------------------

// Sizes: M, E, K, groups, groups chosen.
static martlet_router_shape router_shape(const test *t) {
    return (martlet_router_shape){S(0), S(1), S(2), S(3), S(4), t->flag, t->flag ? 1 : 2.5};
}
static void router_forward(kind k, const test *t, void *const *b) {
    CALL_WIDE(k, router, router_shape(t), IN(0), OUT(1), b[2], OUT(3), b[4], b[5]);
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
    CALL_WIDE(k, router_backward, router_shape(t), IN(1), b[2], IN(3), IN(7), dprobability, OUT(9));
    free(dprobability);
}

static void router_case(size_t M, size_t E, size_t K, size_t groups, size_t chosen, int flag) {
    const test t = {"router", router_forward, router_back,
                    {{role_input, M * E, 0, 0}, {role_saved, M * E, 0, 0},
                     {role_chosen, M * K, 0, 0}, {role_output, M * K, 0, 0},
                     {role_chosen, E, 0, 0}, {role_sum, E, 0, 0}, {role_output, E, 0, 0},
                     {role_cotangent, M * K, 3, 0}, {role_cotangent, E, 6, 0},
                     {role_gradient, M * E, 0, 0}},
                    {M, E, K, groups, chosen}, flag, tolerance, 1};
    check(&t, M * E < 2000);
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
}

// ---- Mask -----------------------------------------------------------------------------------

// Sizes: M, E, K, stride. Buffers: 0 logits, 1 experts, 2 weights, 3 targets.
static martlet_mask_shape mask_shape(const test *t) {
    return (martlet_mask_shape){S(0), S(1), S(2), S(3), 0.25, t->flag & 1 ? 0.5 : 0, t->flag & 2};
}
static void mask_forward(kind k, const test *t, void *const *b) {
    martlet_mask_report report = {0};
    const int32_t *targets = t->buffers[3].count ? b[3] : NULL;
    const martlet_mask_shape shape = mask_shape(t);
    if (k == kind_fast)
        report = martlet_mask_f32(shape, b[0], b[1], b[2], targets, b[4], b[5], b[6]);
    if (k == kind_ref_f32)
        report = martlet_mask_ref_f32(shape, b[0], b[1], b[2], targets, b[4], b[5], b[6]);
    if (k == kind_ref_f64)
        report = martlet_mask_ref_f64(shape, b[0], b[1], b[2], targets, b[4], b[5], b[6]);
    const double parts[] = {report.soft, (double)report.rows, (double)report.live,
                            (double)report.empty, (double)report.invalid};
    memcpy(b[7], parts, sizeof parts);
}
static void mask_back(kind k, const test *t, void *const *b) {
    const int32_t *targets = t->buffers[3].count ? b[3] : NULL;
    // What lies between two rows is another's.
    memset(b[10], 0, t->buffers[10].count * (k == kind_ref_f64 ? sizeof(double) : sizeof(float)));
    CALL_WIDE(k, mask_backward, mask_shape(t), b[1], IN(2), targets, IN(4), b[6], IN(8), 0.37,
              OUT(9), OUT(10));
}

static void mask_case(size_t M, size_t E, size_t K, size_t gap, int flag) {
    int32_t *targets = random_indices(M, 9, 3), *experts = random_indices(M * K, E, 0);
    // A token's experts differ.
    for (size_t i = 0; i < M * K; i++) experts[i] = (int32_t)((i / K + i % K) % E);
    const size_t stride = E + gap, counted = gap ? M : 0;
    const test t = {"mask", mask_forward, mask_back,
                    {{role_input, M * stride, 0, 0}, {role_index, M * K, 0, experts},
                     {role_input, M * K, 0, 0}, {role_index, counted, 0, targets},
                     {role_saved, M * K, 0, 0}, {role_output, M * K, 0, 0},
                     {role_chosen, M * K, 0, 0}, {role_sum, 5, 0, 0},
                     {role_cotangent, M * K, 5, 0}, {role_gradient, M * K, 2, 0},
                     {role_gradient, M ? (M - 1) * stride + E : 0, 0, 0}},
                    {M, E, K, stride}, flag, tolerance, 1};
    check(&t, 0);
    free(targets), free(experts);
}

static void mask_cases(void) {
    static const size_t shapes[][4] = {{0, 4, 2, 0},  {1, 1, 1, 0},    {3, 8, 4, 0},
                                       {17, 8, 8, 8}, {33, 60, 4, 60}, {500, 128, 8, 128}};
    for (size_t i = 0; i < COUNT(shapes); i++)
        for (int flag = 0; flag < 4; flag++)
            mask_case(shapes[i][0], shapes[i][1], shapes[i][2], shapes[i][3], flag);
}

// ---- Experts --------------------------------------------------------------------------------

enum { experts_most = 16, gap = 3 };

static martlet_experts_shape experts_shape(const test *t, size_t *places) {
    const size_t E = S(0), D = S(1), F = S(2), one = 3 * D * F;
    for (size_t e = 0; e < E; e++) {
        // Not in order, and with a gap in front: places are places, not strides.
        const size_t start = gap + (E - 1 - e) * one;
        places[e] = start + D * F;
        places[experts_most + e] = start + 2 * D * F;
        places[2 * experts_most + e] = start;
    }
    return (martlet_experts_shape){E, D, F, places, places + experts_most,
                                   places + 2 * experts_most};
}
// Buffers: 0 offsets, 1 row_of_slot, 2 slot_of_row (both empty without dispatch).
static martlet_routing routing_of(const test *t, void *const *b) {
    const int is_routed = t->buffers[2].count > 0 || t->flag & 2;
    return (martlet_routing){S(3), S(4), b[0], is_routed ? b[2] : NULL, is_routed ? b[1] : NULL};
}
static void experts_forward(kind k, const test *t, void *const *b) {
    size_t places[3 * experts_most];
    const martlet_experts_shape shape = experts_shape(t, places);
    copy(k, b[10], b[9], t->buffers[9].count);
    CALL(k, experts, shape, routing_of(t, b), IN(3), IN(4), WIDE_IN(5), OUT(6), OUT(7), OUT(8),
         OUT(12), t->flag & 1, OUT(10));
}
static void experts_back(kind k, const test *t, void *const *b) {
    size_t places[3 * experts_most];
    const martlet_experts_shape shape = experts_shape(t, places);
    CALL(k, experts_backward, shape, routing_of(t, b), IN(3), IN(4), WIDE_IN(5), OUT(6), OUT(7),
         OUT(8), IN(11), OUT(12), t->flag & 1, OUT(13), WIDE_OUT(14), WIDE_OUT(15));
    // The gap in front of the places belongs to nobody.
    for (size_t i = 0; i < gap; i++) {
        if (k == kind_ref_f64) ((double *)b[15])[i] = 0;
        else ((float *)b[15])[i] = 0;
    }
    // Scratch: what is in it does not count.
    for (size_t i = 0; i < t->buffers[12].count; i++) {
        if (k == kind_ref_f64) ((double *)b[12])[i] = 0;
        else if (k == kind_fast_bf16) ((martlet_bf16 *)b[12])[i].bits = 0;
        else ((float *)b[12])[i] = 0;
    }
}

// M tokens with K slots each, every `blank`-th skipped, among E experts.
static void experts_case(size_t E, size_t D, size_t F, size_t M, size_t K, size_t blank,
                         int accumulate) {
    int32_t *chosen = random_indices(M * K, E, blank), *offsets = calloc(E + 1, sizeof *offsets);
    int32_t *row_of_slot = malloc((M * K + 1) * sizeof *row_of_slot);
    int32_t *slot_of_row = malloc((M * K + 1) * sizeof *slot_of_row);
    martlet_dispatch(M, K, E, chosen, offsets, row_of_slot, slot_of_row);
    const size_t R = (size_t)offsets[E], all = gap + 3 * E * D * F;
    const role added = accumulate ? role_accumulated : role_gradient;
    const test t = {"experts", experts_forward, experts_back,
                    {{role_index, E + 1, 0, offsets}, {role_index, M * K, 0, row_of_slot},
                     {role_index, R, 0, slot_of_row}, {role_input, all, 0, 0},
                     {role_input, M * D, 0, 0}, {role_input, M * K, 0, 0, 1},
                     {role_saved, R * F, 0, 0}, {role_saved, R * F, 0, 0},
                     {role_saved, R * F, 0, 0}, {role_input, M * D, 0, 0},
                     {role_output, M * D, 0, 0}, {role_cotangent, M * D, 10, 0},
                     {role_saved, R * D, 0, 0}, {added, M * D, 4, 0},
                     {role_gradient, M * K, 5, 0, 1}, {role_gradient, all, 3, 0, 1}},
                    {E, D, F, M, K}, accumulate | 2, tolerance};
    check(&t, R * D * F < 8000);
    free(chosen), free(offsets), free(row_of_slot), free(slot_of_row);
}

// One expert that sees every token.
static void mlp_case(size_t M, size_t D, size_t F, int accumulate) {
    const int32_t offsets[] = {0, (int32_t)M};
    const size_t all = gap + 3 * D * F;
    const role added = accumulate ? role_accumulated : role_gradient;
    const test t = {"mlp", experts_forward, experts_back,
                    {{role_index, 2, 0, offsets}, {role_none, 0, 0, 0}, {role_none, 0, 0, 0},
                     {role_input, all, 0, 0}, {role_input, M * D, 0, 0}, {role_none, 0, 0, 0},
                     {role_saved, M * F, 0, 0}, {role_saved, M * F, 0, 0},
                     {role_saved, M * F, 0, 0}, {role_input, M * D, 0, 0},
                     {role_output, M * D, 0, 0}, {role_cotangent, M * D, 10, 0},
                     {role_none, 0, 0, 0}, {added, M * D, 4, 0}, {role_none, 0, 0, 0},
                     {role_gradient, all, 3, 0, 1}},
                    {1, D, F, M, 1}, accumulate, tolerance};
    check(&t, M * D * F < 8000);
}

static void shared_forward(kind k, const test *t, void *const *b) {
    copy(k, b[4], b[8], t->buffers[4].count);
    CALL(k, shared_expert, S(0), S(1), IN(0), IN(1), IN(2), WIDE_OUT(3), OUT(4));
}
static void shared_back(kind k, const test *t, void *const *b) {
    CALL(k, shared_expert_backward, S(0), S(1), IN(0), IN(1), IN(2), WIDE_IN(3), IN(5),
         t->flag, OUT(6), WIDE_OUT(7), OUT(9));
}

static void shared_case(size_t M, size_t D, int flag) {
    const test t = {"shared expert", shared_forward, shared_back,
                    {{role_input, M * D, 0, 0}, {role_input, D, 0, 0}, {role_input, M * D, 0, 0},
                     {role_saved, M, 0, 0, 1}, {role_output, M * D, 0, 0},
                     {role_cotangent, M * D, 4, 0},
                     {flag ? role_accumulated : role_gradient, M * D, 0, 0},
                     {role_accumulated, D, 1, 0, 1}, {role_input, M * D, 0, 0},
                     {role_gradient, M * D, 2, 0}},
                    {M, D}, flag, tolerance};
    check(&t, M * D < 2000);
}

static void expert_cases(void) {
    experts_case(2, 4, 4, 0, 2, 0, 0);
    experts_case(1, 5, 7, 3, 1, 1, 1);  // every slot skipped
    experts_case(1, 1, 1, 1, 1, 0, 0);
    experts_case(3, 8, 5, 4, 2, 3, 1);
    experts_case(4, 18, 34, 7, 3, 5, 0);
    experts_case(8, 64, 48, 60, 4, 0, 1);
    experts_case(9, 64, 70, 9, 2, 4, 0);   // some experts have no row
    experts_case(2, 130, 70, 700, 1, 0, 0);  // more rows than a task takes
    experts_case(2, 20, 300, 40, 2, 0, 1);
    mlp_case(0, 4, 4, 0);
    mlp_case(1, 3, 2, 1);
    mlp_case(5, 6, 17, 0);
    mlp_case(600, 40, 72, 1);
    shared_case(0, 8, 0);
    shared_case(1, 1, 1);
    shared_case(5, 17, 0);
    shared_case(700, 130, 1);
}

void moe_cases(void) {
    routing_cases();
    mask_cases();
    expert_cases();
}
