/* Arguments of the attention kernels, shared by host and device. */
#ifndef FLAME_KERNELS_SOFTMAX_ATTENTION_ATTENTION_H
#define FLAME_KERNELS_SOFTMAX_ATTENTION_ATTENTION_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/heads.h"

/* The tokens of a block, by the head size that its kernel is for: queries in the forward pass, queries or keys in the
 * backward pass. On a CPU more tokens would only mean more pairs that are computed and then masked; on a GPU 128 keys
 * of 64 columns would leave no registers for gates. A program has up to ATTENTION_BLOCKS blocks. */
#define ATTENTION_FORWARD_ROWS(gpu, head)    ((gpu) && (head) <= 128 ? 128 : 64)
#define ATTENTION_QUERY_ROWS(gpu, head)      ((gpu) && (head) <= 64 ? 128 : 64)
#define ATTENTION_KEY_ROWS(gpu, head, gates) ((gpu) && (head) <= ((gates) ? 32 : 64) ? 128 : 64)
#define ATTENTION_BLOCKS(gpu, head)          ((gpu) ? 1 : (head) <= 128 ? 4 : 2)
/* The tokens of a program that has no tiles, and the most tiles that they make up. */
enum { ATTENTION_TOKENS = 64, ATTENTION_TILES = 2 };

/* Matrices have one row per token, T of them per sequence. */
typedef struct AttentionArguments {
    Heads q, k, v, out, dout;
    Heads dq, dk, dv;                /* their data may be NULL */
    float *log_sum_exp;              /* [B, heads, T], to base 2 */
    float *row_sums;                 /* [B, heads, row_sums_of_head]: log_sum_exp and delta, with zeros past T */
    int32_t *first_key, *last_query; /* [B, T]: the first key that a query sees, the last query that sees a key */
    const int32_t *segment;
    const float *decay; /* [B, heads, decay_of_head]: RunningSums of the log gates / scale; NULL: no gates */
    float *gradient_of_query, *gradient_of_key; /* [B, heads, tokens]: dc_t is the first minus the second */
    /* On the CPU: the contribution of each part of the keys to dq / scale, [parts, B, heads, T, head_dim].
     * gradient_of_query then has parts too, [parts, B, heads, tokens], and its first part becomes their sum. */
    float *query_sums;
    int64_t parts, sequences;
    int64_t T, head_dim, heads, kv_heads;
    int64_t tokens, decay_of_head; /* T rounded up to blocks of ATTENTION_TOKENS; entries of a head's running sums */
    int64_t row_sums_of_head;      /* for whole programs, so that tiles begin at multiples of 16 bytes and end inside */
    int64_t forward_blocks;        /* blocks of a program */
    int64_t window;                /* at most T */
    float scale;
    bool aligned; /* heads of q, k, v and dout begin and end at multiples of 16 bytes */
} AttentionArguments;

/* Running sums over time of factor * (x - minus), stored tile after tile: for each token the sum from the tile's first
 * token on; then the sum of all tiles before, as two numbers, the second of which is the remainder that fp32 has no
 * room for; then two unused entries. So the difference of two sums is as exact as if summation had begun at one of
 * them. */
enum { SUMS_BEFORE = 4 };
#define RUNNING_SUMS(blocks) ((blocks) * (ATTENTION_TOKENS + ATTENTION_TILES * SUMS_BEFORE))
typedef struct RunningSumsArguments {
    const float *x, *minus; /* minus may be NULL */
    int64_t token_stride, head_stride, sequence_stride;
    float *sums;   /* [B, heads, sums_of_head] */
    double *parts; /* [B, heads, RUNNING_SUM_PARTS]: the sums over parts of the tiles */
    int64_t T, heads, tokens, sums_of_head;
    float factor;
} RunningSumsArguments;
/* Tiles of a program (a walk for each) and heads of a program; parts of the tiles of a sequence. */
enum { RUNNING_SUM_WALKS = 4, RUNNING_SUM_HEADS = 32, RUNNING_SUM_PARTS = 128 };

/* df_s = sum of dc_t over the tokens t = s .. end of the document; 0 at a document's first token. */
typedef struct GateGradientArguments {
    const float *sums; /* [B, heads, sums_of_head]: RunningSums of dc */
    float *dg;         /* [B T, heads] */
    const int32_t *segment, *last_query;
    int64_t T, heads, sums_of_head, stride;
} GateGradientArguments;

#ifndef FLAME_KERNEL_FILE
#include "core/tape.h"

/* The kernels that write dq, dk and dv, and the number of tokens of a program: on a GPU a kernel for queries and one
 * for keys, on the CPU one for all three. */
typedef struct AttentionGradients {
    int64_t query_rows, key_rows, rows;
    Kernel queries, keys, all;
} AttentionGradients;
#define ATTENTION_GRADIENTS(head, gates, suffix)                                                                       \
    {                                                                                                                  \
        .query_rows = ATTENTION_QUERY_ROWS(1, head), .key_rows = ATTENTION_KEY_ROWS(1, head, gates),                   \
        .rows = ATTENTION_BLOCKS(0, head) * ATTENTION_KEY_ROWS(0, head, gates),                                        \
        .queries = KERNEL_attention_queries##suffix##_##head, .keys = KERNEL_attention_keys##suffix##_##head,          \
        .all = KERNEL_attention_gradients##suffix##_##head                                                             \
    }

/* Launches these kernels for the gradients that are not NULL in the arguments. With gates (decay), also writes
 * gradient_of_query and gradient_of_key, in workspace that it takes. */
void attention_gradients(const Node *node, const AttentionGradients *kernels, AttentionArguments *arguments);
#endif

#endif
