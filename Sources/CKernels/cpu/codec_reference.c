// The plain loops of the codecs: the oracle of every instance.
#include "codec.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#if defined(__clang__)
#pragma clang fp contract(off)
#else
#pragma GCC optimize("fp-contract=off")
#endif
#include "reference/codec.h"
#include "reference/quantize.h"
