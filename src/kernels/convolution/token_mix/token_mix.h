/* Arguments of the token_mix kernels, shared by host and device; strides in elements. */
#ifndef FLAME_KERNELS_CONVOLUTION_TOKEN_MIX_TOKEN_MIX_H
#define FLAME_KERNELS_CONVOLUTION_TOKEN_MIX_TOKEN_MIX_H

#include <stdbool.h>
#include <stdint.h>

enum {
    TOKEN_MIX_MOST = 6,   /* the most outputs */
    TOKEN_MIX_ROWS = 128, /* rows of a program */
    TOKEN_MIX_COLS = 256, /* columns of a program on a GPU; a CPU reads longer pieces of rows faster */
    TOKEN_MIX_CPU_COLS = 4 * TOKEN_MIX_COLS
};

/* out_i,t = x_t + (x'_t - x_t) m_i,t, where x'_t is x_{t-1}, or 0 for the first token of a document, and m_i,t = mu_i +
 * offset_i. Programs: x over blocks of columns, y over blocks of rows. */
typedef struct TokenMixArguments {
    const void *x;
    const void *mu[TOKEN_MIX_MOST]; /* [cols] if `parameters`, else [rows, cols] */
    const void *offset;             /* [count, cols]; NULL for 0, and always if `parameters` */
    const int32_t *position;
    void *out[TOKEN_MIX_MOST];
    int64_t rows, cols, cols_per_program, count, x_stride, mu_stride[TOKEN_MIX_MOST], out_stride;
    bool parameters;
} TokenMixArguments;

/* With u_t = sum over i of m_i,t dout_i,t: dx_t = sum over i of dout_i,t - u_t + u_{t+1}, where u_{t+1} is 0 for the
 * last token of a document; dm_i,t = (x'_t - x_t) dout_i,t. doffset_i is the sum of dm_i over t. dmu_i is dm_i or, for
 * parameters, its sum over t. Gradients of activations have the strides of their tensors. Programs as above. */
typedef struct TokenMixBackwardArguments {
    const void *x;
    const void *mu[TOKEN_MIX_MOST], *dout[TOKEN_MIX_MOST];
    const void *offset;
    const int32_t *position;
    void *dx, *dmu[TOKEN_MIX_MOST];
    float *partial; /* [blocks of rows, count, cols] parts of the sums over t; NULL if there are no such sums */
    int64_t rows, cols, cols_per_program, count, x_stride, mu_stride[TOKEN_MIX_MOST], out_stride;
    bool parameters;
} TokenMixBackwardArguments;

#endif
