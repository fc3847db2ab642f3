#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "text/pieces.h"
#include "text/vocabulary.h"

struct Tokenizer {
    Vocabulary vocabulary, added;
    int64_t vocab_size, bos, eos;
};

struct TokenEncoder {
    const Tokenizer *tokenizer;
};

static void open_bytes(Tokenizer *tokenizer) {
    for (int byte = 0; byte < 256; byte++) vocabulary_add(&tokenizer->vocabulary, &(char){(char)byte}, 1, byte);
    vocabulary_add(&tokenizer->added, "<bos>", 5, BYTES_BOS);
    vocabulary_add(&tokenizer->added, "<eos>", 5, BYTES_EOS);
    tokenizer->vocab_size = BYTES_VOCAB_SIZE;
    tokenizer->bos = BYTES_BOS;
    tokenizer->eos = BYTES_EOS;
}

Status tokenizer_open(const char *path, Tokenizer **tokenizer) {
    *tokenizer = NULL;
    if (path) {
        log_error("%s: only the built-in tokenizer of bytes can be used", path);
        return BAD_INPUT;
    }
    *tokenizer = calloc(1, sizeof **tokenizer);
    CHECK(*tokenizer, "no memory for a tokenizer");
    open_bytes(*tokenizer);
    return OK;
}

void tokenizer_close(Tokenizer *tokenizer) {
    if (!tokenizer) return;
    vocabulary_free(&tokenizer->vocabulary);
    vocabulary_free(&tokenizer->added);
    free(tokenizer);
}

int64_t tokenizer_vocab_size(const Tokenizer *tokenizer) { return tokenizer->vocab_size; }

int64_t tokenizer_bos(const Tokenizer *tokenizer) { return tokenizer->bos; }

int64_t tokenizer_eos(const Tokenizer *tokenizer) { return tokenizer->eos; }

int64_t tokenizer_id(const Tokenizer *tokenizer, const char *token) {
    const int64_t bytes = (int64_t)strlen(token), added = vocabulary_find(&tokenizer->added, token, bytes);
    return added >= 0 ? added : vocabulary_find(&tokenizer->vocabulary, token, bytes);
}

const char *tokenizer_token(const Tokenizer *tokenizer, int64_t id, int64_t *bytes) {
    int64_t unused;
    const char *added = vocabulary_token(&tokenizer->added, id, bytes ? bytes : &unused);
    return added ? added : vocabulary_token(&tokenizer->vocabulary, id, bytes ? bytes : &unused);
}

TokenEncoder *token_encoder_create(const Tokenizer *tokenizer) {
    TokenEncoder *encoder = calloc(1, sizeof *encoder);
    CHECK(encoder, "no memory for a tokenizer");
    encoder->tokenizer = tokenizer;
    return encoder;
}

void token_encoder_free(TokenEncoder *encoder) { free(encoder); }

Status tokenizer_encode(TokenEncoder *encoder, const char *text, int64_t bytes, bool special_tokens, TokenIds *ids) {
    (void)encoder;
    (void)special_tokens;
    uint32_t *to = token_ids_room(ids, bytes);
    for (int64_t i = 0; i < bytes; i++) to[i] = (unsigned char)text[i];
    ids->count += bytes;
    return OK;
}

char *tokenizer_decode(const Tokenizer *tokenizer, const uint32_t *ids, int64_t count, bool skip_special,
                       int64_t *bytes) {
    Pieces tokens = {0}, text = {0};
    for (int64_t i = 0; i < count; i++) {
        int64_t token_bytes;
        const char *token = tokenizer_token(tokenizer, ids[i], &token_bytes);
        if (!token || (skip_special && ids[i] >= BYTES_BOS)) continue;
        pieces_put(&tokens, token, token_bytes);
    }
    pieces_put_repaired(&text, tokens.text, tokens.bytes);
    *pieces_room(&text, 1) = 0;
    if (bytes) *bytes = text.bytes;
    pieces_free(&tokens);
    return text.text;
}
