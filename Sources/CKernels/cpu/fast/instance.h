// One instance of the fast fp32 kernels: LANES, PANEL_VECTORS and MARTLET_OP say which. Everything
// below is `static` but the operations themselves.
#define MARTLET_REAL float
#include "operations.h"

#include "vector.h"

#include "gemm.h"

#include "elementwise.h"

#include "linear.h"

#include "norm.h"

#include "attention.h"

#include "router.h"

#include "experts.h"

#include "loss.h"
