// The fast bf16 kernels in the vectors every machine has, widened to fp32, 4 lanes.
#include "fast/prelude.h"

#define LANES 4
// Vectors across in one panel; with 6 rows and a broadcast they fill the register file.
#define PANEL_VECTORS 2
#define PAIRED 0
#define MARTLET_HALF
#define MARTLET_OP(name) martlet_##name##_half_portable
#include "fast/instance.h"
