/* The mathematics of path_attention (PaTH attention, arXiv 2505.16381), per head, and code that its kernels share.
 *
 *   H_t = I - beta_t w_t^T w_t
 *   l_ij = q_i H_i H_{i-1} .. H_{j+1} k_j^T,   s_ij = scale (l_ij + sum of g_{j+1} .. g_i)
 *
 * All vectors are rows. For a block of 64 tokens with the rows Q, K, W and b = beta:
 *
 *   Ti = (I + strict_tril(diag(b) W W^T))^-1      M = Ti diag(b)
 *   Z  = Ti strict_tril(diag(b) W K^T)            Y = tril(Q W^T)
 *   A  = tril(Q K^T - Y Z)                        logits inside the block
 *   R  = -M W                                     H_last .. H_first = I + W^T R, which a query of a later block passes
 *   Qt = Q + Y R                                  rows q_i H_i .. H_first
 *   Kt = K - Z^T W                                rows k_j H_{j+1} .. H_last
 *
 * A block of queries passes the blocks of keys from right to left. It starts with Q = Qt before its own block; the
 * logits of a block of keys are Q Kt^T, and then Q <- Q + (Q W^T) R. The sum of g between two tokens of different
 * blocks is f_i + p + e_j: f_i is the sum from the start of i's block up to i, e_j that from after j to the end of j's
 * block, and p that over all blocks between.
 *
 * Documents: pairs of tokens of different documents are masked, and between two tokens of one document there is no H of
 * another. */
#ifndef FLAME_KERNELS_SOFTMAX_PATH_ATTENTION_PATH_ATTENTION_BLOCK_H
#define FLAME_KERNELS_SOFTMAX_PATH_ATTENTION_PATH_ATTENTION_BLOCK_H

#include "kernels/softmax/online_softmax.h"

enum { ROWS = CHUNK_ROWS, SQUARE = ROWS * ROWS };

/* Token i of the block in [N], or the last one past the end. */
DEVICE int64_t token_of_block(Rows rows, int64_t i) { return rows.first + (i < rows.count ? i : rows.count - 1); }

/* The offset of the square of a block and a head, of `heads` heads. */
DEVICE int64_t square_at(const PathAttentionArguments *a, int64_t heads, int64_t sequence, int64_t index,
                         int64_t head) {
    return chunk_offset(a->blocks, heads, sequence, index, head, SQUARE);
}

/* f and e of a token of a block; 0 without forget. */
DEVICE float from_start_of(const PathAttentionArguments *a, int64_t sequence, int64_t index, int64_t head, int64_t i) {
    return a->forget ? a->gates[chunk_offset(a->blocks, a->heads, sequence, index, head, 2 * ROWS) + i] : 0.0f;
}
DEVICE float to_end_of(const PathAttentionArguments *a, int64_t sequence, int64_t index, int64_t head, int64_t i) {
    return a->forget ? a->gates[chunk_offset(a->blocks, a->heads, sequence, index, head, 2 * ROWS) + ROWS + i] : 0.0f;
}
/* The sum of g over a block. */
DEVICE float forget_of_block(const PathAttentionArguments *a, int64_t sequence, int64_t index, int64_t head) {
    return from_start_of(a, sequence, index, head, ROWS - 1);
}

/* The offset of a token's number in [B, heads, T]. */
DEVICE int64_t entry_of_token(const PathAttentionArguments *a, int64_t sequence, int64_t head, int64_t t) {
    return (sequence * a->heads + head) * a->T + t;
}

/* The first block of keys that a query of the block sees. */
DEVICE int64_t first_key_block(const PathAttentionArguments *a, Rows queries) {
    return a->first_key[queries.first] / ROWS;
}

/* Masks scores by a block of keys from token s0 of the sequence on: sets them to -infinity where a query and a key
 * belong to different documents. `first` is scratch: row values. */
#define mask_documents(scores, first, rows, first_key, s0)                                                             \
    do {                                                                                                               \
        if ((first_key)[token_of_block(rows, ROWS - 1)] > (s0)) {                                                      \
            EACH_ROW_VALUE(first, r_, i_)                                                                              \
            first[r_] = (float)((first_key)[token_of_block(rows, i_)] - (s0));                                         \
            MAP(scores, i_, j_, x_, x_ = (float)j_ >= ROW_VALUE(first, i_) ? x_ : -INFINITY);                          \
        }                                                                                                              \
    } while (0)
/* Masks scores of a block with itself: also where a key comes after the query. */
#define mask_diagonal(scores, first, rows, first_key, s0)                                                              \
    do {                                                                                                               \
        mask_documents(scores, first, rows, first_key, s0);                                                            \
        MAP(scores, i_, j_, x_, x_ = j_ <= i_ ? x_ : -INFINITY);                                                       \
    } while (0)

#endif
