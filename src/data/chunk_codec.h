/* Encodes and decodes HDF5 chunks in memory, without HDF5's global lock, so that any number of threads can run at once.
 * The shuffle filter stores all first bytes of the tokens, then all second bytes, ... ("planes"); deflate follows. */
#ifndef FLAME_DATA_CHUNK_CODEC_H
#define FLAME_DATA_CHUNK_CODEC_H

#include <stdbool.h>
#include <stdint.h>

typedef struct ChunkCodec {
    bool shuffle, deflate;
    int width;     /* bytes per token */
    int64_t bytes; /* of a decoded chunk */
} ChunkCodec;

/* Upper bound of the size of an encoded chunk. */
int64_t chunk_stored_max(const ChunkCodec *codec);

/* stored[size] -> decoded[codec->bytes]. planes[codec->bytes] is working memory. Returns NULL, or a message that says
 * what is wrong with the stored bytes. Malformed input never causes writes outside of `planes` and `decoded`. */
const char *chunk_decode(const ChunkCodec *codec, const unsigned char *stored, int64_t size, unsigned char *planes,
                         unsigned char *decoded);

/* decoded[codec->bytes] -> stored[chunk_stored_max]; returns the stored size. level: zlib's 0 .. 9. */
int64_t chunk_encode(const ChunkCodec *codec, int level, const unsigned char *decoded, unsigned char *planes,
                     unsigned char *stored);

#endif
