/* Code that the kernels of recurrences with gates per channel share, for chunks of 64 rows. Gates are only ever summed
 * over the rows between two rows, block by block of BLOCK rows. */
#ifndef FLAME_KERNELS_RECURRENCES_VECTOR_GATES_H
#define FLAME_KERNELS_RECURRENCES_VECTOR_GATES_H

#include "kernels/recurrences/chunk.h"

enum { BLOCK = 16, BLOCKS = CHUNK_ROWS / BLOCK };

/* e^x, where x is a sum of gates. */
#define DECAY(x) exp2_f((x)*1.44269504f)

/* document[i] = the segment number of row i, counted from that of the first row; -1 past the last row. */
DEVICE void rows_documents(float *document, const int32_t *segment, Rows rows) {
    EACH (i, CHUNK_ROWS) document[i] = i < rows.count ? (float)(segment[rows.first + i] - segment[rows.first]) : -1.0f;
}

/* weight[i] = 1 if row i belongs to document `wanted`, else 0. */
DEVICE void rows_of_document(float *weight, const int32_t *segment, Rows rows, int32_t wanted) {
    EACH (i, CHUNK_ROWS)
        weight[i] = i < rows.count && segment[rows.first + (i < rows.count ? i : 0)] == wanted ? 1.0f : 0.0f;
}

/* sums [BLOCKS, width] = the sums of the gates in each block. For every row and column d, the statements see `sum`,
 * from the start of the block up to and including the row. */
#define SUM_GATES(sums, g, row, d, sum, ...)                                                                           \
    BLOCK_WALK(sum, 0.0f, b_, BLOCKS, d, sums##_cols, i_, BLOCK, const int row = b_ * BLOCK + i_;                      \
               sum += ENTRY(g, row, d); __VA_ARGS__; if (i_ == BLOCK - 1) ENTRY(sums, b_, d) = sum)
/* The same, but `sum` is that of the gates in the block after the row, and the sums of blocks are not kept. */
#define SUM_GATES_AFTER(g, row, d, sum, ...)                                                                           \
    BLOCK_WALK(sum, 0.0f, b_, BLOCKS, d, g##_cols, i_, BLOCK, const int row = b_ * BLOCK + BLOCK - 1 - i_;             \
               const float gate_ = ENTRY(g, row, d); __VA_ARGS__; sum += gate_)
/* The sums over the blocks before b, over those after b, and over all blocks. */
#define SUM_BEFORE(sums, b, d)                                                                                         \
    (((b) > 0 ? ENTRY(sums, 0, d) : 0.0f) + ((b) > 1 ? ENTRY(sums, 1, d) : 0.0f) + ((b) > 2 ? ENTRY(sums, 2, d) : 0.0f))
#define SUM_AFTER(sums, b, d)                                                                                          \
    (((b) < 1 ? ENTRY(sums, 1, d) : 0.0f) + ((b) < 2 ? ENTRY(sums, 2, d) : 0.0f) + ((b) < 3 ? ENTRY(sums, 3, d) : 0.0f))
#define SUM_ALL(sums, d) (ENTRY(sums, 0, d) + SUM_AFTER(sums, 0, d))

#endif
