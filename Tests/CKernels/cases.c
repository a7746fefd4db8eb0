// The dense operations on many shapes: none, one, odd, just beside a vector, a panel, a strip or a
// tile.
#include "cases.h"

#include <math.h>

// ---- Linear and embedding -------------------------------------------------------------------

static void linear_forward(kind k, const test *t, void *const *b) {
    CALL(k, linear, S(0), S(1), S(2), IN(0), IN(1), t->flag ? IN(2) : NULL, OUT(3));
}
static void linear_back(kind k, const test *t, void *const *b) {
    CALL(k, linear_backward, S(0), S(1), S(2), IN(0), IN(1), IN(4), t->flag, OUT(5),
         WIDE_OUT(6), t->flag ? WIDE_OUT(7) : NULL);
}

static void linear_case(size_t M, size_t I, size_t O, int flag) {
    const test t = {"linear", linear_forward, linear_back,
                    {{role_input, M * I, 0, 0}, {role_input, O * I, 0, 0},
                     {role_input, O, 0, 0}, {role_output, M * O, 0, 0},
                     {role_cotangent, M * O, 3, 0},
                     {flag ? role_accumulated : role_gradient, M * I, 0, 0},
                     {role_accumulated, O * I, 1, 0, 1},
                     {flag ? role_accumulated : role_none, flag ? O : 0, 2, 0, 1}},
                    {M, I, O}, flag, tolerance};
    check(&t, M * I * O < 20000);
}

static void embedding_forward(kind k, const test *t, void *const *b) {
    CALL(k, embedding, S(0), S(1), S(2), b[0], IN(1), OUT(2));
}
static void embedding_back(kind k, const test *t, void *const *b) {
    CALL(k, embedding_backward, S(0), S(1), S(2), b[0], IN(3), WIDE_OUT(4));
}

static void embedding_case(size_t M, size_t V, size_t D) {
    int32_t *tokens = random_indices(M, V, 0);
    const test t = {"embedding", embedding_forward, embedding_back,
                    {{role_index, M, 0, tokens}, {role_input, V * D, 0, 0},
                     {role_output, M * D, 0, 0}, {role_cotangent, M * D, 2, 0},
                     {role_accumulated, V * D, 1, 0, 1}},
                    {M, V, D}, 0, tolerance};
    check(&t, 1);
    free(tokens);
}

static void linear_cases(void) {
    static const size_t rows[] = {0, 1, 2, 5, 17, 200}, inner[] = {0, 1, 7, 16, 33, 64};
    static const size_t outer[] = {0, 1, 15, 16, 31, 65, 130};
    for (size_t m = 0; m < COUNT(rows); m++)
        for (size_t i = 0; i < COUNT(inner); i++)
            for (size_t o = 0; o < COUNT(outer); o++)
                linear_case(rows[m], inner[i], outer[o], (int)((m + i + o) % 2));
    linear_case(7, 1100, 70, 1);    // more than one block of depth
    linear_case(1030, 24, 130, 0);  // the same for dw, and several tiles of rows
    embedding_case(0, 5, 8);
    embedding_case(1, 1, 1);
    embedding_case(50, 7, 65);
    embedding_case(3000, 11, 130);
}

// ---- Norm and rope --------------------------------------------------------------------------

static void norm_forward(kind k, const test *t, void *const *b) {
    CALL(k, rmsnorm, S(0), S(1), 1e-6, IN(0), IN(1), OUT(2), WIDE_OUT(3));
}
static void norm_back(kind k, const test *t, void *const *b) {
    CALL(k, rmsnorm_backward, S(0), S(1), IN(0), IN(1), WIDE_IN(3), IN(4), t->flag, OUT(5),
         WIDE_OUT(6));
}

static void norm_case(size_t M, size_t D, int flag) {
    const test t = {"rmsnorm", norm_forward, norm_back,
                    {{role_input, M * D, 0, 0}, {role_input, D, 0, 0},
                     {role_output, M * D, 0, 0}, {role_saved, M, 0, 0, 1},
                     {role_cotangent, M * D, 2, 0},
                     {flag ? role_accumulated : role_gradient, M * D, 0, 0},
                     {role_accumulated, D, 1, 0, 1}},
                    {M, D}, flag, D > 1 ? tolerance : 1e-2, D == 1};
    // One element is its own norm: its gradient is the rounding of a difference of equals.
    check(&t, M * D < 5000 && D > 1);
}

// Sizes: B, T, H, R, channels of a head, channels in front of those that turn.
static martlet_rope_shape rope_shape(const test *t) {
    return (martlet_rope_shape){S(0), S(1), S(2), S(3), S(4), t->flag};
}
static void rope_forward(kind k, const test *t, void *const *b) {
    copy(k, b[3], b[0], t->buffers[0].count);
    CALL(k, rope, rope_shape(t), WIDE_IN(1), WIDE_IN(2), OUT(3) + S(5));
}
static void rope_back(kind k, const test *t, void *const *b) {
    copy(k, b[5], b[4], t->buffers[0].count);
    CALL(k, rope_backward, rope_shape(t), WIDE_IN(1), WIDE_IN(2), OUT(5) + S(5));
}

