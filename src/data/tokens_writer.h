/* Writes a token file (docs/data-format.md) under a temporary name and renames it when it is complete. */
#ifndef FLAME_DATA_TOKENS_WRITER_H
#define FLAME_DATA_TOKENS_WRITER_H

#include "base/check.h"
#include "checkpoint/tokenizer_files.h"
#include "text/tokenizer.h"

#include <stdbool.h>
#include <stdint.h>

enum { TOKENS_CHUNK_DEFAULT = 65536, TOKENS_LEVEL_DEFAULT = 4 };

typedef struct TokensWriterOptions {
    const char *path;
    bool force; /* replace an existing file when the new one is complete; false: an existing file is an error */
    int width;  /* bytes per token: 2 or 4 */
    int64_t chunk_tokens; /* tokens per chunk; a chunk must have 4 KiB to 64 MiB */
    int level;            /* deflate: 0 (fast) .. 9 (small) */
    int64_t vocab_size;
    int64_t bos_token_id, eos_token_id; /* -1: none */
    const char *tokenizer, *tokenizer_sha256;
    const TokenizerFiles *tokenizer_files; /* NULL: none */
} TokensWriterOptions;

/* Options for the built-in tokenizer, with defaults for the rest. */
TokensWriterOptions tokens_writer_bytes_options(const char *path);

typedef struct TokensWriter TokensWriter;

/* BAD_INPUT if the file exists, IO_ERROR if it cannot be created; both are logged. */
Status tokens_writer_open(const TokensWriterOptions *options, TokensWriter **writer);
/* Appends to the current document. IO_ERROR (logged) if writing fails. */
Status tokens_writer_add(TokensWriter *writer, const uint32_t *tokens, int64_t count);
/* Ends the current document, unless it is empty. */
void tokens_writer_end_document(TokensWriter *writer);

int64_t tokens_writer_tokens(const TokensWriter *writer);
int64_t tokens_writer_documents(const TokensWriter *writer);

/* Whether `path` is another name of the file that is being written. */
bool tokens_writer_writes(const TokensWriter *writer, const char *path);

/* Writes the remaining data and syncs the file, which then only lacks its name. BAD_INPUT (logged) if there are no
 * tokens, IO_ERROR (logged) if writing fails: only tokens_writer_abandon may follow. */
Status tokens_writer_complete(TokensWriter *writer);
/* Completes the file, if it is not complete yet, and renames it. Frees the writer, on errors too. Errors as above. */
Status tokens_writer_finish(TokensWriter *writer);
/* Removes the temporary file and frees the writer. */
void tokens_writer_abandon(TokensWriter *writer);

#endif
