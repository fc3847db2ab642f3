/* Arguments of the attention_past kernel, shared by host and device. */
#ifndef FLAME_KERNELS_SOFTMAX_ATTENTION_ATTENTION_PAST_H
#define FLAME_KERNELS_SOFTMAX_ATTENTION_ATTENTION_PAST_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/heads.h"
#include "tile/rows.h"

enum { PAST_KEYS = 64, PAST_HEAD = 256 }; /* keys of a block, columns of a head at most */

/* Rows of earlier tokens: a ring for each sequence, in which token n is at place n % capacity (core/carried.h). */
typedef struct PastRows {
    const void *data; /* [B, capacity, columns] */
    int64_t capacity;
} PastRows;
/* The row of token number `token` of a sequence. */
HOST_AND_DEVICE int64_t past_row(PastRows ring, int64_t sequence, int64_t token) {
    return sequence * ring.capacity + token % ring.capacity;
}

/* Softmax attention of T new tokens of each sequence to themselves and to `past` tokens before them, as many as the
 * rings hold of the `tokens` so far. Programs: x over the new tokens of all sequences, y over heads. */
typedef struct AttentionPastArguments {
    Heads q, k, v, out;
    const float *g; /* log gates [B*T, heads], or NULL */
    PastRows past_k, past_v, past_g;
    const int32_t *position;
    Heads from;        /* data NULL: out is the attention's mean, else `from` less beta times the mean, */
    const void *beta;  /* elements [B*T, heads], */
    bool strict;       /* of the tokens before a token without itself; T is 1 then, and there are no gates */
    bool keys_in_ring; /* T is 1, and past_k holds fp32 keys, the new one, too */
    int64_t T, tokens, past, g_stride, beta_stride;
    int64_t head_dim, heads, kv_heads;
    int64_t window; /* a token sees as many of the last tokens, itself included */
    float scale, gate_scale;
} AttentionPastArguments;

#ifndef FLAME_KERNEL_FILE
#include "core/tape.h"
/* Whether the node's forward is new tokens, few enough, of sequences that it goes on with (PAST_READ). */
bool attention_past_fits(const Node *node);
PastRows past_rows(const CarriedRows *rows);
/* Sets what all kinds have: k, v and g, which are the node's inputs of these numbers (g may be NULL), with their past,
 * and the output. Launches the kernel. */
void attention_past(const Node *node, int k, int v, int g, AttentionPastArguments *arguments);
#endif

#endif
