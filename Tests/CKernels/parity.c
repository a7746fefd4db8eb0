// Compares the kernels with their references, without Swift. From the repository's root:
//
//   cc -O2 -Wall -Wextra -Werror -fno-math-errno -ISources/CKernels/include
//       Sources/CKernels/cpu/*.c Tests/CKernels/*.c -o parity -lm -lpthread && ./parity
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
static double worst_share, worst_difference;

void expect(int holds, const char *what, const char *detail) {
    checks++;
    if (holds) return;
    failures++;
    if (failures <= 40) printf("FAILED %s: %s\n", what, detail);
}

double random_real(void) {
    static uint64_t state = 0x9e3779b97f4a7c15u;
    uint64_t z = state += 0x9e3779b97f4a7c15u;
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
static size_t element(kind kind, role r) {
    if (!is_real(r)) return r == role_sum ? sizeof(double) : sizeof(int32_t);
    return kind == kind_ref_f64 ? sizeof(double) : sizeof(float);
}

static double value(kind kind, role r, const void *b, size_t i) {
    if (r == role_sum || (is_real(r) && kind == kind_ref_f64)) return ((const double *)b)[i];
    return is_real(r) ? (double)((const float *)b)[i] : (double)((const int32_t *)b)[i];
}

// Exactly sized, so that a sanitizer sees the first element beyond.
static void allocate(kind kind, const test *t, void **b) {
    for (int i = 0; i < buffers_max; i++)
        b[i] = t->buffers[i].role ? malloc(t->buffers[i].count * element(kind, t->buffers[i].role))
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
            if (r == role_sum || (is_real(r) && kind == kind_ref_f64)) ((double *)b[i])[j] = x;
            else if (is_real(r)) ((float *)b[i])[j] = (float)x;
            else ((int32_t *)b[i])[j] = r == role_index ? t->buffers[i].data[j] : -7;
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
            const double x = value(a, r, b[i], j), y = value(kind_ref_f64, r, oracle[i], j);
            largest = fmax(largest, fabs(y));
            worst = x == y ? worst : !(fabs(x - y) <= worst) ? fabs(x - y) : worst;
            if (isnan(x) || isnan(y)) worst = INFINITY;
        }
        const double error = worst == 0 ? 0 : worst / (largest + 1e-3);
        describe(t, i, text, sizeof text);
        const int is_exact = r == role_chosen || r == role_index;
        if (error > (is_exact ? 0 : t->tolerance)) printf("error %.2e kind %d\n", error, (int)a);
        expect(error <= (is_exact ? 0 : t->tolerance), "fp32 against fp64", text);
        if (a == kind_fast) worst_share = fmax(worst_share, error / t->tolerance);
    }
}

static void compare_bits(const test *t, int threads, void *const *b, void *const *one) {
    char text[160];
    for (int i = 0; i < buffers_max; i++) {
        const size_t bytes = t->buffers[i].count * element(kind_fast, t->buffers[i].role);
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

void check(const test *t, int differences) {
    static const int threads[] = {2, 3, 7};
    void *source[buffers_max], *oracle[buffers_max], *one[buffers_max], *b[buffers_max];
    allocate(kind_ref_f64, t, source);
    for (int i = 0; i < buffers_max; i++)
        for (size_t j = 0; is_random(t->buffers[i].role) && j < t->buffers[i].count; j++)
            ((double *)source[i])[j] = random_real();
    run(kind_ref_f64, t, source, oracle);
    run(kind_ref_f32, t, source, b);
    compare(t, kind_ref_f32, b, oracle);
    release(b);
    martlet_threads_set(1);
    run(kind_fast, t, source, one);
    compare(t, kind_fast, one, oracle);
    for (size_t i = 0; i < sizeof threads / sizeof *threads; i++) {
        martlet_threads_set(threads[i]);
        run(kind_fast, t, source, b);
        compare_bits(t, threads[i], b, one);
        release(b);
    }
    if (differences && t->backward) check_differences(t, source, oracle);
    release(one);
    release(oracle);
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
    for (int isa = martlet_isa_avx512; isa >= martlet_isa_portable; isa--) {
        if (!martlet_isa_select((martlet_isa)isa)) continue;
        all_cases();
        all_properties();
        printf("%s: %zu checks, %zu failed; fp32 uses %.0f %% of its tolerance, fp64 gradients "
               "differ by %.1e at most\n",
               martlet_isa_name((martlet_isa)isa), checks, failures, 100 * worst_share,
               worst_difference);
    }
    martlet_threads_stop();
    return failures == 0 ? 0 : 1;
}
#endif
