// What every instance of the codecs' loops includes before its instruction set is switched on.
#pragma once
#include "codec.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include <string.h>

// A product and a sum stay two operations: bits are the same on every machine.
#if defined(__clang__)
#pragma clang fp contract(off)
#else
#pragma GCC optimize("fp-contract=off")
#endif
#define INLINE static inline __attribute__((always_inline))
