/* One file of tokens (docs/data-format.md), opened strictly and read chunk by chunk.
 *
 * HDF5 itself returns zeros for a chunk that is missing or whose address is damaged, and follows links into other
 * files. So nothing is taken on trust: what the file may consist of is checked when it is opened, what a chunk holds is
 * checked against the file's own table of CRC-32 each time it is read. */
#ifndef FLAME_DATA_TOKENS_H5_H
#define FLAME_DATA_TOKENS_H5_H

#include "base/check.h"
#include "data/tokens_facts.h"

#include <stdbool.h>

typedef struct TokensFile TokensFile;

/* Opens and checks. BAD_INPUT or IO_ERROR, logged with file, place, and what to do. A file without /chunk_crc32 is
 * accepted with a warning. */
Status tokens_open(const char *path, TokensFile **file);
void tokens_close(TokensFile *file);
const TokensFacts *tokens_facts(const TokensFile *file);
/* Are these one file, by whatever names? */
bool tokens_same_file(const TokensFile *a, const TokensFile *b);

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
