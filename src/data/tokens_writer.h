/* Writes one file of tokens (docs/data-format.md). What it writes stands under a temporary name until it is finished.
 */
#ifndef FLAME_DATA_TOKENS_WRITER_H
#define FLAME_DATA_TOKENS_WRITER_H

#include "base/check.h"
#include "checkpoint/tokenizer_files.h"

#include <stdbool.h>
#include <stdint.h>

enum { TOKENS_CHUNK_DEFAULT = 65536, TOKENS_LEVEL_DEFAULT = 4 };

/* The built-in tokenizer: a token per byte, and marks around each document. The vocabulary is rounded up to a multiple
 * of 64 for the sake of matrix products; ids from 258 on do not occur. */
enum { BYTES_BOS = 256, BYTES_EOS = 257, BYTES_VOCAB_SIZE = 320 };

typedef struct TokensWriterOptions {
    const char *path;
    bool force;           /* an existing file is replaced when the new one is finished; otherwise it is an error */
    int width;            /* bytes per token: 2 or 4 */
    int64_t chunk_tokens; /* 4 KiB .. 64 MiB worth of tokens */
    int level;            /* deflate: 0 (fast) .. 9 (small) */
    int64_t vocab_size;
    int64_t bos_token_id, eos_token_id; /* -1: none */
    const char *tokenizer, *tokenizer_sha256;
    const TokenizerFiles *tokenizer_files; /* NULL: none */
} TokensWriterOptions;

/* For the built-in tokenizer, with the default chunk and level. */
TokensWriterOptions tokens_writer_bytes_options(const char *path);

typedef struct TokensWriter TokensWriter;

/* BAD_INPUT: the file exists; IO_ERROR: it cannot be created. Both logged. */
Status tokens_writer_open(const TokensWriterOptions *options, TokensWriter **writer);
/* Appends to the current document. IO_ERROR (logged), e.g. a full disk. */
Status tokens_writer_add(TokensWriter *writer, const uint32_t *tokens, int64_t count);
/* Ends the current document, unless it is empty. */
void tokens_writer_end_document(TokensWriter *writer);

int64_t tokens_writer_tokens(const TokensWriter *writer);
int64_t tokens_writer_documents(const TokensWriter *writer);

/* Writes what is left and gives the file its name; frees the writer in any case. BAD_INPUT if it has no tokens. */
Status tokens_writer_finish(TokensWriter *writer);
/* Takes the temporary file away and frees the writer. */
void tokens_writer_abandon(TokensWriter *writer);

/* For a program that only builds data: SIGINT, SIGTERM and SIGHUP take the temporary files away before they end it, and
 * a file size limit is an error instead of the end. */
void tokens_writer_handle_signals(void);

#endif
