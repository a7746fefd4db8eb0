// The reference kernels: plain loops in the order the formulas are read, on one thread, written
// once and compiled for fp32 and fp64. They are the oracle of every fast path, so they stay this
// plain: clarity is worth more here than speed.
#include "kernels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define REAL float
#define OP(name) martlet_##name##_ref_f32
#define PRIVATE(name) name##_f32
#include "reference/attention.h"
#include "reference/linear.h"
#include "reference/experts.h"
#include "reference/mask.h"
#include "reference/loss.h"
#include "reference/norm.h"
#include "reference/router.h"
#undef REAL
#undef OP
#undef PRIVATE

#define REAL double
#define OP(name) martlet_##name##_ref_f64
#define PRIVATE(name) name##_f64
#include "reference/attention.h"
#include "reference/linear.h"
#include "reference/experts.h"
#include "reference/mask.h"
#include "reference/loss.h"
#include "reference/norm.h"
#include "reference/router.h"
#undef REAL
#undef OP
#undef PRIVATE
