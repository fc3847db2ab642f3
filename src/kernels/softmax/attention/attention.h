/* Arguments of the attention kernels, shared by host and device. */
#ifndef FLAME_KERNELS_SOFTMAX_ATTENTION_ATTENTION_H
#define FLAME_KERNELS_SOFTMAX_ATTENTION_ATTENTION_H

#include <stdint.h>

enum { ATTENTION_ROWS = 64 }; /* queries, or keys, of a program */

/* Matrices of one row per token, heads side by side, strides in elements; T rows per sequence. A gradient has the
 * stride of its tensor. */
typedef struct AttentionArguments {
    const void *q, *k, *v, *out_gradient;
    void *out, *q_gradient, *k_gradient, *v_gradient; /* a gradient may be NULL */
    float *log_sum_exp, *delta;                       /* [N, heads] */
    const int32_t *segment;
    int64_t q_stride, k_stride, v_stride, out_stride;
    int64_t T, head_dim, heads, kv_heads;
    int64_t window; /* at most T */
    float scale;
} AttentionArguments;

#endif
