/* Arguments of the simplicial_step kernel, shared by host and device. */
#ifndef FLAME_KERNELS_SOFTMAX_SIMPLICIAL_ATTENTION_SIMPLICIAL_STEP_H
#define FLAME_KERNELS_SOFTMAX_SIMPLICIAL_ATTENTION_SIMPLICIAL_STEP_H

#include "kernels/softmax/attention/attention_past.h"

enum { SIMPLICIAL_STEP_KEYS = 64, SIMPLICIAL_STEP_HEAD = 128 }; /* first keys at a time, columns of a head at most */

/* simplicial_attention of one new token of each sequence to itself and to tokens before it, in rings of one capacity
 * for each window. */
typedef struct SimplicialStepArguments {
    Heads q, k1, v1, k2, v2, out; /* a row for each sequence */
    PastRows past_k1, past_v1, past_k2, past_v2;
    const int32_t *position; /* [B] */
    int64_t tokens;          /* before the new one */
    int64_t past;            /* of them there are, at most */
    int64_t head_dim, heads, kv_heads, window1, window2;
    float scale, k2_bias, v2_bias;
} SimplicialStepArguments;

#endif
