/* Documents on their way into token files: gathered, then encoded by all threads, then written in order. */
#ifndef FLAME_DATA_BUILD_BATCH_H
#define FLAME_DATA_BUILD_BATCH_H

#include "data/build_tokenizer.h"
#include "data/tokens_writer.h"

typedef struct BuildBatch BuildBatch;

BuildBatch *build_batch_create(const BuildTokenizer *tokenizer);
void build_batch_free(BuildBatch *batch);

/* A document: where it goes, its text in parts, its end. The last two may write what is gathered: BAD_INPUT or IO_ERROR
 * (logged) if a text has no tokens or writing fails. */
void build_batch_begin(BuildBatch *batch, TokensWriter *writer);
Status build_batch_add(BuildBatch *batch, const char *text, int64_t bytes);
Status build_batch_end(BuildBatch *batch);
/* Writes what is gathered. */
Status build_batch_flush(BuildBatch *batch);

#endif
