/* Arguments of the attention_past kernel, shared by host and device. */
#ifndef FLAME_KERNELS_SOFTMAX_ATTENTION_ATTENTION_PAST_H
#define FLAME_KERNELS_SOFTMAX_ATTENTION_ATTENTION_PAST_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/heads.h"
#include "tile/rows.h"

enum { PAST_KEYS = 64, PAST_HEAD = 256 }; /* keys of a block; the most columns of a head */

/* The rows of earlier tokens: for each sequence a ring with token n at place n % capacity (core/carried.h). */
typedef struct PastRows {
    const void *data; /* [B, capacity, columns] */
    int64_t capacity;
} PastRows;
/* The row of the token with number `token` in its sequence. */
HOST_AND_DEVICE int64_t past_row(PastRows ring, int64_t sequence, int64_t token) {
    return sequence * ring.capacity + token % ring.capacity;
}

/* Softmax attention of T new tokens of each sequence to themselves and to `past` tokens before them: those of the
 * `tokens` earlier ones that the rings still hold. Programs: x over the new tokens of all sequences, y over heads. */
typedef struct AttentionPastArguments {
    Heads q, k, v, out;
    const float *g; /* log gates [B*T, heads], or NULL */
    PastRows past_k, past_v, past_g;
    const int32_t *position;
    Heads from;        /* out is the attention's mean m if data is NULL, otherwise `from` - beta m */
    const void *beta;  /* elements [B*T, heads] */
    bool strict;       /* a token does not see itself; T is 1 then, and there are no gates */
    bool keys_in_ring; /* T is 1, and past_k holds fp32 keys, including the new one */
    int64_t T, tokens, past, g_stride, beta_stride;
    int64_t head_dim, heads, kv_heads;
    int64_t window; /* a token sees this many of the last tokens, itself included */
    float scale, gate_scale;
} AttentionPastArguments;

#ifndef FLAME_KERNEL_FILE
#include "core/tape.h"
/* Whether the node's forward computes new tokens of sequences that go on from earlier calls, and few enough of them to
 * read the past rows in place (PAST_READ). */
bool attention_past_fits(const Node *node);
PastRows past_rows(const CarriedRows *rows);
/* Sets the arguments that all callers have in common, then launches the kernel. k, v and g are the numbers of the
 * node's inputs (input g may be NULL); they and their past rows, and the output, become arguments. */
void attention_past(const Node *node, int k, int v, int g, AttentionPastArguments *arguments);
#endif

#endif
