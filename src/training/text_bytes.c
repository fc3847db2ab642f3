#include "training/text_bytes.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "text/utf8.h"

struct TextBytes {
    TokenStream *stream; /* NULL: each token below 256 is a byte */
    bool begun;          /* the stream has returned text of this document */
    int64_t B, T;
    int32_t *bytes;
};

TextBytes *text_bytes_create(const Tokenizer *tokenizer, int64_t B, int64_t T) {
    TextBytes *text_bytes = calloc(1, sizeof *text_bytes);
    CHECK_MEMORY(text_bytes, "out of memory");
    *text_bytes = (TextBytes){.B = B, .T = T};
    if (!tokenizer_is_bytes(tokenizer)) text_bytes->stream = token_stream_create(tokenizer, true);
    text_bytes->bytes = calloc((size_t)(B * T), sizeof *text_bytes->bytes);
    CHECK_MEMORY(text_bytes->bytes, "no memory for %lld targets", (long long)(B * T));
    return text_bytes;
}

void text_bytes_free(TextBytes *text_bytes) {
    if (!text_bytes) return;
    token_stream_free(text_bytes->stream);
    free(text_bytes->bytes);
    free(text_bytes);
}

/* The bytes of the U+FFFD at the beginning of a text. */
static int64_t replaced(const char *text, int64_t bytes) {
    int64_t count = 0;
    while (count + 3 <= bytes && memcmp(text + count, UTF8_REPLACEMENT, 3) == 0) count += 3;
    return count;
}

/* Adds the token before the first target, whose own text is not counted. If it ends a character that began before the
 * window, that part comes with the next text, as U+FFFD. */
static void begin(TextBytes *text_bytes, int32_t token) {
    token_stream_end(text_bytes->stream, NULL);
    int64_t given;
    token_stream_add(text_bytes->stream, (uint32_t)token, &given);
    text_bytes->begun = given > 0;
}

static int32_t new_bytes(TextBytes *text_bytes, const char *text, int64_t bytes) {
    const int64_t cut = text_bytes->begun ? 0 : replaced(text, bytes);
    text_bytes->begun = text_bytes->begun || bytes > 0;
    return (int32_t)(bytes - cut);
}

static void count_row(TextBytes *text_bytes, const int32_t *tokens, const int32_t *labels, int32_t *bytes) {
    int64_t more = 0;
    for (int64_t t = 0; t < text_bytes->T; t++) {
        const bool first = t == 0 || labels[t - 1] < 0;
        bytes[t] = 0;
        if (labels[t] < 0 && first) continue;
        if (labels[t] < 0) {
            const char *rest = token_stream_end(text_bytes->stream, &more);
            bytes[t - 1] += new_bytes(text_bytes, rest, more);
            continue;
        }
        if (first) begin(text_bytes, tokens[t]);
        const char *text = token_stream_add(text_bytes->stream, (uint32_t)labels[t], &more);
        bytes[t] = new_bytes(text_bytes, text, more);
    }
}

const int32_t *text_bytes_of(TextBytes *text_bytes, HostBatch batch) {
    const int64_t B = text_bytes->B, T = text_bytes->T;
    for (int64_t i = 0; !text_bytes->stream && i < B * T; i++)
        text_bytes->bytes[i] = batch.labels[i] >= 0 && batch.labels[i] < 256;
    for (int64_t b = 0; text_bytes->stream && b < B; b++)
        count_row(text_bytes, batch.tokens + b * T, batch.labels + b * T, text_bytes->bytes + b * T);
    return text_bytes->bytes;
}
