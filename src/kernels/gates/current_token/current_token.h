/* Arguments of the current_token kernels, shared by host and device; strides in elements. */
#ifndef FLAME_KERNELS_GATES_CURRENT_TOKEN_CURRENT_TOKEN_H
#define FLAME_KERNELS_GATES_CURRENT_TOKEN_CURRENT_TOKEN_H

#include <stdint.h>

/* Per head: z = o + s v, s = sum over the K columns of q u k. u [heads, K]; q, k [rows, heads*K]; o, v, z [rows,
 * heads*V]. */
typedef struct CurrentTokenArguments {
    const void *o, *q, *k, *v, *u;
    void *z;
    int64_t rows, heads, K, V, rows_per_program, o_stride, q_stride, k_stride, v_stride, z_stride;
} CurrentTokenArguments;

/* With ds = dz v: dq = ds u k, dk = ds u q, dv = s dz, du = sum over rows of ds q k. A gradient has the stride of its
 * tensor. */
typedef struct CurrentTokenBackwardArguments {
    const void *q, *k, *v, *u, *dz;
    void *dq, *dk, *dv;
    float *partial; /* [programs over rows, heads, K] parts of du */
    int64_t rows, heads, K, V, rows_per_program, q_stride, k_stride, v_stride, dz_stride;
} CurrentTokenBackwardArguments;

#endif
