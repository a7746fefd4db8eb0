// What every instance of the fast kernels includes before its instruction set is switched on:
// library headers must not be compiled for it.
#pragma once
#include "kernels.h"
#include "../pool.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include <math.h>
#include <string.h>

// a * b + c may become one fused operation. The same source line always becomes the same
// operations, so bits stay fixed for one instruction set.
#if defined(__clang__)
#pragma clang fp contract(fast)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
#define INLINE static inline __attribute__((always_inline))
