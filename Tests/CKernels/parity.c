// Compares the kernels with their references, without Swift. From the repository's root:
//
//   cc -O2 -Wall -Wextra -Werror -Wno-missing-field-initializers -fno-math-errno
//       -ISources/CKernels/include Sources/CKernels/cpu/*.c Tests/CKernels/*.c
//       -o parity -lm -lpthread && ./parity
//
// Exit status 0 means every check held on every instruction set this machine has. Add
// -fsanitize=address,undefined or -fsanitize=thread to look for what numbers do not show, or
// -DMARTLET_BENCH -O3 to print GFLOP/s instead (argument of ./parity: the number of threads). cc is
// clang, or gcc 12 or later with -Wno-unknown-pragmas.
#include "parity.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t checks, failures;
static double worst_share, worst_half_share, worst_difference;
// Of bf16 against fp64 on the same inputs, relative to the largest value: results and what is kept
// between forward and backward are rounded to 8 bits.
static const double half_tolerance = 2e-2;

void expect(int holds, const char *what, const char *detail) {
    checks++;
    if (holds) return;
    failures++;
    if (failures <= 40) printf("FAILED %s: %s\n", what, detail);
}

static uint64_t random_state;

double random_real(void) {
    uint64_t z = random_state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (double)(float)((double)((z ^ (z >> 31)) >> 11) * 0x1p-52 - 1);
}

float *random_floats(size_t count) {
    float *x = malloc((count + 1) * sizeof *x);
    for (size_t i = 0; i < count; i++) x[i] = (float)random_real();
    return x;
}

// ---- Buffers --------------------------------------------------------------------------------

static int is_real(role r) { return r >= role_input && r <= role_accumulated; }
static int is_random(role r) {
    return r == role_input || r == role_cotangent || r == role_accumulated;
}
// What the elements of a buffer are made of.
typedef enum { made_of_indices, made_of_halves, made_of_floats, made_of_doubles } matter;

static matter matter_of(kind kind, buffer b) {
    if (b.role == role_sum) return made_of_doubles;
    if (!is_real(b.role)) return made_of_indices;
    if (kind == kind_ref_f64) return made_of_doubles;
    return kind == kind_fast_bf16 && !b.is_wide ? made_of_halves : made_of_floats;
}

static size_t element(kind kind, buffer b) {
    static const size_t sizes[] = {sizeof(int32_t), sizeof(martlet_bf16), sizeof(float),
                                   sizeof(double)};
    return sizes[matter_of(kind, b)];
}

static double value(kind kind, buffer about, const void *b, size_t i) {
    switch (matter_of(kind, about)) {
    case made_of_doubles: return ((const double *)b)[i];
    case made_of_floats: return (double)((const float *)b)[i];
    case made_of_halves: {
        const uint32_t bits = (uint32_t)((const martlet_bf16 *)b)[i].bits << 16;
        float x;
        memcpy(&x, &bits, sizeof x);
        return (double)x;
    }
    default: return (double)((const int32_t *)b)[i];
    }
}

martlet_bf16 rounded(double x) {
    const float narrow = (float)x;
    uint32_t bits;
    memcpy(&bits, &narrow, sizeof bits);
    if (isnan(x)) return (martlet_bf16){0x7fc0};
    return (martlet_bf16){(uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16)};
}

martlet_bf16 *random_halves(size_t count) {
    martlet_bf16 *x = malloc((count + 1) * sizeof *x);
    for (size_t i = 0; i < count; i++) x[i] = rounded(random_real());
    return x;
}

// Exactly sized, so that a sanitizer sees the first element beyond.
static void allocate(kind kind, const test *t, void **b) {
    for (int i = 0; i < buffers_max; i++)
        b[i] = t->buffers[i].role ? malloc(t->buffers[i].count * element(kind, t->buffers[i]))
                                  : NULL;
}

static void release(void **b) {
    for (int i = 0; i < buffers_max; i++) free(b[i]);
}

