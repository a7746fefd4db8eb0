// libzstd as the system has it: the one-shot calls that frame dense payloads.
#pragma once
#include <zstd.h>
