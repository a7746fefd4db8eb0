// What the files of cases share.
#pragma once
#include "parity.h"

#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define IN(i) ((const R *)b[i])
#define OUT(i) ((R *)b[i])
#define WIDE_IN(i) ((const W *)b[i])
#define WIDE_OUT(i) ((W *)b[i])
#define S(i) (t->sizes[i])

// Of fp32 against fp64, relative to the largest value; the worst case here uses a fifth of it.
static const double tolerance = 1e-5;

// Copies a real buffer, for operations in place.
static inline void copy(kind kind, void *to, const void *from, size_t count) {
    static const size_t sizes[] = {sizeof(float), sizeof(martlet_bf16), sizeof(float),
                                   sizeof(double)};
    if (count) memcpy(to, from, count * sizes[kind]);
}

// Random indices 0 ..< n, each `blank`-th one -1 (0: none); the caller frees them.
static inline int32_t *random_indices(size_t count, size_t n, size_t blank) {
    int32_t *x = malloc((count + 1) * sizeof *x);
    for (size_t i = 0; i < count; i++) {
        x[i] = (int32_t)((random_real() + 1) / 2 * (double)n);
        if ((size_t)x[i] >= n) x[i] = 0;
        if (blank && i % blank == blank - 1) x[i] = -1;
    }
    return x;
}

void moe_cases(void);  // cases_moe.c
