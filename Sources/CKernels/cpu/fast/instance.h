// One instance of the fast kernels: LANES, PANEL_VECTORS, PAIRED and MARTLET_OP say which, and
// MARTLET_HALF whether numbers are bf16. Everything below is `static` but the operations.
#define MARTLET_SUM float
#ifdef MARTLET_HALF
#define MARTLET_REAL martlet_bf16
#else
#define MARTLET_REAL float
#endif
#include "operations.h"

#include "vector.h"

#ifdef MARTLET_HALF
#include "real_bf16.h"
#else
#include "real_f32.h"
#endif

#include "panel.h"

#include "gemm.h"

#include "elementwise.h"

#include "linear.h"

#include "norm.h"

#include "attention.h"

#include "attention_backward.h"

#include "latent.h"

#include "slots.h"

#include "experts.h"

#include "shared_expert.h"

#include "loss.h"

#include "head.h"

#include "peak.h"

#ifndef MARTLET_HALF
#include "router.h"
#include "mask.h"
#endif
