// The codecs' loops for one instruction set: LANES floats in a vector, MARTLET_CODEC names them.
// They are plain, for the compiler to vectorise; only finding what exceeds a bound is not.
#include "bits.h"
#include "feedback.h"
#include "select.h"
#include "quantize.h"

uint32_t MARTLET_CODEC(largest)(size_t n, const float *x) { return PRIVATE(largest)(n, x); }

void MARTLET_CODEC(feedback)(size_t n, martlet_feedback_of of, float *x) {
    PRIVATE(feedback)(0, n, of, x);
}

void MARTLET_CODEC(weigh)(size_t n, double weight, const float *restrict x, double *restrict sum) {
    for (size_t i = 0; i < n; i++) sum[i] = sum[i] + weight * (double)x[i];
}