// Random buffers from `source` (fp64), indices as given, everything else NaN or -7.
static void prepare(kind kind, const test *t, void *const *source, void **b) {
    for (int i = 0; i < buffers_max; i++)
        for (size_t j = 0; j < t->buffers[i].count; j++) {
            const role r = t->buffers[i].role;
            const double x = is_random(r) ? ((double *)source[i])[j] : NAN;
            switch (matter_of(kind, t->buffers[i])) {
            case made_of_doubles: ((double *)b[i])[j] = x; break;
            case made_of_floats: ((float *)b[i])[j] = (float)x; break;
            case made_of_halves: ((martlet_bf16 *)b[i])[j] = rounded(x); break;
            default: ((int32_t *)b[i])[j] = r == role_index ? t->buffers[i].data[j] : -7;
            }
        }
}

static void run(kind kind, const test *t, void *const *source, void **b) {
    allocate(kind, t, b);
    prepare(kind, t, source, b);
    t->forward(kind, t, b);
    if (t->backward) t->backward(kind, t, b);
}

// ---- Checks ---------------------------------------------------------------------------------

static void describe(const test *t, int index, char *text, size_t room) {
    size_t used = (size_t)snprintf(text, room, "%s buffer %d, %s, sizes", t->name, index,
                                   martlet_isa_name(martlet_isa_current()));
    for (int i = 0; i < sizes_max && used < room; i++)
        used += (size_t)snprintf(text + used, room - used, " %zu", t->sizes[i]);
}

// Buffers of kind `a` against those of fp64.
static void compare(const test *t, kind a, void *const *b, void *const *oracle) {
    char text[160];
    for (int i = 0; i < buffers_max; i++) {
        const role r = t->buffers[i].role;
        double largest = 0, worst = 0;
        for (size_t j = 0; j < t->buffers[i].count; j++) {
            const double x = value(a, t->buffers[i], b[i], j);
            const double y = value(kind_ref_f64, t->buffers[i], oracle[i], j);
            largest = fmax(largest, fabs(y));
            worst = x == y ? worst : !(fabs(x - y) <= worst) ? fabs(x - y) : worst;
            if (isnan(x) || isnan(y)) worst = INFINITY;
        }
        const double error = worst == 0 ? 0 : worst / (largest + 1e-3);
        describe(t, i, text, sizeof text);
        const int is_exact = r == role_chosen || r == role_index;
        const double allowed = is_exact ? 0 : a == kind_fast_bf16 ? half_tolerance : t->tolerance;
        if (error > allowed) printf("error %.2e kind %d\n", error, (int)a);
        expect(error <= allowed, "against fp64", text);
        if (a == kind_fast) worst_share = fmax(worst_share, error / t->tolerance);
        if (a == kind_fast_bf16) worst_half_share = fmax(worst_half_share, error / half_tolerance);
    }
}

static void compare_bits(kind kind, const test *t, int threads, void *const *b,
                         void *const *one) {
    char text[160];
    for (int i = 0; i < buffers_max; i++) {
        const size_t bytes = t->buffers[i].count * element(kind, t->buffers[i]);
        describe(t, i, text, sizeof text);
        if (bytes && memcmp(b[i], one[i], bytes) != 0) printf("%d threads: ", threads);
        expect(bytes == 0 || memcmp(b[i], one[i], bytes) == 0, "bits of threads", text);
    }
}

static double loss(const test *t, void *const *b) {
    double sum = 0;
    for (int i = 0; i < buffers_max; i++) {
        if (t->buffers[i].role != role_cotangent) continue;
        const double *c = b[i], *y = b[t->buffers[i].of];
        for (size_t j = 0; j < t->buffers[i].count; j++) sum += c[j] * y[j];
    }
    return sum;
}

