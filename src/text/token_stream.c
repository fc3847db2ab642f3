#include <stdlib.h>
#include <string.h>

#include "text/tokenizer.h"
#include "text/utf8.h"

/* The text of a token depends on its neighbours: the first token of a text may lose its space, and several tokens may
 * make one character. So the stream decodes a window of the last tokens again for each new token, and returns the text
 * that is new. Tokens behind a place where no character is incomplete do not depend on those before it, so the window
 * begins at the second-last such place. */
struct TokenStream {
    const Tokenizer *tokenizer;
    bool skip_special;
    TokenIds window;
    int64_t clean; /* tokens of the window up to the last place where no character was incomplete */
    char *shown;   /* the text of the window that has been returned */
    int64_t shown_bytes;
    char *part; /* what the last call returned */
};

TokenStream *token_stream_create(const Tokenizer *tokenizer, bool skip_special) {
    TokenStream *stream = calloc(1, sizeof *stream);
    CHECK_MEMORY(stream, "no memory for a stream of tokens");
    stream->tokenizer = tokenizer;
    stream->skip_special = skip_special;
    return stream;
}

void token_stream_free(TokenStream *stream) {
    if (!stream) return;
    free(stream->window.id);
    free(stream->shown);
    free(stream->part);
    free(stream);
}

static char *decode(const TokenStream *stream, int64_t from, int64_t *bytes) {
    return tokenizer_decode(stream->tokenizer, stream->window.id + from, stream->window.count - from,
                            stream->skip_special, bytes);
}

/* How many bytes of the text are certain: all but the U+FFFD at its end, which later tokens may complete to a
 * character. */
static int64_t certain_bytes(const char *text, int64_t bytes) {
    int64_t certain = bytes;
    while (certain >= 3 && memcmp(text + certain - 3, UTF8_REPLACEMENT, 3) == 0) certain -= 3;
    return certain;
}

static void set_shown(TokenStream *stream, char *text, int64_t bytes) {
    free(stream->shown);
    stream->shown = text;
    stream->shown_bytes = bytes;
}

static const char *set_part(TokenStream *stream, const char *text, int64_t part_bytes, int64_t *bytes) {
    free(stream->part);
    stream->part = malloc((size_t)part_bytes + 1);
    CHECK_MEMORY(stream->part, "no memory for %lld bytes of text", (long long)part_bytes);
    if (part_bytes > 0) memcpy(stream->part, text, (size_t)part_bytes);
    stream->part[part_bytes] = 0;
    if (bytes) *bytes = part_bytes;
    return stream->part;
}

static bool begins_with_shown(const TokenStream *stream, const char *text, int64_t bytes) {
    return bytes >= stream->shown_bytes &&
           (stream->shown_bytes == 0 || memcmp(text, stream->shown, (size_t)stream->shown_bytes) == 0);
}

/* Called where no character is incomplete: drops the tokens up to the last such place from the window. */
static void move_window(TokenStream *stream) {
    const int64_t kept = stream->window.count - stream->clean;
    memmove(stream->window.id, stream->window.id + stream->clean, (size_t)kept * sizeof *stream->window.id);
    stream->window.count = kept;
    stream->clean = kept;
    int64_t bytes;
    char *text = decode(stream, 0, &bytes);
    set_shown(stream, text, bytes);
}

const char *token_stream_add(TokenStream *stream, uint32_t id, int64_t *bytes) {
    token_ids_add(&stream->window, id);
    int64_t all;
    char *text = decode(stream, 0, &all);
    const int64_t certain = certain_bytes(text, all);
    if (certain <= stream->shown_bytes || !begins_with_shown(stream, text, certain)) {
        free(text);
        return set_part(stream, "", 0, bytes);
    }
    const char *part = set_part(stream, text + stream->shown_bytes, certain - stream->shown_bytes, bytes);
    set_shown(stream, text, certain);
    if (certain == all) move_window(stream);
    return part;
}

const char *token_stream_end(TokenStream *stream, int64_t *bytes) {
    int64_t all;
    char *text = decode(stream, 0, &all);
    const char *part;
    if (begins_with_shown(stream, text, all)) {
        part = set_part(stream, text + stream->shown_bytes, all - stream->shown_bytes, bytes);
    } else {
        free(text);
        text = decode(stream, stream->clean, &all);
        part = set_part(stream, text, all, bytes);
    }
    free(text);
    stream->window.count = stream->clean = 0;
    set_shown(stream, NULL, 0);
    return part;
}
