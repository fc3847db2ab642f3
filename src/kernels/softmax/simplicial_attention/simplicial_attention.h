/* Arguments of the simplicial_attention kernels, shared by host and device. */
#ifndef FLAME_KERNELS_SOFTMAX_SIMPLICIAL_ATTENTION_SIMPLICIAL_ATTENTION_H
#define FLAME_KERNELS_SOFTMAX_SIMPLICIAL_ATTENTION_SIMPLICIAL_ATTENTION_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/heads.h"

/* Rows of a program, which are queries or keys; rows of the other kind that are loaded at a time; offsets in the second
 * window for which keys are loaded at a time. */
enum { SIMPLICIAL_ROWS = 64, SIMPLICIAL_TILE = 32, SIMPLICIAL_OFFSETS = 32 };

/* Matrices have one row per token, T of them per sequence. */
typedef struct SimplicialArguments {
    Heads q, k1, v1, k2, v2, out, dout;
    Heads dq, dk1, dv1, dk2, dv2; /* their data may be NULL */
    float *log_sum_exp;           /* [B, heads, T], to base 2 */
    float *delta;                 /* [B, heads, T] */
    float
        *partial; /* [4, parts, B*T, kv_heads*head_dim]: on the CPU, dk1 / scale, dv1, dk2 / scale and dv2 of a part */
    const int32_t *position;
    int64_t parts, B, T, head_dim, heads, kv_heads;
    int64_t window1, window2; /* at most T */
    float scale, k2_bias, v2_bias;
    bool aligned; /* heads of k1 and v1 begin and end at multiples of 16 bytes */
} SimplicialArguments;

#endif
