/* Arguments of the rwkv7_keys kernels, shared by host and device; strides in elements. */
#ifndef FLAME_KERNELS_GATES_RWKV7_KEYS_RWKV7_KEYS_H
#define FLAME_KERNELS_GATES_RWKV7_KEYS_RWKV7_KEYS_H

#include <stdint.h>

/* x is the projected key, r the in-context learning rate. Per head: z = x scale, n = z / sqrt(sum(z^2) + eps);
 * key = x (1 + (r - 1) mix), reader = -n, writer = n r. Outputs and gradients have `stride`. */
typedef struct Rwkv7KeysArguments {
    const void *x, *rate, *scale, *mix; /* scale, mix [heads*cols] */
    void *key, *reader, *writer;
    float *inverse; /* [rows, heads]: 1 / sqrt(sum(z^2) + eps) */
    int64_t rows, heads, cols, rows_per_program, x_stride, rate_stride, stride;
    float eps;
} Rwkv7KeysArguments;

/* dn = r dwriter - dreader, dz = inverse (dn - n sum(n dn)): dx = dkey (1 + (r - 1) mix) + dz scale, dr = n dwriter +
 * dkey x mix, dscale = sum over rows of dz x, dmix = sum over rows of dkey x (r - 1). dx has the stride of x, dr that
 * of r.
 */
typedef struct Rwkv7KeysBackwardArguments {
    const void *x, *rate, *scale, *mix, *dkey, *dreader, *dwriter;
    const float *inverse;
    void *dx, *drate;
    float *partial_scale, *partial_mix; /* [programs over rows, heads*cols] parts of the sums */
    int64_t rows, heads, cols, rows_per_program, x_stride, rate_stride, stride;
} Rwkv7KeysBackwardArguments;

#endif
