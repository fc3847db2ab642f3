/* Arguments of the path_attention kernels, shared by host and device. */
#ifndef FLAME_KERNELS_SOFTMAX_PATH_ATTENTION_PATH_ATTENTION_H
#define FLAME_KERNELS_SOFTMAX_PATH_ATTENTION_PATH_ATTENTION_H

#include <stdint.h>

#include "kernels/chunk.h"

/* Heads have entries of the element type. The letters are those of path_attention_block.h. Arrays without a stride are
 * contiguous. */
typedef struct PathAttentionArguments {
    Heads q, out;                          /* [N, heads*D] */
    Heads k, v, w;                         /* [N, kv_heads*D] */
    const float *beta, *forget;            /* [N, kv_heads], [N, heads]; forget may be NULL */
    const int32_t *first_key, *last_query; /* [B, T]: the first and last token of a token's document */
    Heads turned_q, turned_k, turn;        /* Qt as q, Kt and R as k */
    void *inverse, *between;               /* elements [B, blocks, kv_heads, 64, 64]: Ti, Z */
    float *logits;                         /* [B, blocks, heads, 64, 64]: A */
    float *gates;                          /* [B, blocks, heads, 2, 64]: f, e; NULL without forget */
    float *log_sum_exp;                    /* [B, heads, T], to base 2 */

    Heads dout, dturned_q;
    Heads dq, dk, dv, dw;
    float *dbeta, *dforget;
    float *delta;              /* [B, heads, T]: the sum of out times its gradient */
    float *dbetween;           /* [B, blocks, kv_heads, 64, 64]: the gradient of Z */
    float *forget_sums;        /* [B, heads, T]: the gradient of the sum of forget up to a token; all sums start at 0 */
    float *k_sums;             /* [N, kv_heads*D], like the next four: the gradient of k inside its block */
    float *turned_k_sums;      /* the gradient of Kt */
    float *turn_sums;          /* the gradient of R */
    float *v_sums, *w_sums;    /* the gradients of v and w */
    void *passing;             /* elements [B, heads, queries, keys, 64, D]: Q of a pair of blocks */
    void *dpassing;            /* likewise, its gradient from all keys before the block */
    float *passed;             /* [B, heads, queries, keys]: p of a pair of blocks */
    int64_t first_query_block; /* of a round of backward: the pairs have queries of query_blocks blocks from it on */
    int64_t query_blocks;
    int64_t key_blocks; /* and keys of blocks 0 .. key_blocks - 1 */

    float *kept; /* [B, kept_capacity, kv_heads*D]: the k of each token so far, times the H of all tokens after it */
    int64_t kept_capacity;
    int64_t past; /* rows before the new ones; their k is the kept one, and their H is I */

    int64_t beta_stride, forget_stride, sums_stride;
    int64_t T, blocks, heads, kv_heads, head_dim;
    float scale;
} PathAttentionArguments;

#endif
