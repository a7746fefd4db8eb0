// The loops of the codecs: what is selected, quantized and added up before and after bytes travel.
//
//   martlet_<name>         the fast one, for the instruction set in use (martlet_isa_current)
//   martlet_<name>_ref     plain loops, the oracle of the fast one
//
// Rules that hold everywhere:
//   * Every operation is a fixed sequence of IEEE operations, so both give the same bits on every
//     machine. Nothing here uses the pool: a caller cuts its work and runs the parts on it.
//   * Any size may be 0. Buffers must not overlap.
//   * A block has 128 numbers, the last one fewer. A block whose largest magnitude is below 2^-100
//     has the scale 0 and stands for zeros: the inverse of a smaller scale would not be finite.
//   * Quantizers take magnitudes below 2^126 only, so that what they stand for is finite.
#pragma once
#include <stddef.h>
#include <stdint.h>

enum {
    martlet_chunk = 4096,  // numbers of which a selection keeps some
    martlet_block = 128,   // numbers that share a scale
};

/// An update [n], and what earlier ones left to be sent: beta * residual + (anchor - local).
/// Without residual (NULL) it is anchor - local, without local beta * residual + anchor.
typedef struct {
    float beta;
    const float *residual, *anchor, *local;
} martlet_feedback_of;

/// What a level stands for: the upper 13 bits of a positive fp32 without its sign, so 4 bits of
/// precision for any magnitude. Below 0xff0, or it would not be finite.
static inline float martlet_level(uint16_t code) {
    const union { uint32_t bits; float value; } level = {(uint32_t)code << 19};
    return level.value;
}

/// Runs task(context, i) once for every i below `count` on the pool's threads; returns when all are
/// done.
void martlet_tasks(size_t count, void (*task)(const void *context, size_t index),
                   const void *context);

#define MARTLET_CODEC(name) martlet_##name
#include "codec_operations.h"
#undef MARTLET_CODEC
#define MARTLET_CODEC(name) martlet_##name##_ref
#include "codec_operations.h"
#undef MARTLET_CODEC
