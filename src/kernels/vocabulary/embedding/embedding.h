/* Arguments of the embedding kernels, shared by host and device; strides in elements. */
#ifndef FLAME_KERNELS_VOCABULARY_EMBEDDING_EMBEDDING_H
#define FLAME_KERNELS_VOCABULARY_EMBEDDING_EMBEDDING_H

#include <stdint.h>

/* The programs of backward: each owns the columns of one block and every EMBEDDING_PARTS-th row of the table. */
enum { EMBEDDING_COLS = 256, EMBEDDING_PARTS = 16 };

/* y_n = table[tokens[n]]. */
typedef struct EmbeddingArguments {
    const void *table; /* [vocabulary, cols] */
    const int32_t *tokens;
    void *y;
    int64_t rows, cols, rows_per_program, y_stride;
} EmbeddingArguments;

/* dtable[tokens[n]] += dy_n for n = 0, 1, ..., except for the token padding_index. Programs: x over blocks of columns,
 * y over parts. */
typedef struct EmbeddingBackwardArguments {
    const int32_t *tokens;
    const void *dy;
    float *dtable;
    int64_t rows, cols, dy_stride, padding_index;
} EmbeddingBackwardArguments;

#endif
