/* The gradient of a weight that all rows share: an op's backward kernel writes one row of partial sums per PARTIAL_ROWS
 * rows, and column_sum adds these rows, in order, to the gradient. */
#ifndef FLAME_KERNELS_BASIC_COLUMN_SUM_COLUMN_SUM_H
#define FLAME_KERNELS_BASIC_COLUMN_SUM_COLUMN_SUM_H

#include <stdint.h>

enum { COLUMN_SUM_COLS = 256 }; /* columns per program */

/* gradient[i] += sum over r of partial[r * cols + i]. */
typedef struct ColumnSumArguments {
    const float *partial; /* [rows, cols] */
    float *gradient;      /* [cols] */
    int64_t rows, cols;
} ColumnSumArguments;

#ifndef FLAME_KERNEL_FILE
#include "core/tape.h"
/* partial [rows, number of the parameter's elements]. Does nothing if the parameter is frozen. */
void column_sum(const Device *device, const float *partial, int64_t rows, const Tensor *parameter);
#endif

#endif
