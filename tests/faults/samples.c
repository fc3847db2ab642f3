/* Linked into flame-c-samples with --wrap for the functions below. For every sample that is read for training, it adds
 * a line to the file FLAME_SAMPLES: the number of the sample and the CRC-32 of its tokens and labels. All ranks write
 * to one file; a rank that is killed leaves only complete lines. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/crc.h"
#include "data/stream.h"

static int64_t seq_len;

Status __real_stream_open(const StreamOptions *options, Stream **stream);
Status __wrap_stream_open(const StreamOptions *options, Stream **stream);
Status __wrap_stream_open(const StreamOptions *options, Stream **stream) {
    seq_len = options->seq_len;
    return __real_stream_open(options, stream);
}

static void note(int file, int64_t sample, const int32_t *tokens, const int32_t *labels) {
    const int64_t bytes = seq_len * (int64_t)sizeof *tokens;
    char line[64];
    const int length = snprintf(line, sizeof line, "%" PRId64 " %08" PRIx32 "\n", sample,
                                crc_update(crc_update(0, tokens, bytes), labels, bytes));
    CHECK(write(file, line, (size_t)length) == length, "the log of samples cannot be written");
}

Status __real_stream_read(Stream *stream, int64_t sample, int64_t count, int32_t *tokens, int32_t *labels,
                          int32_t *segment, int32_t *position);
Status __wrap_stream_read(Stream *stream, int64_t sample, int64_t count, int32_t *tokens, int32_t *labels,
                          int32_t *segment, int32_t *position);
Status __wrap_stream_read(Stream *stream, int64_t sample, int64_t count, int32_t *tokens, int32_t *labels,
                          int32_t *segment, int32_t *position) {
    static int file = -1;
    const char *path = getenv("FLAME_SAMPLES");
    const Status status = __real_stream_read(stream, sample, count, tokens, labels, segment, position);
    if (status != OK || !path) return status;
    if (file < 0) file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    CHECK(file >= 0, "the log of samples cannot be opened");
    for (int64_t i = 0; i < count; i++) note(file, sample + i, tokens + i * seq_len, labels + i * seq_len);
    return OK;
}
