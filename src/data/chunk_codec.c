#include "data/chunk_codec.h"

#include "base/check.h"

#include <string.h>
#include <zlib.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "token files are little-endian and read without conversion");

int64_t chunk_stored_max(const ChunkCodec *codec) { return (int64_t)compressBound((uLong)codec->bytes) + 64; }

static void unshuffle(int width, int64_t count, const unsigned char *restrict planes, unsigned char *restrict decoded) {
    if (width == 2) {
        for (int64_t i = 0; i < count; i++) {
            decoded[2 * i] = planes[i];
            decoded[2 * i + 1] = planes[count + i];
        }
        return;
    }
    for (int64_t i = 0; i < count; i++)
        for (int byte = 0; byte < width; byte++) decoded[i * width + byte] = planes[byte * count + i];
}

static void shuffle(int width, int64_t count, const unsigned char *restrict decoded, unsigned char *restrict planes) {
    for (int64_t i = 0; i < count; i++)
        for (int byte = 0; byte < width; byte++) planes[byte * count + i] = decoded[i * width + byte];
}

/* Inflates exactly `size` bytes to exactly `bytes` bytes. Returns NULL, or a message that says what is wrong. */
static const char *inflate_exactly(const unsigned char *stored, int64_t size, unsigned char *out, int64_t bytes) {
    z_stream stream = {0};
    if (inflateInit(&stream) != Z_OK) return "zlib has no memory to inflate it";
    stream.next_in = (unsigned char *)(uintptr_t)stored;
    stream.avail_in = (uInt)size;
    stream.next_out = out;
    stream.avail_out = (uInt)bytes;
    int result = inflate(&stream, Z_FINISH);
    int64_t used = (int64_t)stream.total_in, made = (int64_t)stream.total_out;
    inflateEnd(&stream);
    if (result == Z_STREAM_END && made == bytes && used == size) return NULL;
    if (result == Z_STREAM_END && made < bytes) return "its deflate stream is too short";
    if (result == Z_STREAM_END) return "bytes follow its deflate stream";
    if (result == Z_BUF_ERROR && made == bytes) return "its deflate stream is longer than the chunk";
    if (result == Z_BUF_ERROR) return "its deflate stream is cut off";
    return "it is not a valid deflate stream";
}

const char *chunk_decode(const ChunkCodec *codec, const unsigned char *stored, int64_t size, unsigned char *planes,
                         unsigned char *decoded) {
    unsigned char *inflated = codec->shuffle ? planes : decoded;
    if (codec->deflate) {
        const char *problem = inflate_exactly(stored, size, inflated, codec->bytes);
        if (problem) return problem;
    } else {
        if (size != codec->bytes) return "its size is not that of a chunk";
        memcpy(inflated, stored, (size_t)size);
    }
    if (codec->shuffle) unshuffle(codec->width, codec->bytes / codec->width, planes, decoded);
    return NULL;
}

int64_t chunk_encode(const ChunkCodec *codec, int level, const unsigned char *decoded, unsigned char *planes,
                     unsigned char *stored) {
    if (codec->shuffle) shuffle(codec->width, codec->bytes / codec->width, decoded, planes);
    const unsigned char *plain = codec->shuffle ? planes : decoded;
    if (!codec->deflate) {
        memcpy(stored, plain, (size_t)codec->bytes);
        return codec->bytes;
    }
    uLongf size = (uLongf)chunk_stored_max(codec);
    int result = compress2(stored, &size, plain, (uLong)codec->bytes, level);
    CHECK(result == Z_OK, "zlib's compress2 returned %d for %lld bytes", result, (long long)codec->bytes);
    return (int64_t)size;
}
