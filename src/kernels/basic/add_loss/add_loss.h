/* Arguments of the add_loss kernels, shared by host and device. */
#ifndef FLAME_KERNELS_BASIC_ADD_LOSS_ADD_LOSS_H
#define FLAME_KERNELS_BASIC_ADD_LOSS_ADD_LOSS_H

#include <stdint.h>

/* y[row] = factor * (targets / rows) * the sum of the row of x, which is also added to losses[row]. Backward: dx =
 * factor * targets / rows. `targets` is the number of rows with a label. */
typedef struct AddLossArguments {
    const float *x;
    float *dx, *y;
    float *losses; /* may be NULL */
    const int32_t *labels;
    int64_t rows, cols, x_stride, rows_per_program;
    float factor;
} AddLossArguments;

#endif
