// The codecs' loops in AVX2, 8 lanes.
#if defined(__x86_64__)
#include "codec/prelude.h"

#define LANES 8
#define MARTLET_CODEC(name) martlet_##name##_avx2
#define PRIVATE(name) name##_avx2
#include "codec_operations.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,popcnt"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,popcnt")
#endif
#include "codec/instance.h"
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif
