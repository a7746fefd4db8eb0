// The codecs' loops in the vectors every machine has: SSE2 or NEON, 4 lanes.
#include "codec/prelude.h"

#define LANES 4
#define MARTLET_CODEC(name) martlet_##name##_portable
#define PRIVATE(name) name##_portable
#include "codec_operations.h"
#include "codec/instance.h"