static void rope_case(size_t B, size_t T, size_t H, size_t R, size_t front, int interleaved) {
    const size_t C = front + R + front / 2, n = B * T * H * C, angles = T * R / 2;
    const test t = {"rope", rope_forward, rope_back,
                    {{role_input, n, 0, 0}, {role_input, angles, 0, 0, 1},
                     {role_input, angles, 0, 0, 1}, {role_output, n, 0, 0},
                     {role_cotangent, n, 3, 0}, {role_gradient, n, 0, 0}},
                    {B, T, H, R, C, front}, interleaved, tolerance};
    check(&t, n < 5000);
}

static void norm_cases(void) {
    static const size_t rows[] = {0, 1, 5, 17, 300}, widths[] = {1, 2, 15, 16, 33, 128};
    for (size_t m = 0; m < COUNT(rows); m++)
        for (size_t d = 0; d < COUNT(widths); d++)
            norm_case(rows[m], widths[d], (int)((m + d) % 2));
    norm_case(5000, 130, 1);
    for (int interleaved = 0; interleaved < 2; interleaved++) {
        rope_case(0, 3, 1, 2, 0, interleaved);
        rope_case(1, 1, 1, 2, 0, interleaved);
        rope_case(2, 3, 5, 6, 3, interleaved);
        rope_case(1, 7, 2, 34, 0, interleaved);
        rope_case(3, 100, 4, 64, 32, interleaved);
    }
}

// ---- Attention ------------------------------------------------------------------------------

static martlet_attention_shape attention_shape(const test *t) {
    return (martlet_attention_shape){S(0), S(1), S(2), S(3), S(4), S(5), 1 / sqrt((double)S(4))};
}
static void attention_forward(kind k, const test *t, void *const *b) {
    CALL(k, attention, attention_shape(t), IN(0), IN(1), IN(2), OUT(3), WIDE_OUT(4));
}
static void attention_back(kind k, const test *t, void *const *b) {
    CALL(k, attention_backward, attention_shape(t), IN(0), IN(1), IN(2), IN(3), WIDE_IN(4),
         IN(5), OUT(6), OUT(7), OUT(8));
}

static void attention_case(size_t B, size_t T, size_t H, size_t G, size_t C, size_t W) {
    const size_t n = B * T * H * C, out = B * T * H * W, m = B * T * G * C, v = B * T * G * W;
    const test t = {"attention", attention_forward, attention_back,
                    {{role_input, n, 0, 0}, {role_input, m, 0, 0}, {role_input, v, 0, 0},
                     {role_output, out, 0, 0}, {role_saved, B * H * T, 0, 0, 1},
                     {role_cotangent, out, 3, 0}, {role_gradient, n, 0, 0},
                     {role_gradient, m, 1, 0}, {role_gradient, v, 2, 0}},
                    {B, T, H, G, C, W}, 0, tolerance};
    check(&t, n * T < 8000);
}

static void latent_forward(kind k, const test *t, void *const *b) {
    CALL(k, latent_heads, S(0), S(1), S(2), S(3), S(4), IN(0), IN(1), OUT(2), OUT(3));
}
static void latent_back(kind k, const test *t, void *const *b) {
    CALL(k, latent_heads_backward, S(0), S(1), S(2), S(3), S(4), IN(4), IN(5), OUT(6), OUT(7));
}

static void latent_case(size_t M, size_t H, size_t N, size_t R, size_t W) {
    const size_t kv = M * H * (N + W), k = M * H * (N + R), v = M * H * W;
    const test t = {"latent heads", latent_forward, latent_back,
                    {{role_input, kv, 0, 0}, {role_input, M * R, 0, 0}, {role_output, k, 0, 0},
                     {role_output, v, 0, 0}, {role_cotangent, k, 2, 0},
                     {role_cotangent, v, 3, 0}, {role_gradient, kv, 0, 0},
                     {role_gradient, M * R, 1, 0}},
                    {M, H, N, R, W}, 0, tolerance};
    check(&t, M * H < 100);
}

static void attention_cases(void) {
    attention_case(0, 5, 2, 1, 4, 4);
    attention_case(1, 0, 2, 1, 4, 4);
    attention_case(1, 1, 1, 1, 1, 1);
    attention_case(2, 5, 4, 2, 6, 6);
    attention_case(2, 5, 4, 2, 6, 3);
    attention_case(1, 17, 6, 2, 16, 16);
    attention_case(1, 17, 6, 2, 16, 40);
    attention_case(2, 63, 2, 2, 32, 32);
    attention_case(1, 65, 4, 1, 33, 33);
    attention_case(1, 65, 4, 4, 48, 17);
    attention_case(3, 130, 4, 2, 16, 16);
    attention_case(3, 130, 4, 2, 24, 16);
    attention_case(1, 200, 70, 1, 8, 8);  // a group wider than a tile
    latent_case(0, 2, 4, 2, 3);
    latent_case(1, 1, 1, 2, 1);
    latent_case(7, 3, 5, 4, 6);
    latent_case(300, 4, 16, 16, 20);
}

