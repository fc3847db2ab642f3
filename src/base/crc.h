/* CRC-32 (the polynomial of zlib and gzip), at the speed of memory where the processor multiplies polynomials. */
#ifndef FLAME_BASE_CRC_H
#define FLAME_BASE_CRC_H

#include <stdint.h>

/* The CRC of what `crc` covers followed by `bytes` bytes of data; 0 covers nothing. */
uint32_t crc_update(uint32_t crc, const void *data, int64_t bytes);
/* The CRC of A followed by B, from their own. */
uint32_t crc_combine(uint32_t crc_a, uint32_t crc_b, int64_t bytes_b);

/* The CRC of bytes [first, first + bytes) of something larger. */
typedef struct CrcPart {
    int64_t first, bytes;
    uint32_t crc;
} CrcPart;

/* The CRC of all `bytes` bytes from `count` parts, `stride` apart in memory and in any order. Each byte is in exactly
 * one of them; some may be empty. */
uint32_t crc_of_parts(const CrcPart *part, int64_t count, int64_t stride, int64_t bytes);

#endif
