/* Reads a token file (docs/data-format.md) chunk by chunk and checks all of it.
 *
 * HDF5 itself returns zeros for a chunk that is missing or whose address is damaged, and follows links into other
 * files. Therefore the structure of the file is checked when it is opened, and every chunk is compared with the table
 * /chunk_crc32 each time it is read. */
#ifndef FLAME_DATA_TOKENS_H5_H
#define FLAME_DATA_TOKENS_H5_H

#include "base/check.h"
#include "data/tokens_facts.h"

#include <stdbool.h>

typedef struct TokensFile TokensFile;

/* Opens the file and checks its structure. BAD_INPUT or IO_ERROR, after a message that says what is wrong and what to
 * do. A file without /chunk_crc32 is accepted with a warning. */
Status tokens_open(const char *path, TokensFile **file);
void tokens_close(TokensFile *file);
const TokensFacts *tokens_facts(const TokensFile *file);
/* Whether both are the same file, compared by inode. */
bool tokens_same_file(const TokensFile *a, const TokensFile *b);

/* Bytes of one decoded chunk: chunk_tokens * width. */
int64_t tokens_chunk_bytes(const TokensFile *file);
/* Number of tokens in a chunk: chunk_tokens, or fewer in the last one. */
int64_t tokens_in_chunk(const TokensFile *file, int64_t chunk);

/* IO_ERROR (logged) if the file has disappeared, or has been replaced or changed since it was opened. */
Status tokens_check_unchanged(const TokensFile *file);

/* Working memory of one thread. Initialise with zeros; it grows as needed. */
typedef struct TokensScratch {
    unsigned char *stored, *shuffled;
    int64_t stored_capacity, shuffled_capacity;
} TokensScratch;
void tokens_scratch_free(TokensScratch *scratch);

/* Reads, inflates and checks one chunk. `tokens` has room for tokens_chunk_bytes bytes and receives uint16_t or
 * uint32_t, depending on the file's width; what is behind the last token of the file is undefined. Thread-safe, if each
 * thread has its own scratch. BAD_INPUT if the chunk is damaged; IO_ERROR if it cannot be read or the file was
 * replaced. Both are logged with the number of the chunk. */
Status tokens_read_chunk(TokensFile *file, int64_t chunk, TokensScratch *scratch, void *tokens);

#endif
