/* Arguments of the simplicial_step kernel, shared by host and device. */
#ifndef FLAME_KERNELS_SOFTMAX_SIMPLICIAL_ATTENTION_SIMPLICIAL_STEP_H
#define FLAME_KERNELS_SOFTMAX_SIMPLICIAL_ATTENTION_SIMPLICIAL_STEP_H

#include "kernels/softmax/attention/attention_past.h"

enum { SIMPLICIAL_STEP_KEYS = 64, SIMPLICIAL_STEP_HEAD = 128 }; /* first keys at a time; the most columns of a head */

/* simplicial_attention of one new token of each sequence to itself and to the tokens before it, whose rows are in
 * rings. */
typedef struct SimplicialStepArguments {
    Heads q, k1, v1, k2, v2, out; /* one row for each sequence */
    PastRows past_k1, past_v1, past_k2, past_v2;
    const int32_t *position; /* [B] */
    int64_t tokens;          /* tokens before the new one */
    int64_t past;            /* how many of them the rings still hold, at most */
    int64_t head_dim, heads, kv_heads, window1, window2;
    float scale, k2_bias, v2_bias;
} SimplicialStepArguments;

#endif
