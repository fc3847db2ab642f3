/* The gradient of a weight that all rows share: an op's backward kernel writes rows of partial sums, and column_sum
 * adds these rows to the gradient. */
#ifndef FLAME_KERNELS_BASIC_COLUMN_SUM_COLUMN_SUM_H
#define FLAME_KERNELS_BASIC_COLUMN_SUM_COLUMN_SUM_H

#include <stdbool.h>
#include <stdint.h>

/* A program sums COLUMN_SUM_COLS columns over a group of rows, and loads COLUMN_SUM_STEP rows at a time. */
enum { COLUMN_SUM_COLS = 128, COLUMN_SUM_STEP = 8 };

/* sums[g * cols + i] = the sum over the rows r of group g of partial[r * stride + i], in the order of the rows. With
 * `add`, that is added to `sums` instead. Programs: x over blocks of columns, y over groups. */
typedef struct ColumnSumArguments {
    const float *partial; /* [rows, cols], rows `stride` numbers apart */
    float *sums;          /* [groups, cols] */
    int64_t rows, cols, stride;
    int64_t group; /* rows per group */
    bool add;
} ColumnSumArguments;

#ifndef FLAME_KERNEL_FILE
#include "core/tape.h"
/* Adds the sums of the columns of partial [rows, number of the parameter's elements] to the parameter's gradient. Does
 * nothing if the parameter is frozen. The order of the summation depends only on `rows`. */
void column_sum(Tape *tape, const float *partial, int64_t rows, const Tensor *parameter);
/* The same for several parameters, which lie side by side in the columns of partial. */
void column_sums(Tape *tape, const float *partial, int64_t rows, Tensor *const parameter[], int count);
#endif

#endif
