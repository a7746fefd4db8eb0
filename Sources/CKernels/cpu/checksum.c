// CRC-32C. The instruction takes 8 bytes and has a latency of 3 cycles but a throughput of one a
// cycle, so on x86 three independent streams run side by side and are joined by polynomial algebra.
#include "checksum.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_acle.h>
#if defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif
#endif

uint32_t martlet_crc32c_portable(uint32_t checksum, const void *bytes, size_t n) {
    // Remainders of the 16 possible half bytes.
    static const uint32_t remainders[16] = {
        0x00000000, 0x105EC76F, 0x20BD8EDE, 0x30E349B1, 0x417B1DBC, 0x5125DAD3,
        0x61C69362, 0x7198540D, 0x82F63B78, 0x92A8FC17, 0xA24BB5A6, 0xB21572C9,
        0xC38D26C4, 0xD3D3E1AB, 0xE330A81A, 0xF36E6F75,
    };
    const uint8_t *p = bytes;
    uint32_t state = ~checksum;
    for (size_t i = 0; i < n; i++) {
        state ^= p[i];
        state = (state >> 4) ^ remainders[state & 15];
        state = (state >> 4) ^ remainders[state & 15];
    }
    return ~state;
}

#if defined(__x86_64__)

/// Bytes of one of the three streams; `after_one` and `after_two` hold for this length only.
enum { STREAM_BYTES = 1024 };

static inline uint64_t load(const uint8_t *p) {
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

/// The state after as many zero bytes as `power` stands for: x^(8 bytes - 33) mod P, reflected. The
/// product of two reflected words is short of one x, and the instruction multiplies by x^32.
__attribute__((target("sse4.2,pclmul"))) static inline uint64_t advance(uint64_t state,
                                                                        uint32_t power) {
    __m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)state),
                                           _mm_cvtsi64_si128((long long)power), 0);
    return _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(product));
}

__attribute__((target("sse4.2,pclmul"))) static uint32_t crc32c_sse(uint32_t checksum,
                                                                    const uint8_t *p, size_t n) {
    const uint32_t after_one = 0x170076FA, after_two = 0xA51B6135;
    uint64_t state = (uint32_t)~checksum;
    for (; n >= 3 * STREAM_BYTES; n -= 3 * STREAM_BYTES, p += 3 * STREAM_BYTES) {
        uint64_t second = 0, third = 0;
        for (size_t i = 0; i < STREAM_BYTES; i += 8) {
            state = _mm_crc32_u64(state, load(p + i));
            second = _mm_crc32_u64(second, load(p + STREAM_BYTES + i));
            third = _mm_crc32_u64(third, load(p + 2 * STREAM_BYTES + i));
        }
        state = advance(state, after_two) ^ advance(second, after_one) ^ third;
    }
    for (; n >= 8; n -= 8, p += 8) state = _mm_crc32_u64(state, load(p));
    for (; n > 0; n--, p++) state = _mm_crc32_u8((uint32_t)state, *p);
    return ~(uint32_t)state;
}

uint32_t martlet_crc32c(uint32_t checksum, const void *bytes, size_t n) {
    if (__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul"))
        return crc32c_sse(checksum, bytes, n);
    return martlet_crc32c_portable(checksum, bytes, n);
}

#elif defined(__aarch64__)

__attribute__((target("crc"))) static uint32_t crc32c_arm(uint32_t checksum, const uint8_t *p,
                                                          size_t n) {
    uint32_t state = ~checksum;
    for (; n >= 8; n -= 8, p += 8) {
        uint64_t word;
        memcpy(&word, p, sizeof word);
        state = __crc32cd(state, word);
    }
    for (; n > 0; n--, p++) state = __crc32cb(state, *p);
    return ~state;
}

uint32_t martlet_crc32c(uint32_t checksum, const void *bytes, size_t n) {
#if defined(__linux__)
    if (!(getauxval(AT_HWCAP) & HWCAP_CRC32)) return martlet_crc32c_portable(checksum, bytes, n);
#endif
    return crc32c_arm(checksum, bytes, n);
}

#else

uint32_t martlet_crc32c(uint32_t checksum, const void *bytes, size_t n) {
    return martlet_crc32c_portable(checksum, bytes, n);
}

#endif
