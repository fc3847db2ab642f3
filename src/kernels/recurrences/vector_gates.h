/* Gates per channel in chunks of 64 rows: what the kernels of recurrences with vector gates share. Sums of gates are
 * taken over the rows between two rows only, in blocks of BLOCK rows. */
#ifndef FLAME_KERNELS_RECURRENCES_VECTOR_GATES_H
#define FLAME_KERNELS_RECURRENCES_VECTOR_GATES_H

#include "kernels/recurrences/chunk.h"

enum { BLOCK = 16, BLOCKS = CHUNK_ROWS / BLOCK };

/* e^x of a sum of gates. */
#define DECAY(x) exp2_f((x)*1.44269504f)

/* document[i] = the segment number of row i, counted from that of the first row. */
DEVICE void rows_documents(float *document, const int32_t *segment, Rows rows) {
    EACH (i, CHUNK_ROWS) document[i] = i < rows.count ? (float)(segment[rows.first + i] - segment[rows.first]) : -1.0f;
}

/* weight[i] = whether row i is of document `wanted`. */
DEVICE void rows_of_document(float *weight, const int32_t *segment, Rows rows, int32_t wanted) {
    EACH (i, CHUNK_ROWS)
        weight[i] = i < rows.count && segment[rows.first + (i < rows.count ? i : 0)] == wanted ? 1.0f : 0.0f;
}

/* sums, [BLOCKS, width], of the gates in each block. The statements see, for every row and column d, the `sum` from
 * the start of the block to the row. */
#define SUM_GATES(sums, g, row, d, sum, ...)                                                                           \
    BLOCK_WALK(sum, 0.0f, b_, BLOCKS, d, sums##_cols, i_, BLOCK, const int row = b_ * BLOCK + i_;                      \
               sum += ENTRY(g, row, d); __VA_ARGS__; if (i_ == BLOCK - 1) ENTRY(sums, b_, d) = sum)
/* The same with the sum of the gates in the block after the row. */
#define SUM_GATES_AFTER(g, row, d, sum, ...)                                                                           \
    BLOCK_WALK(sum, 0.0f, b_, BLOCKS, d, g##_cols, i_, BLOCK, const int row = b_ * BLOCK + BLOCK - 1 - i_;             \
               const float gate_ = ENTRY(g, row, d); __VA_ARGS__; sum += gate_)
/* The sums over the blocks before b, after b, and all. */
#define SUM_BEFORE(sums, b, d)                                                                                         \
    (((b) > 0 ? ENTRY(sums, 0, d) : 0.0f) + ((b) > 1 ? ENTRY(sums, 1, d) : 0.0f) + ((b) > 2 ? ENTRY(sums, 2, d) : 0.0f))
#define SUM_AFTER(sums, b, d)                                                                                          \
    (((b) < 1 ? ENTRY(sums, 1, d) : 0.0f) + ((b) < 2 ? ENTRY(sums, 2, d) : 0.0f) + ((b) < 3 ? ENTRY(sums, 3, d) : 0.0f))
#define SUM_ALL(sums, d) (ENTRY(sums, 0, d) + SUM_AFTER(sums, 0, d))

#endif
