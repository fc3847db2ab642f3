/* For tests/run/tokenizers.sh: many texts through a tokenizer. Every record of standard input and output is a 32-bit
 * length and as many bytes (a text) or 32-bit tokens.
 *
 *   tokenizer_pipe TOKENIZER encode|special|decode|skip|stream
 * special: with the special tokens around a text; skip: without special tokens; stream: decoded token by token. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/tokenizer.h"

static void *record;
static int64_t record_room;

/* The length of the next record; -1 at the end. */
static int64_t read_record(int64_t element) {
    uint32_t length;
    if (fread(&length, sizeof length, 1, stdin) != 1) return -1;
    if (length * element + 1 > record_room)
        record = realloc(record, (size_t)(record_room = 2 * (length * element + 1)));
    CHECK(record && fread(record, (size_t)element, length, stdin) == length, "the input ends within a record");
    return length;
}

static void write_record(const void *data, int64_t length, int64_t element) {
    const uint32_t written = (uint32_t)length;
    fwrite(&written, sizeof written, 1, stdout);
    fwrite(data, (size_t)element, (size_t)length, stdout);
}

static void encode(const Tokenizer *tokenizer, bool special) {
    TokenEncoder *encoder = token_encoder_create(tokenizer);
    TokenIds ids = {0};
    for (int64_t bytes; (bytes = read_record(1)) >= 0;) {
        ids.count = 0;
        if (tokenizer_encode(encoder, record, bytes, special, &ids)) {
            fprintf(stderr, "%s\n", token_encoder_reason(encoder));
            exit(1);
        }
        write_record(ids.id, ids.count, sizeof *ids.id);
    }
    free(ids.id);
    token_encoder_free(encoder);
}

static void decode(const Tokenizer *tokenizer, bool skip) {
    for (int64_t count, bytes; (count = read_record(4)) >= 0;) {
        char *text = tokenizer_decode(tokenizer, record, count, skip, &bytes);
        write_record(text, bytes, 1);
        free(text);
    }
}

static void stream(const Tokenizer *tokenizer) {
    TokenStream *stream = token_stream_create(tokenizer, false);
    char *text = NULL;
    for (int64_t count, bytes, all; (count = read_record(4)) >= 0;) {
        all = 0;
        for (int64_t i = 0; i <= count; i++) {
            const uint32_t *ids = record;
            const char *part = i < count ? token_stream_add(stream, ids[i], &bytes) : token_stream_end(stream, &bytes);
            text = realloc(text, (size_t)(all + bytes + 1));
            CHECK(text, "no memory");
            memcpy(text + all, part, (size_t)bytes);
            all += bytes;
        }
        write_record(text, all, 1);
    }
    free(text);
    token_stream_free(stream);
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    Tokenizer *tokenizer;
    const Status status = tokenizer_open(strcmp(argv[1], "bytes") == 0 ? NULL : argv[1], &tokenizer);
    if (status) return (int)status;
    const char *mode = argv[2];
    if (strcmp(mode, "encode") == 0 || strcmp(mode, "special") == 0)
        encode(tokenizer, mode[0] == 's');
    else if (strcmp(mode, "stream") == 0)
        stream(tokenizer);
    else
        decode(tokenizer, mode[0] == 's');
    tokenizer_close(tokenizer);
    free(record);
    return 0;
}
