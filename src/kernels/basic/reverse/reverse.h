/* Arguments of the reverse kernel, shared by host and device; strides in elements. */
#ifndef FLAME_KERNELS_BASIC_REVERSE_REVERSE_H
#define FLAME_KERNELS_BASIC_REVERSE_REVERSE_H

#include <stdint.h>

typedef struct ReverseArguments {
    const void *from;
    void *to;
    const int32_t *segment, *position;
    int64_t rows, T, cols, rows_per_program, from_stride, to_stride;
} ReverseArguments;

#endif
