/* Arguments of the add_loss kernels, shared by host and device. */
#ifndef FLAME_KERNELS_BASIC_ADD_LOSS_ADD_LOSS_H
#define FLAME_KERNELS_BASIC_ADD_LOSS_ADD_LOSS_H

#include <stdint.h>

/* y[row] = factor * (targets / T) * the sum of the row of x, which is also added to losses[row]. Backward: dx = factor
 * * targets / T. `targets` is the number of rows with a label among the T rows of the sequence, so that the sum over a
 * step does not depend on how its sequences are divided into batches. */
typedef struct AddLossArguments {
    const float *x;
    float *dx, *y;
    float *losses; /* may be NULL */
    const int32_t *labels;
    int64_t rows, T, cols, x_stride, rows_per_program;
    float factor;
} AddLossArguments;

#endif
