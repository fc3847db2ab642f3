/* Arguments of the recurrent_step kernel, shared by host and device. Strides in elements.
 *
 * One token of the recurrences with a state of outer products, S [K, V] for each head, in the form that their equations
 * have; chunks of tokens are for many. What the kinds share: with D = diag(e^g), g of the key's channels or one number,
 *
 *   read = a S, or where the keys erase, k D S or k S
 *   w = e^s v, or where the keys erase, beta (v - read)
 *   S' = D S + b read + k w^T,  o = scale q S' + skip v
 *
 * Where a token has several steps, o is of the state after the last, and D is I after the first. Where o is of the rows
 * of the state, o = scale S' q, and nothing is read or erased. */
#ifndef FLAME_KERNELS_RECURRENCES_RECURRENT_STEP_RECURRENT_STEP_H
#define FLAME_KERNELS_RECURRENCES_RECURRENT_STEP_RECURRENT_STEP_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/heads.h"

/* Columns of a program; key channels, and constant decays, at most. */
enum { RECURRENT_STEP_COLS = 64, RECURRENT_STEP_KEYS = 576, RECURRENT_STEP_DECAYS = 128 };
/* Rows of a program where o is of the rows of the state. */
enum { RECURRENT_STEP_ROWS = 16 };

typedef enum RecurrentErasing {
    ERASES_NOTHING,
    ERASES_DECAYED, /* by the keys, what is left of the state after its decay */
    ERASES_BEFORE   /* the state before its decay */
} RecurrentErasing;

typedef struct RecurrentStepArguments {
    Heads q, k, v, o;          /* a row for each sequence, of k, v and beta one for each of its steps; state n is of
                                  query heads n / q_group * queries and the queries - 1 behind it, and so on */
    Heads a, b;                /* of as many heads as k; data NULL: none */
    const float *g, *beta, *s; /* [B, heads*K] or [B, heads], [B, heads], [B, heads]; NULL: constant, 1, 0 */
    const void *skip;          /* elements [heads]; NULL: 0 */
    const float *state;        /* [B*heads*K, V]; may be `final` */
    float *final;
    int64_t g_stride, beta_stride, s_stride, K, V, heads, queries, steps, q_group, k_group, v_group;
    RecurrentErasing erases;
    bool of_channels; /* g is */
    bool of_rows;     /* o is; k's data may be NULL: 1 */
    bool o_f32;       /* where o is of rows: it is fp32, not elements */
    float scale;
    float log_decay[RECURRENT_STEP_DECAYS]; /* of each head, where there is no g */
} RecurrentStepArguments;

#ifndef FLAME_KERNEL_FILE
#include "core/tape.h"
/* Whether the node's forward is one token of sequences that it goes on with, with heads of K key channels. */
bool recurrent_step_fits(const Node *node, int64_t K);
/* Sets what all kinds have: the state, which is the node's input `state` before and its last output after the token,
 * and the output. Launches the kernel. */
void recurrent_step(const Node *node, int state, RecurrentStepArguments *arguments);
#endif

#endif
