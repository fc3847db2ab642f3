/* Arguments of the embedding kernels, shared by host and device; strides in elements. */
#ifndef FLAME_KERNELS_VOCABULARY_EMBEDDING_EMBEDDING_H
#define FLAME_KERNELS_VOCABULARY_EMBEDDING_EMBEDDING_H

#include <stdint.h>

/* A program of backward takes a block of columns and the words whose tokens begin in a range of places of by_token. It
 * loads EMBEDDING_STEP rows at once. */
enum { EMBEDDING_COLS = 1024, EMBEDDING_PLACES = 32, EMBEDDING_STEP = 8 };

/* y_n = table[tokens[n]]. */
typedef struct EmbeddingArguments {
    const void *table; /* [vocabulary, cols] */
    const int32_t *tokens;
    void *y;
    int64_t rows, cols, rows_per_program, y_stride;
} EmbeddingArguments;

/* dtable[tokens[n]] += dy_n for n = 0, 1, ..., except for the token padding_index. Programs: x over blocks of columns,
 * y over places of by_token. */
typedef struct EmbeddingBackwardArguments {
    const int32_t *tokens, *by_token; /* as in Batch */
    const void *dy;
    float *dtable;
    int64_t rows, cols, dy_stride, padding_index;
} EmbeddingBackwardArguments;

#ifndef FLAME_KERNEL_FILE
/* Computes Batch's by_token[0 .. count) from tokens[0 .. count), which are all less than `vocabulary`. Runs on the
 * host. */
void embedding_sort(const int32_t *tokens, int64_t count, int64_t vocabulary, int32_t *by_token);
#endif

#endif
