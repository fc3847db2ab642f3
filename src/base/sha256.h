/* SHA-256 (FIPS 180-4). */
#ifndef FLAME_BASE_SHA256_H
#define FLAME_BASE_SHA256_H

#include <stdint.h>

enum { SHA256_TEXT = 65 };

/* Writes the digest of `data` as 64 hexadecimal digits and a zero byte. */
void sha256_text(const void *data, int64_t bytes, char text[SHA256_TEXT]);

#endif
