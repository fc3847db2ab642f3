/* Arguments of the squared_error kernels, shared by host and device; strides in elements. */
#ifndef FLAME_KERNELS_VOCABULARY_SQUARED_ERROR_SQUARED_ERROR_H
#define FLAME_KERNELS_VOCABULARY_SQUARED_ERROR_SQUARED_ERROR_H

#include <stdint.h>

enum { ERROR_ROWS = 1024 }; /* rows per program */

/* loss = (y - value)^2, dy = 2 (y - value), dvalue = -dy; all 0 where the label is negative. */
typedef struct SquaredErrorArguments {
    const void *y;
    const float *value;
    const int32_t *labels;
    float *loss; /* of forward */
    void *dy;    /* of backward; NULL: not wanted */
    float *dvalue;
    int64_t rows, y_stride;
} SquaredErrorArguments;

#endif
