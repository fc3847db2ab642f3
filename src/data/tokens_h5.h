/* One file of tokens (docs/data-format.md), opened strictly and read chunk by chunk.
 *
 * HDF5 itself returns zeros for a chunk that is missing or whose address is damaged, and follows links into other
 * files. So nothing is taken on trust: what the file may consist of is checked when it is opened, what a chunk holds is
 * checked against the file's own table of CRC-32 each time it is read. */
#ifndef FLAME_DATA_TOKENS_H5_H
#define FLAME_DATA_TOKENS_H5_H

#include "core/check.h"

#include <stdbool.h>
#include <stdint.h>

#define TOKENS_FORMAT "flame-c tokens"
enum {
    TOKENS_VERSION = 1,
    TOKENS_CHUNK_BYTES_MIN = 4 << 10, /* a file of one chunk may have a smaller one */
    TOKENS_CHUNK_BYTES_MAX = 64 << 20,
    TOKENS_NAME_MAX = 4096
};

typedef struct TokensFile TokensFile;

typedef struct TokensFacts {
    const char *path;
    int64_t tokens, documents, chunks;
    int64_t chunk_tokens; /* per chunk; the last chunk of the file may hold fewer */
    int width;            /* bytes per token: 2 or 4 */
    int64_t vocab_size;
    int64_t bos_token_id, eos_token_id; /* -1: none */
    const char *tokenizer;
    const char *tokenizer_sha256; /* 64 hex digits, or "" */
    const uint64_t *doc_ends;     /* [documents], strictly increasing, the last is `tokens` */
    const uint32_t *chunk_crc32;  /* [chunks]; NULL when the file has none */
    int64_t stored_bytes;         /* of all chunks, as compressed */
    int64_t file_bytes;
} TokensFacts;

/* Opens and checks. BAD_INPUT or IO_ERROR, logged with file, place, and what to do. A file without /chunk_crc32 is
 * accepted with a warning. */
Status tokens_open(const char *path, TokensFile **file);
void tokens_close(TokensFile *file);
const TokensFacts *tokens_facts(const TokensFile *file);

/* Bytes of one decoded chunk: chunk_tokens * width. */
int64_t tokens_chunk_bytes(const TokensFile *file);
/* How many tokens chunk number `chunk` holds. */
int64_t tokens_in_chunk(const TokensFile *file, int64_t chunk);

/* Working memory of one thread. Start with all zero; grows as needed. */
typedef struct TokensScratch {
    unsigned char *stored, *shuffled;
    int64_t stored_capacity, shuffled_capacity;
} TokensScratch;
void tokens_scratch_free(TokensScratch *scratch);

/* Reads, inflates and checks one chunk into `tokens` (tokens_chunk_bytes; uint16_t or uint32_t by width; what lies
 * behind the file's last token is unspecified). Any number of threads, each with its own scratch. BAD_INPUT: damaged,
 * IO_ERROR: cannot be read, or the file is no longer the one that was opened. Logged with the chunk's number. */
Status tokens_read_chunk(TokensFile *file, int64_t chunk, TokensScratch *scratch, void *tokens);

#endif
