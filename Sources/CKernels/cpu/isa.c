// Picks the instruction set of the fast kernels once and forwards every call to its instance. The
// choice is made per operation, never inside one: code for one instruction set is not inlined into
// another's.
#include "kernels.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {"portable", "avx2", "avx512", "avx512_bf16"};
enum { isa_count = 4, isa_unknown = -1 };

static _Atomic int current = isa_unknown;

static int is_available(int isa) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    const int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const int avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                       __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                       __builtin_cpu_supports("avx512vl");
    return isa == martlet_isa_portable || (isa == martlet_isa_avx2 && avx2) ||
           (isa == martlet_isa_avx512 && avx512) ||
           (isa == martlet_isa_avx512_bf16 && avx512 && __builtin_cpu_supports("avx512bf16"));
#else
    return isa == martlet_isa_portable;
#endif
}

static int choose(void) {
    const char *wish = getenv("MARTLET_ISA");
    for (int isa = 0; wish && isa < isa_count; isa++)
        if (strcmp(wish, names[isa]) == 0 && is_available(isa)) return isa;
    for (int isa = isa_count - 1; isa > 0; isa--)
        if (is_available(isa)) return isa;
    return martlet_isa_portable;
}

martlet_isa martlet_isa_current(void) {
    int isa = atomic_load_explicit(&current, memory_order_relaxed);
    if (isa == isa_unknown) {
        // Threads that race here choose the same, so whoever stores last changes nothing.
        isa = choose();
        atomic_store_explicit(&current, isa, memory_order_relaxed);
    }
    return (martlet_isa)isa;
}

const char *martlet_isa_name(martlet_isa isa) {
    return (int)isa >= 0 && (int)isa < isa_count ? names[isa] : "unknown";
}

int martlet_isa_select(martlet_isa isa) {
    if (!is_available((int)isa)) return 0;
    atomic_store(&current, (int)isa);
    return 1;
}

// ---- Forwarding -----------------------------------------------------------------------------

#define SUM float
#define MARTLET_SUM SUM
#define MARTLET_REAL REAL

#define REAL float
#define MARTLET_OP(name) martlet_##name##_portable
#include "operations.h"
#undef MARTLET_OP
#if defined(__x86_64__)
#define MARTLET_OP(name) martlet_##name##_avx2
#include "operations.h"
#undef MARTLET_OP
#define MARTLET_OP(name) martlet_##name##_avx512
#include "operations.h"
#undef MARTLET_OP
#define FORWARD(result, name, parameters, arguments)                                  \
    result martlet_##name##_f32 parameters {                                          \
        switch (martlet_isa_current()) {                                              \
        case martlet_isa_avx512_bf16:                                                 \
        case martlet_isa_avx512: return martlet_##name##_avx512 arguments;            \
        case martlet_isa_avx2: return martlet_##name##_avx2 arguments;                \
        default: return martlet_##name##_portable arguments;                          \
        }                                                                             \
    }
#else
#define FORWARD(result, name, parameters, arguments)                                  \
    result martlet_##name##_f32 parameters { return martlet_##name##_portable arguments; }
#endif
#include "forward.h"
#undef FORWARD
#undef REAL

#define REAL martlet_bf16
#define MARTLET_HALF
#define MARTLET_OP(name) martlet_##name##_half_portable
#include "operations.h"
#undef MARTLET_OP
#if defined(__x86_64__)
#define MARTLET_OP(name) martlet_##name##_half_avx2
#include "operations.h"
#undef MARTLET_OP
#define MARTLET_OP(name) martlet_##name##_half_avx512
#include "operations.h"
#undef MARTLET_OP
#define MARTLET_OP(name) martlet_##name##_half_avx512_bf16
#include "operations.h"
#undef MARTLET_OP
#define FORWARD(result, name, parameters, arguments)                                  \
    result martlet_##name##_bf16 parameters {                                         \
        switch (martlet_isa_current()) {                                              \
        case martlet_isa_avx512_bf16: return martlet_##name##_half_avx512_bf16 arguments; \
        case martlet_isa_avx512: return martlet_##name##_half_avx512 arguments;       \
        case martlet_isa_avx2: return martlet_##name##_half_avx2 arguments;           \
        default: return martlet_##name##_half_portable arguments;                     \
        }                                                                             \
    }
#else
#define FORWARD(result, name, parameters, arguments)                                  \
    result martlet_##name##_bf16 parameters { return martlet_##name##_half_portable arguments; }
#endif
#include "forward.h"
