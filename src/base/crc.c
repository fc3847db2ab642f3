/* A message is a polynomial over GF(2), and its CRC is the remainder modulo P. Four 128-bit accumulators each take
 * every fourth block of 16 bytes. Shifting an accumulator by 512 bits takes two carry-less products with x^512 mod P
 * (64 bits apart). The result is 16 bytes with the same remainder as the whole message; zlib computes their CRC. Gopal
 * et al., Fast CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction, Intel 2009; bit-reflected form. */
#include "base/crc.h"

#include <stdbool.h>
#include <stddef.h>
#include <zlib.h>

#include "base/check.h"

static uint32_t crc_zlib(uint32_t crc, const unsigned char *data, int64_t bytes) {
    while (bytes > 0) {
        const int64_t part = bytes < (1 << 30) ? bytes : 1 << 30;
        crc = (uint32_t)crc32(crc, data, (uInt)part);
        data += part;
        bytes -= part;
    }
    return crc;
}

#if defined(__x86_64__)
#include <immintrin.h>

#define CLMUL __attribute__((target("pclmul,sse4.1")))

CLMUL static inline __m128i load(const unsigned char *data) { return _mm_loadu_si128((const __m128i *)data); }

/* Shifts `accumulator` by the distance of `factors` and adds `next`. */
CLMUL static inline __m128i fold(__m128i accumulator, __m128i factors, __m128i next) {
    const __m128i low = _mm_clmulepi64_si128(accumulator, factors, 0x00);
    const __m128i high = _mm_clmulepi64_si128(accumulator, factors, 0x11);
    return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

/* `bytes` is a multiple of 64, at least 64. */
CLMUL static uint32_t crc_folded(uint32_t crc, const unsigned char *data, int64_t bytes) {
    const __m128i by_512_bits = _mm_set_epi64x(0x1c6e41596, 0x154442bd4);
    const __m128i by_128_bits = _mm_set_epi64x(0x0ccaa009e, 0x1751997d0);
    __m128i a = _mm_xor_si128(load(data), _mm_cvtsi32_si128((int)~crc));
    __m128i b = load(data + 16), c = load(data + 32), d = load(data + 48);
    for (int64_t i = 64; i < bytes; i += 64) {
        a = fold(a, by_512_bits, load(data + i));
        b = fold(b, by_512_bits, load(data + i + 16));
        c = fold(c, by_512_bits, load(data + i + 32));
        d = fold(d, by_512_bits, load(data + i + 48));
    }
    b = fold(a, by_128_bits, b);
    c = fold(b, by_128_bits, c);
    d = fold(c, by_128_bits, d);
    unsigned char rest[16];
    _mm_storeu_si128((__m128i *)rest, d);
    /* The initial CRC is already part of `rest`. zlib inverts its argument, so all ones start its register at zero. */
    return crc_zlib(0xffffffffu, rest, sizeof rest);
}

uint32_t crc_update(uint32_t crc, const void *data, int64_t bytes) {
    const unsigned char *at = data;
    const int64_t folded = bytes / 64 * 64;
    if (folded > 0 && __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1")) {
        crc = crc_folded(crc, at, folded);
        at += folded;
        bytes -= folded;
    }
    return crc_zlib(crc, at, bytes);
}
#else
uint32_t crc_update(uint32_t crc, const void *data, int64_t bytes) { return crc_zlib(crc, data, bytes); }
#endif

uint32_t crc_combine(uint32_t crc_a, uint32_t crc_b, int64_t bytes_b) {
    return (uint32_t)crc32_combine(crc_a, crc_b, (z_off_t)bytes_b);
}

static const CrcPart *part_at(const CrcPart *part, int64_t count, int64_t stride, int64_t first) {
    for (int64_t i = 0; i < count; i++)
        if (part[i * stride].bytes > 0 && part[i * stride].first == first) return &part[i * stride];
    CHECK(false, "byte %lld is in none of %lld parts", (long long)first, (long long)count);
    return NULL;
}

uint32_t crc_of_parts(const CrcPart *part, int64_t count, int64_t stride, int64_t bytes) {
    uint32_t crc = 0;
    for (int64_t at = 0; at < bytes;) {
        const CrcPart *next = part_at(part, count, stride, at);
        crc = crc_combine(crc, next->crc, next->bytes);
        at += next->bytes;
    }
    return crc;
}
