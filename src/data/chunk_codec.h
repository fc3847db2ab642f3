/* The bytes of one HDF5 chunk: shuffle (byte planes apart) and deflate, in memory, without HDF5, so that any number of
 * threads can do it at once. */
#ifndef FLAME_DATA_CHUNK_CODEC_H
#define FLAME_DATA_CHUNK_CODEC_H

#include <stdbool.h>
#include <stdint.h>

typedef struct ChunkCodec {
    bool shuffle, deflate;
    int width;     /* bytes per token */
    int64_t bytes; /* of a decoded chunk */
} ChunkCodec;

/* The most bytes an honest encoded chunk can have. */
int64_t chunk_stored_max(const ChunkCodec *codec);

/* stored[size] -> decoded[codec->bytes]. planes[codec->bytes]: working memory. NULL, or what is wrong with the bytes:
 * too short, too long, or not a deflate stream. Never writes outside `decoded`. */
const char *chunk_decode(const ChunkCodec *codec, const unsigned char *stored, int64_t size, unsigned char *planes,
                         unsigned char *decoded);

/* decoded[codec->bytes] -> stored[chunk_stored_max]; returns the stored size. level: zlib's 0 .. 9. */
int64_t chunk_encode(const ChunkCodec *codec, int level, const unsigned char *decoded, unsigned char *planes,
                     unsigned char *stored);

#endif
