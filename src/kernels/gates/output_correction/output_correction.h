/* Arguments of the output_correction kernels, shared by host and device; strides in elements. */
#ifndef FLAME_KERNELS_GATES_OUTPUT_CORRECTION_OUTPUT_CORRECTION_H
#define FLAME_KERNELS_GATES_OUTPUT_CORRECTION_OUTPUT_CORRECTION_H

#include <stdint.h>

/* z = q - D sigmoid(decay) k for rows of `heads` heads of `cols` columns, with D and decay [heads]; backward: dq = dz,
 * dk = -D sigmoid(decay) dz, and, for each row and head, the sums over its columns of -sigmoid(decay) dz k and -D
 * sigmoid'(decay) dz k, which are terms of dD and ddecay. A gradient has the stride of its tensor. */
typedef struct OutputCorrectionArguments {
    const void *q, *k, *D, *decay, *dz;
    void *z, *dq, *dk;
    float *partial; /* [rows, 2, heads] */
    int64_t rows, heads, cols, rows_per_program, q_stride, k_stride, z_stride;
} OutputCorrectionArguments;

#endif
