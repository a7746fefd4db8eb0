// Checksums of what travels and of what is stored.
#pragma once
#include <stddef.h>
#include <stdint.h>

/// CRC-32C (Castagnoli polynomial 0x1EDC6F41, reflected, initial value and final exclusive-or all
/// ones; RFC 3720 B.4), n bytes. `checksum` is that of the bytes before, 0 for none, so
/// crc32c(crc32c(0, a), b) == crc32c(0, ab). Uses the processor's instruction if it has one.
uint32_t martlet_crc32c(uint32_t checksum, const void *bytes, size_t n);

/// The same for any processor, four bits at a time: the reference of the fast paths.
uint32_t martlet_crc32c_portable(uint32_t checksum, const void *bytes, size_t n);
