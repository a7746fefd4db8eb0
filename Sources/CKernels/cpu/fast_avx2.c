// The fast fp32 kernels in AVX2 and FMA, 8 lanes.
#if defined(__x86_64__)
#include "fast/prelude.h"

#define LANES 8
// Vectors across in one panel; with 6 rows and a broadcast they fill the register file.
#define PANEL_VECTORS 2
#define PAIRED 0
#define MARTLET_OP(name) martlet_##name##_avx2

#if defined(__clang__)
#pragma clang attribute push(                                                      \
    __attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
#include "fast/instance.h"
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif
