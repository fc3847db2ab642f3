/* CRC-32 with the polynomial of zlib and gzip. Uses the carry-less multiplication of x86 processors that have it. */
#ifndef FLAME_BASE_CRC_H
#define FLAME_BASE_CRC_H

#include <stdint.h>

/* Extends a CRC by `bytes` bytes of data. The CRC of no data is 0. */
uint32_t crc_update(uint32_t crc, const void *data, int64_t bytes);
/* The CRC of A followed by B, from the CRCs of A and B. */
uint32_t crc_combine(uint32_t crc_a, uint32_t crc_b, int64_t bytes_b);

/* The CRC of a range of bytes, [first, first + bytes), of a tensor. */
typedef struct CrcPart {
    int64_t first, bytes;
    uint32_t crc;
} CrcPart;

/* The CRC of all `bytes` bytes from the CRCs of `count` parts, part[0], part[stride], ..., in any order. The parts must
 * cover each byte exactly once; parts may be empty. */
uint32_t crc_of_parts(const CrcPart *part, int64_t count, int64_t stride, int64_t bytes);

#endif
