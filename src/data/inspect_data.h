/* The commands data inspect and data verify: describe a token file, check all of it. Both print to standard output. */
#ifndef FLAME_DATA_INSPECT_DATA_H
#define FLAME_DATA_INSPECT_DATA_H

#include "base/check.h"

/* Prints a table: tokens, documents, chunks, compression, tokenizer, and a histogram of document lengths. */
Status inspect_data(const char *path);

/* Reads and checks every chunk, with `threads` threads. Continues after a damaged chunk, so that all damaged chunks are
 * reported. BAD_INPUT if a chunk is damaged, IO_ERROR if one cannot be read. */
Status verify_data(const char *path, int threads);

#endif
