#define _GNU_SOURCE /* memmem */
#include "text/continuation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

Continuation continuation_begin(const Tokenizer *tokenizer, const TokenIds *prompt, int64_t most) {
    Continuation continuation = {.stream = tokenizer ? token_stream_create(tokenizer, true) : NULL, .most = most};
    for (int64_t i = 0; continuation.stream && i < prompt->count; i++)
        token_stream_add(continuation.stream, prompt->id[i], NULL);
    continuation.text = calloc(1, 1);
    CHECK_MEMORY(continuation.text, "out of memory");
    return continuation;
}

void continuation_free(Continuation *continuation) {
    token_stream_free(continuation->stream);
    free(continuation->ids.id);
    free(continuation->text);
    *continuation = (Continuation){0};
}

static int stops_of(const Continuation *continuation) {
    return continuation->stop[0].count + continuation->stop[1].count;
}

static const char *stop_of(const Continuation *continuation, int i) {
    const int first = continuation->stop[0].count;
    return i < first ? continuation->stop[0].item[i] : continuation->stop[1].item[i - first];
}

/* Cuts the text at the first stop text that ends in its last `added` bytes, if there is one. */
static void look_for_stop(Continuation *continuation, int64_t added) {
    const char *first = NULL;
    for (int i = 0; i < stops_of(continuation); i++) {
        const char *stop = stop_of(continuation, i);
        const int64_t reach = continuation->bytes - added - (int64_t)strlen(stop) + 1, from = reach > 0 ? reach : 0;
        const char *found = memmem(continuation->text + from, (size_t)(continuation->bytes - from), stop, strlen(stop));
        if (found && (!first || found < first)) first = found;
    }
    if (!first) return;
    continuation->bytes = first - continuation->text;
    continuation->text[continuation->bytes] = 0;
    continuation->ended = "stop";
}

static void add_text(Continuation *continuation, const char *text, int64_t bytes) {
    continuation->text = realloc(continuation->text, (size_t)(continuation->bytes + bytes + 1));
    CHECK_MEMORY(continuation->text, "no memory for a text of %lld bytes", (long long)continuation->bytes);
    memcpy(continuation->text + continuation->bytes, text, (size_t)bytes);
    continuation->bytes += bytes;
    continuation->text[continuation->bytes] = 0;
    look_for_stop(continuation, bytes);
}

void continuation_end(Continuation *continuation, const char *why) {
    if (continuation->ended) return;
    int64_t bytes = 0;
    const char *rest = continuation->stream ? token_stream_end(continuation->stream, &bytes) : "";
    add_text(continuation, rest, bytes);
    if (!continuation->ended) continuation->ended = why;
}

void continuation_add(Continuation *continuation, uint32_t token, bool is_end) {
    if (continuation->ended) return;
    if (is_end) {
        continuation_end(continuation, "eos");
        return;
    }
    token_ids_add(&continuation->ids, token);
    char number[16];
    int64_t bytes = snprintf(number, sizeof number, "%s%u", continuation->bytes > 0 ? " " : "", (unsigned)token);
    const char *text = continuation->stream ? token_stream_add(continuation->stream, token, &bytes) : number;
    add_text(continuation, text, bytes);
    if (continuation->ids.count == continuation->most) continuation_end(continuation, "length");
}

/* How many bytes at the end of the text may be the beginning of a stop text. */
static int64_t undecided(const Continuation *continuation) {
    int64_t longest = 0;
    for (int i = 0; i < stops_of(continuation); i++) {
        const char *stop = stop_of(continuation, i);
        int64_t bytes = (int64_t)strlen(stop) - 1;
        if (bytes > continuation->bytes) bytes = continuation->bytes;
        while (bytes > longest && memcmp(continuation->text + continuation->bytes - bytes, stop, (size_t)bytes) != 0)
            bytes--;
        if (bytes > longest) longest = bytes;
    }
    return longest;
}

const char *continuation_show(Continuation *continuation, int64_t *bytes) {
    const int64_t certain = continuation->bytes - (continuation->ended ? 0 : undecided(continuation));
    const char *text = continuation->text + continuation->shown;
    *bytes = certain > continuation->shown ? certain - continuation->shown : 0;
    continuation->shown += *bytes;
    return text;
}
