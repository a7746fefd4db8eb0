// The fast bf16 kernels in AVX-512 with its dot product of bf16 pairs, 16 lanes.
#if defined(__x86_64__)
#include "fast/prelude.h"

#define LANES 16
// Vectors across in one panel; with 6 rows and a broadcast they fill the register file.
#define PANEL_VECTORS 4
#define PAIRED 1
#define MARTLET_HALF
#define MARTLET_OP(name) martlet_##name##_half_avx512_bf16

#if defined(__clang__)
#pragma clang attribute push(                                                      \
    __attribute__((target("avx512bf16,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))),   \
    apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512bf16,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
#endif
#include "fast/instance.h"
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif
