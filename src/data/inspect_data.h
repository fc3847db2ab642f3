/* The commands data inspect, data show and data verify: describe a token file, print a part, check all of it. They
 * print to standard output. */
#ifndef FLAME_DATA_INSPECT_DATA_H
#define FLAME_DATA_INSPECT_DATA_H

#include <stdint.h>

#include "base/check.h"

/* Prints a table: tokens, documents, chunks, compression, tokenizer, and a histogram of document lengths. */
Status inspect_data(const char *path);

/* Prints `count` tokens from number `first` on, or as many as there are, with a line for each document. Files of the
 * built-in tokenizer are printed as text. BAD_INPUT if the file has no token `first`. */
Status show_data(const char *path, int64_t first, int64_t count);

/* Reads and checks every chunk, with `threads` threads. Continues after a damaged chunk, so that all damaged chunks are
 * reported. BAD_INPUT if a chunk is damaged, IO_ERROR if one cannot be read. */
Status verify_data(const char *path, int threads);

#endif
