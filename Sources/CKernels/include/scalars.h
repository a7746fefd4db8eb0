// Conversions between fp32 and the two 16-bit formats that weights are published in, and reading
// them out of mapped files.
#pragma once
#include <stddef.h>
#include <stdint.h>

/// y[i] = x[i], exactly; NaN stays NaN. bf16 is the upper half of an fp32, fp16 is IEEE binary16.
/// x are the bytes of n numbers, anywhere: files do not align them.
void martlet_float_from_bf16(size_t n, const void *x, float *y);
void martlet_float_from_f16(size_t n, const void *x, float *y);

/// y[i] = x[i] rounded to nearest, ties to even; what is beyond the format's range becomes
/// infinite, NaN stays NaN.
void martlet_bf16_from_float(size_t n, const float *x, uint16_t *y);
void martlet_f16_from_float(size_t n, const float *x, uint16_t *y);

/// As the two without `mapped`, from a mapping of a file. Returns 0 if the file no longer has all
/// of those bytes, or its disk can't give them: then y holds anything. Elsewhere touching such a
/// page ends the process with SIGBUS, whose handler these install at their first call; it hands
/// every other bus error on.
int martlet_float_from_mapped_bf16(size_t n, const void *x, float *y);
int martlet_float_from_mapped_f16(size_t n, const void *x, float *y);

/// The plain loops that the two fp16 conversions must equal, bit for bit.
void martlet_float_from_f16_portable(size_t n, const void *x, float *y);
void martlet_f16_from_float_portable(size_t n, const float *x, uint16_t *y);
