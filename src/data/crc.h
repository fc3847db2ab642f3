/* CRC-32 (the polynomial of zlib and gzip), at the speed of memory where the processor multiplies polynomials. */
#ifndef FLAME_DATA_CRC_H
#define FLAME_DATA_CRC_H

#include <stdint.h>

/* The CRC of what `crc` covers followed by `bytes` bytes of data; 0 covers nothing. */
uint32_t crc_update(uint32_t crc, const void *data, int64_t bytes);
/* The CRC of A followed by B, from their own. */
uint32_t crc_combine(uint32_t crc_a, uint32_t crc_b, int64_t bytes_b);

#endif
