/* Arguments of the path_attention_step kernel, shared by host and device. */
#ifndef FLAME_KERNELS_SOFTMAX_PATH_ATTENTION_PATH_ATTENTION_STEP_H
#define FLAME_KERNELS_SOFTMAX_PATH_ATTENTION_PATH_ATTENTION_STEP_H

#include "kernels/heads.h"

enum { STEP_KEYS = 64, STEP_HEAD = 128 }; /* keys of a program; the most columns of a head */

/* Updates the kept keys for one new token of each sequence. The kept form of an old key, k_j H_{j+1} .. H_{t-1}, is
 * multiplied by H_t = I - beta w^T w; the new key is appended. Kept keys are fp32, because every token rounds all of
 * them again. */
typedef struct PathAttentionStepArguments {
    Heads k, w;                                                /* [B, kv_heads*D] */
    const float *beta;                                         /* [B, kv_heads] */
    float *kept;                                               /* [B, capacity, kv_heads*D] */
    int64_t capacity, tokens, beta_stride, kv_heads, head_dim; /* tokens: how many come before the new one */
} PathAttentionStepArguments;

#endif
