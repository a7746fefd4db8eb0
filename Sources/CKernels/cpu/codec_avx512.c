// The codecs' loops in AVX-512, 16 lanes.
#if defined(__x86_64__)
#include "codec/prelude.h"

#define LANES 16
#define MARTLET_CODEC(name) martlet_##name##_avx512
#define PRIVATE(name) name##_avx512
#include "codec_operations.h"

#if defined(__clang__)
#pragma clang attribute push(                                                      \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,popcnt"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,popcnt")
#endif
#include "codec/instance.h"
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif
