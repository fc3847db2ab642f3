/* Arguments of the attention kernels, shared by host and device. */
#ifndef FLAME_KERNELS_SOFTMAX_ATTENTION_ATTENTION_H
#define FLAME_KERNELS_SOFTMAX_ATTENTION_ATTENTION_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/heads.h"

/* The tokens of a program, by the width of the heads that its kernel is for: queries in the forward pass; queries or
 * keys in the backward pass. On a CPU more of them only means more pairs that the mask takes back. */
#define ATTENTION_FORWARD_ROWS(gpu, head)  ((gpu) && (head) <= 128 ? 128 : 64)
#define ATTENTION_BACKWARD_ROWS(gpu, head) ((gpu) && (head) <= 64 ? 128 : 64)
enum { ATTENTION_TOKENS = 64 }; /* of a program that has no tiles */

/* Matrices have one row per token, T of them per sequence. */
typedef struct AttentionArguments {
    Heads q, k, v, out, out_gradient;
    Heads q_gradient, k_gradient, v_gradient; /* their data may be NULL */
    float *log_sum_exp;                       /* [B, heads, T], to base 2 */
    float *row_sums;                          /* [B, heads, row_sums_of_head]: log_sum_exp and delta, 0 past T */
    int32_t *first_key, *last_query;          /* [B, T]: the ends of what a query sees, and of what sees a key */
    const int32_t *segment;
    int64_t T, head_dim, heads, kv_heads;
    int64_t row_sums_of_head; /* of whole programs, so that tiles begin at 16 bytes and end inside */
    int64_t window;           /* at most T */
    float scale;
    bool aligned; /* heads of q, k, v and out_gradient begin and end at multiples of 16 bytes */
} AttentionArguments;

#endif
