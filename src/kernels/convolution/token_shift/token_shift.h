/* Arguments of the token_shift kernel, shared by host and device; strides in elements. */
#ifndef FLAME_KERNELS_CONVOLUTION_TOKEN_SHIFT_TOKEN_SHIFT_H
#define FLAME_KERNELS_CONVOLUTION_TOKEN_SHIFT_TOKEN_SHIFT_H

#include <stdbool.h>
#include <stdint.h>

/* to_t = from_{t+step}, or 0 if that token is not in the same document. step is -1, or 1 for the gradient. */
typedef struct TokenShiftArguments {
    const void *from;
    void *to;
    const int32_t *position;
    int64_t rows, cols, step, rows_per_program, from_stride, to_stride;
    bool fp32; /* from and to are fp32; otherwise they are elements */
} TokenShiftArguments;

#endif