// ---- Sums, head and packed weights ----------------------------------------------------------

static void add_forward(kind k, const test *t, void *const *b) {
    CALL(k, add, S(0), IN(0), IN(1), OUT(2));
}

// y = x w^T by the wide product and by a packed weight: both are outputs.
static void wide_forward(kind k, const test *t, void *const *b) {
    CALL(k, linear_wide, S(0), S(1), S(2), IN(0), IN(1), WIDE_OUT(2));
    void *packed = malloc(S(1) * S(2) * sizeof(double) + 64);
    memset(packed, 0, S(1) * S(2) * sizeof(double) + 64);
    CALL(k, pack, S(1), S(2), IN(1), (R *)packed);
    CALL(k, linear_packed, S(0), S(1), S(2), IN(0), (const R *)packed, IN(3), OUT(4));
    free(packed);
}
static void wide_back(kind k, const test *t, void *const *b) {
    CALL(k, linear_wide_backward, S(0), S(1), S(2), IN(0), IN(1), WIDE_IN(5), t->flag, OUT(6),
         WIDE_OUT(7));
}

static void wide_case(size_t M, size_t I, size_t O, int flag) {
    const test t = {"wide and packed linear", wide_forward, wide_back,
                    {{role_input, M * I, 0, 0}, {role_input, O * I, 0, 0},
                     {role_output, M * O, 0, 0, 1}, {role_input, O, 0, 0},
                     {role_output, M * O, 0, 0}, {role_cotangent, M * O, 2, 0, 1},
                     {flag ? role_accumulated : role_gradient, M * I, 0, 0},
                     {role_accumulated, O * I, 1, 0, 1}},
                    {M, I, O}, flag, tolerance};
    check(&t, M * I * O < 20000);
}

static martlet_loss head_loss(kind k, const test *t, void *const *b, double factor, void *dx,
                              void *dw) {
    const size_t M = S(0), D = S(1), V = S(2);
    if (k == kind_fast) return martlet_head_loss_f32(M, D, V, b[1], b[2], b[0], factor, dx, dw);
    if (k == kind_fast_bf16)
        return martlet_head_loss_bf16(M, D, V, b[1], b[2], b[0], factor, dx, dw);
    if (k == kind_ref_f32)
        return martlet_head_loss_ref_f32(M, D, V, b[1], b[2], b[0], factor, dx, dw);
    return martlet_head_loss_ref_f64(M, D, V, b[1], b[2], b[0], factor, dx, dw);
}
static void head_forward(kind k, const test *t, void *const *b) {
    const martlet_loss loss = head_loss(k, t, b, 1, NULL, NULL);
    expect(loss.count == martlet_count_targets(S(0), b[0]), "count of targets", t->name);
    if (k == kind_ref_f64) *(double *)b[3] = loss.sum;
    else *(float *)b[3] = (float)loss.sum;
}
static void head_back(kind k, const test *t, void *const *b) {
    const double factor = k == kind_ref_f64 ? *(double *)b[4] : (double)*(float *)b[4];
    const martlet_loss loss = head_loss(k, t, b, factor, b[5], b[6]);
    const double first = k == kind_ref_f64 ? *(double *)b[3] : (double)*(float *)b[3];
    expect(fabs(loss.sum - first) <= 1e-6 * fabs(first), "loss beside its gradient", t->name);
}

static void head_case(size_t M, size_t D, size_t V, size_t blank) {
    int32_t *targets = random_indices(M, V, blank);
    const test t = {"head", head_forward, head_back,
                    {{role_index, M, 0, targets}, {role_input, M * D, 0, 0},
                     {role_input, V * D, 0, 0}, {role_output, 1, 0, 0, 1},
                     {role_cotangent, 1, 3, 0, 1}, {role_gradient, M * D, 1, 0},
                     {role_accumulated, V * D, 2, 0, 1}},
                    {M, D, V}, 0, tolerance};
    check(&t, M * D * V < 20000);
    free(targets);
}

void all_cases(void) {
    linear_cases();
    norm_cases();
    attention_cases();
    moe_cases();
    static const size_t lengths[] = {0, 1, 17, 300000};
    for (size_t i = 0; i < COUNT(lengths); i++) {
        const size_t n = lengths[i];
        const test t = {"add", add_forward, NULL,
                        {{role_input, n, 0, 0}, {role_input, n, 0, 0}, {role_output, n, 0, 0}},
                        {n}, 0, tolerance};
        check(&t, 0);
    }
    wide_case(0, 4, 5, 0);
    wide_case(1, 2, 1, 1);
    wide_case(4, 34, 70, 0);
    wide_case(150, 64, 200, 1);
    wide_case(3, 1200, 75, 0);
    head_case(0, 4, 5, 0);
    head_case(1, 1, 1, 0);
    head_case(5, 6, 17, 2);
    head_case(3, 8, 320, 1);  // every target ignored
    head_case(1100, 20, 33, 5);  // more than one chunk
    head_case(4, 16, 5000, 0);
}
