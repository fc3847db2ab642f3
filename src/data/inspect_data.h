/* What a token file holds, and whether all of it can be read. Both print to standard output. */
#ifndef FLAME_DATA_INSPECT_DATA_H
#define FLAME_DATA_INSPECT_DATA_H

#include "base/check.h"

/* A table: tokens, documents, chunks, compression, tokenizer, and a histogram of document lengths. */
Status inspect_data(const char *path);

/* Reads every chunk with every check, with `threads` threads. Goes on after a damaged chunk, so that all are named.
 * BAD_INPUT if there is one. */
Status verify_data(const char *path, int threads);

#endif