// Backward's gradients against central differences of the loss, in fp64, at up to 40 elements of
// every input.
static void check_differences(const test *t, void *const *source, void *const *oracle) {
    const double step = 1e-5;
    char text[160];
    void *b[buffers_max];
    allocate(kind_ref_f64, t, b);
    for (int i = 0; i < buffers_max; i++) {
        const buffer g = t->buffers[i];
        if (g.role != role_gradient && g.role != role_accumulated) continue;
        double largest = 1e-2, worst = 0;
        for (size_t j = 0; j < g.count; j++)
            largest = fmax(largest, fabs(((double *)oracle[i])[j]));
        for (size_t n = 0, stride = g.count / 40 + 1; n < g.count; n += stride) {
            double at[2];
            for (int side = 0; side < 2; side++) {
                prepare(kind_ref_f64, t, source, b);
                ((double *)b[g.of])[n] += side ? step : -step;
                t->forward(kind_ref_f64, t, b);
                at[side] = loss(t, b);
            }
            const double before = g.role == role_accumulated ? ((double *)source[i])[n] : 0;
            const double found = ((double *)oracle[i])[n] - before;
            worst = fmax(worst, fabs(found - (at[1] - at[0]) / (2 * step)) / largest);
        }
        describe(t, i, text, sizeof text);
        if (!(worst < 1e-6)) printf("difference %.2e\n", worst);
        expect(worst < 1e-6, "backward against differences", text);
        worst_difference = fmax(worst_difference, worst);
    }
    release(b);
}

// A fast kind against fp64, and all numbers of threads against one.
static void check_threads(kind kind, const test *t, void *const *source, void *const *oracle) {
    static const int threads[] = {2, 3, 7};
    void *one[buffers_max], *b[buffers_max];
    martlet_threads_set(1);
    run(kind, t, source, one);
    compare(t, kind, one, oracle);
    for (size_t i = 0; i < sizeof threads / sizeof *threads; i++) {
        martlet_threads_set(threads[i]);
        run(kind, t, source, b);
        compare_bits(kind, t, threads[i], b, one);
        release(b);
    }
    release(one);
}

void check(const test *t, int differences) {
    void *source[buffers_max], *oracle[buffers_max], *b[buffers_max];
    // Whatever tests there are before this one, its numbers are the same.
    random_state = 0;
    allocate(kind_ref_f64, t, source);
    for (int i = 0; i < buffers_max; i++)
        for (size_t j = 0; is_random(t->buffers[i].role) && j < t->buffers[i].count; j++)
            ((double *)source[i])[j] = random_real();
    run(kind_ref_f64, t, source, oracle);
    run(kind_ref_f32, t, source, b);
    compare(t, kind_ref_f32, b, oracle);
    release(b);
    check_threads(kind_fast, t, source, oracle);
    if (differences && t->backward) check_differences(t, source, oracle);
    release(oracle);
    // The inputs of bf16, exactly, for fp64.
    for (int i = 0; i < buffers_max; i++)
        for (size_t j = 0; !t->buffers[i].is_wide && is_random(t->buffers[i].role) &&
                           j < t->buffers[i].count;
             j++) {
            const martlet_bf16 half = rounded(((double *)source[i])[j]);
            const buffer plain = {.role = role_input};
            ((double *)source[i])[j] = value(kind_fast_bf16, plain, &half, 0);
        }
    if (!t->is_wide_alone) {
        run(kind_ref_f64, t, source, oracle);
        check_threads(kind_fast_bf16, t, source, oracle);
        release(oracle);
    }
    release(source);
}

#ifdef MARTLET_BENCH
int main(int count, char **arguments) {
    martlet_threads_set(count > 1 ? atoi(arguments[1]) : 1);
    printf("%s, %d threads\n", martlet_isa_name(martlet_isa_current()), martlet_threads());
    all_benchmarks();
    martlet_threads_stop();
    return 0;
}
#else
int main(void) {
    for (int isa = martlet_isa_avx512_bf16; isa >= martlet_isa_portable; isa--) {
        if (!martlet_isa_select((martlet_isa)isa)) continue;
        all_cases();
        all_properties();
        all_scalars();
        all_codecs();
        printf("%s: %zu checks, %zu failed; fp32 uses %.0f %% of its tolerance, bf16 %.0f %%, fp64 "
               "gradients differ by %.1e at most\n",
               martlet_isa_name((martlet_isa)isa), checks, failures, 100 * worst_share,
               100 * worst_half_share, worst_difference);
    }
    martlet_threads_stop();
    return failures == 0 ? 0 : 1;
}
#endif
