// One test of an operation: its buffers with their roles, and how to run it forward and backward.
#pragma once
#include "kernels.h"

typedef enum { kind_fast, kind_fast_bf16, kind_ref_f32, kind_ref_f64 } kind;

enum { buffers_max = 16, sizes_max = 8 };

// What a buffer is to the test. Real buffers are fp32 for two kinds, fp64 for the reference, and
// bf16, unless they are wide, for the fourth.
typedef enum {
    role_none,
    role_input,       // real, random
    role_output,      // real, written by forward
    role_saved,       // real, written by forward, perhaps changed by backward
    role_cotangent,   // real, random: gradient of the loss with respect to buffer `of`
    role_gradient,    // real, written by backward: gradient with respect to buffer `of`
    role_accumulated, // the same, added by backward to random numbers
    role_index,       // int32, given in `data`
    role_chosen,      // int32, written by forward, must be the same for all kinds
    role_sum,         // double, written by forward
} role;

typedef struct {
    role role;
    size_t count;
    int of;
    const int32_t *data;
    int is_wide;  // fp32 where others are bf16: MARTLET_SUM
} buffer;

typedef struct test test;
typedef void (*runner)(kind kind, const test *test, void *const *b);
struct test {
    const char *name;
    runner forward, backward;  // backward may be NULL
    buffer buffers[buffers_max];
    size_t sizes[sizes_max];
    int flag;
    double tolerance;   // of fp32 against fp64, relative to the buffer's largest value
    int is_wide_alone;  // the operation has no bf16 form, or none that could be compared
};

// Runs one test on the current instruction set: fp32 and bf16 kinds against fp64, all numbers of
// threads against one, and, if `differences`, fp64 backward against central differences.
void check(const test *test, int differences);
// Counts and reports a failure unless `holds`.
void expect(int holds, const char *what, const char *detail);
// Uniform in -1 ... 1, from one fixed seed.
double random_real(void);
// Random fp32 numbers; the caller frees them.
float *random_floats(size_t count);
// x rounded to bf16, to nearest, ties to even.
martlet_bf16 rounded(double x);
// Random bf16 numbers; the caller frees them.
martlet_bf16 *random_halves(size_t count);

void all_cases(void);       // cases.c
void all_properties(void);  // properties.c
void all_scalars(void);     // scalars.c
void all_codecs(void);      // codec.c
void all_benchmarks(void);  // bench.c

#define UNUSED_TYPE(type, name) typedef type name __attribute__((unused))

// Calls martlet_<name> of a kind; R is its real type within the arguments, W the type of what is
// wide.
#define CALL(kind, name, ...)                                                            \
    do {                                                                                 \
        CALL_WIDE(kind, name, __VA_ARGS__);                                              \
        if ((kind) == kind_fast_bf16) {                                                  \
            UNUSED_TYPE(martlet_bf16, R);                                                \
            UNUSED_TYPE(float, W);                                                       \
            martlet_##name##_bf16(__VA_ARGS__);                                          \
        }                                                                                \
    } while (0)
// The same without bf16.
#define CALL_WIDE(kind, name, ...)                                                       \
    do {                                                                                 \
        if ((kind) == kind_fast) {                                                       \
            UNUSED_TYPE(float, R);                                                       \
            UNUSED_TYPE(float, W);                                                       \
            martlet_##name##_f32(__VA_ARGS__);                                           \
        }                                                                                \
        if ((kind) == kind_ref_f32) {                                                    \
            UNUSED_TYPE(float, R);                                                       \
            UNUSED_TYPE(float, W);                                                       \
            martlet_##name##_ref_f32(__VA_ARGS__);                                       \
        }                                                                                \
        if ((kind) == kind_ref_f64) {                                                    \
            UNUSED_TYPE(double, R);                                                      \
            UNUSED_TYPE(double, W);                                                      \
            martlet_##name##_ref_f64(__VA_ARGS__);                                       \
        }                                                                                \
    } while (0)
