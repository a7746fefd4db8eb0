// Forwards the codecs' loops to the instance for the instruction set in use.
#include "codec.h"

#include "kernels.h"
#include "pool.h"

#define MARTLET_CODEC(name) martlet_##name##_portable
#include "codec_operations.h"
#undef MARTLET_CODEC
#if defined(__x86_64__)
#define MARTLET_CODEC(name) martlet_##name##_avx2
#include "codec_operations.h"
#undef MARTLET_CODEC
#define MARTLET_CODEC(name) martlet_##name##_avx512
#include "codec_operations.h"
#undef MARTLET_CODEC
#define FORWARD(result, name, parameters, arguments)                                     \
    result martlet_##name parameters {                                                   \
        switch (martlet_isa_current()) {                                                 \
        case martlet_isa_avx512_bf16:                                                    \
        case martlet_isa_avx512: return martlet_##name##_avx512 arguments;               \
        case martlet_isa_avx2: return martlet_##name##_avx2 arguments;                   \
        default: return martlet_##name##_portable arguments;                             \
        }                                                                                \
    }
#else
#define FORWARD(result, name, parameters, arguments)                                     \
    result martlet_##name parameters { return martlet_##name##_portable arguments; }
#endif

FORWARD(void, feedback, (size_t n, martlet_feedback_of of, float *x), (n, of, x))
FORWARD(uint32_t, largest, (size_t n, const float *x), (n, x))
FORWARD(int, topk,
        (size_t n, size_t kept, martlet_feedback_of of, float *next, uint16_t *positions,
         uint8_t *codes, uint16_t *levels),
        (n, kept, of, next, positions, codes, levels))
FORWARD(void, int8_from_float, (size_t n, const float *x, uint16_t *scales, int8_t *codes),
        (n, x, scales, codes))
FORWARD(void, float_from_int8, (size_t n, const uint16_t *scales, const int8_t *codes, float *x),
        (n, scales, codes, x))
FORWARD(void, int4_from_float, (size_t n, const float *x, uint16_t *scales, uint8_t *codes),
        (n, x, scales, codes))
FORWARD(void, float_from_int4, (size_t n, const uint16_t *scales, const uint8_t *codes, float *x),
        (n, scales, codes, x))
FORWARD(void, fp4_from_float, (size_t n, const float *x, uint8_t *scales, uint8_t *codes),
        (n, x, scales, codes))
FORWARD(void, float_from_fp4, (size_t n, const uint8_t *scales, const uint8_t *codes, float *x),
        (n, scales, codes, x))
FORWARD(void, planes_from_float, (size_t n, const float *x, uint8_t *upper, uint8_t *lower),
        (n, x, upper, lower))
FORWARD(void, float_from_planes, (size_t n, const uint8_t *upper, const uint8_t *lower, float *x),
        (n, upper, lower, x))
FORWARD(void, weigh, (size_t n, double weight, const float *x, double *sum), (n, weight, x, sum))

void martlet_tasks(size_t count, void (*task)(const void *context, size_t index),
                   const void *context) {
    // Each is worth a thread of its own.
    const double cost = 1e9;
    martlet_parallel(count, cost, task, context);
}
