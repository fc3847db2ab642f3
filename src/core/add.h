/* Arguments of the add kernel, shared by host and device. */
#ifndef FLAME_CORE_ADD_H
#define FLAME_CORE_ADD_H

#include <stdint.h>

/* z = x + y, matrices of rows x cols elements, strides in elements. z may be x or y. */
typedef struct AddArguments {
    const void *x, *y;
    void *z;
    int64_t rows, cols, x_stride, y_stride, z_stride;
    int64_t rows_per_program; /* set by add_launch */
} AddArguments;

#ifndef FLAME_KERNEL_FILE
#include "core/device.h"
/* Runs the kernel directly, without a node on a tape. The tape adds gradients with it. */
void add_launch(const Device *device, DType type, const AddArguments *arguments);
#endif

#endif
