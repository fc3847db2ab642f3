/* Documents on their way into token files. They are gathered, then encoded by all threads, then written in order. */
#ifndef FLAME_DATA_BUILD_BATCH_H
#define FLAME_DATA_BUILD_BATCH_H

#include "data/build_tokenizer.h"
#include "data/tokens_writer.h"

typedef struct BuildBatch BuildBatch;

BuildBatch *build_batch_create(const BuildTokenizer *tokenizer);
void build_batch_free(BuildBatch *batch);

/* Says from which file the next documents are read, for errors about them. */
void build_batch_file(BuildBatch *batch, const char *path);
/* A document is passed in three calls or more: build_batch_begin says which file it goes to, build_batch_add appends a
 * part of its text, build_batch_end ends it. The last two may encode and write what has been gathered. BAD_INPUT
 * (logged) if the tokenizer has no tokens for a text, IO_ERROR (logged) if writing fails. */
void build_batch_begin(BuildBatch *batch, TokensWriter *writer);
Status build_batch_add(BuildBatch *batch, const char *text, int64_t bytes);
Status build_batch_end(BuildBatch *batch);
/* Encodes and writes what has been gathered. */
Status build_batch_flush(BuildBatch *batch);

#endif
