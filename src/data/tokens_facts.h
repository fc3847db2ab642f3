/* Metadata of a token file (docs/data-format.md). */
#ifndef FLAME_DATA_TOKENS_FACTS_H
#define FLAME_DATA_TOKENS_FACTS_H

#include <stdint.h>

#include "checkpoint/tokenizer_files.h"

#define TOKENS_FORMAT "flame-c tokens"
enum {
    TOKENS_VERSION = 1,
    TOKENS_CHUNK_BYTES_MIN = 4 << 10, /* except in a file with only one chunk */
    TOKENS_CHUNK_BYTES_MAX = 64 << 20,
    TOKENS_NAME_MAX = 4096
};

typedef struct TokensFacts {
    const char *path;
    int64_t tokens, documents, chunks;
    int64_t chunk_tokens; /* per chunk; the last chunk of the file may hold fewer */
    int width;            /* bytes per token: 2 or 4 */
    int64_t vocab_size;
    int64_t bos_token_id, eos_token_id; /* -1: none */
    const char *tokenizer;
    const char *tokenizer_sha256;          /* 64 hex digits, or "" */
    const TokenizerFiles *tokenizer_files; /* Hugging Face's tokenizer files; without content if the file has none */
    const uint64_t *doc_ends;              /* [documents], strictly increasing, the last is `tokens` */
    const uint32_t *chunk_crc32;           /* [chunks]; NULL when the file has none */
    int64_t stored_bytes;                  /* compressed size of all chunks */
    int64_t file_bytes;
} TokensFacts;

#endif
