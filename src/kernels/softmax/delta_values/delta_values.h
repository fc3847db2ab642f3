/* Arguments of the delta_values kernels, shared by host and device. A is the softmax of the scores scale q_i k_j over
 * the tokens j < i of the document, and D = diag(beta). Primes are gradients:
 *
 *   (I + D A) u = v               y = A u
 *   (I + D A)^T v' = u'           beta'_i = -v'_i y_i        y' = -D v'
 *   s'_ij = A_ij (y'_i u_j - beta_i beta'_i), as in the backward of an attention with values u, output y and its
 *   gradient y'
 *
 * In blocks of 64 tokens, W = (I + D A)^-1 of a block with itself:
 *   u_b = W (v_b - D sum over blocks c < b of A_bc u_c)          v'_b = W^T (u'_b + sum over c > b of A_cb^T y'_c)
 * The sums over far blocks are computed for many blocks at the same time, those over near blocks for one block after
 * another. */
#ifndef FLAME_KERNELS_SOFTMAX_DELTA_VALUES_DELTA_VALUES_H
#define FLAME_KERNELS_SOFTMAX_DELTA_VALUES_DELTA_VALUES_H

#include <stdint.h>

#include "kernels/heads.h"

enum { DELTA_ROWS = 64 };
/* Columns of u that a program has. */
#define DELTA_COLS(head) ((head) < 128 ? (head) : 128)

typedef struct DeltaValuesArguments {
    Heads q, k, v, u, y;
    Heads du, dv, dy;
    const void *beta;         /* [B T, heads] */
    void *dbeta;              /* may be NULL */
    float *log_sum_exp;       /* for A's rows, to base 2: [B, heads, blocks, 64] */
    void *products, *inverse; /* A of each block with itself, and W: [B, heads, blocks, 64, 64] */
    float *far;               /* sums over far blocks: [B, blocks of a part, 64, heads * head_dim] */
    const int32_t *first_key, *last_query;
    float *row_sums; /* as in AttentionArguments, for the last step of backward */
    int64_t T, head_dim, heads, blocks, beta_stride, row_sums_of_head;
    int64_t first_block, end_block; /* the blocks of the part: first_block .. end_block - 1 */
    float scale;
} DeltaValuesArguments;

#endif
