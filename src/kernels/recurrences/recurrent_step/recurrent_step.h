/* Arguments of the recurrent_step kernel, shared by host and device. Strides in elements.
 *
 * One token of the recurrences whose state S [K, V] per head is made of outer products, computed as their equations
 * say; chunks pay off only for many tokens. All kinds have this form, with D = diag(e^g), where g is one number or has
 * one for each key channel:
 *
 *   read = a S; if the keys erase, k D S or k S
 *   w = e^s v; if the keys erase, beta (v - read)
 *   S' = D S + b read + k w^T,  o = scale q S' + skip v
 *
 * If a token has several steps, o reads the state after the last one, and D is I after the first. If o is of the
 * state's rows (of_rows), o = scale S' q, and nothing is read or erased. */
#ifndef FLAME_KERNELS_RECURRENCES_RECURRENT_STEP_RECURRENT_STEP_H
#define FLAME_KERNELS_RECURRENCES_RECURRENT_STEP_RECURRENT_STEP_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/heads.h"

/* Columns of a program; the most key channels; the most constant decays. */
enum { RECURRENT_STEP_COLS = 64, RECURRENT_STEP_K = 576, RECURRENT_STEP_DECAYS = 128 };
/* Rows of a program if o is of the state's rows. */
enum { RECURRENT_STEP_ROWS = 16 };

typedef enum RecurrentErasing {
    ERASES_NOTHING,
    ERASES_DECAYED, /* the keys erase what they read from the state after its decay */
    ERASES_BEFORE   /* the keys erase what they read from the state before its decay */
} RecurrentErasing;

typedef struct RecurrentStepArguments {
    /* One row for each sequence; k, v and beta have one for each of its steps. State n is read by the `queries` query
     * heads from n / q_group * queries on; its key head is n / k_group, its value head n / v_group. */
    Heads q, k, v, o;
    Heads a, b;                /* as many heads as k; data NULL: none */
    const float *g, *beta, *s; /* g: [B, heads*K] or [B, heads], beta and s: [B, heads]; NULL: constant, 1, 0 */
    const void *skip;          /* elements [heads]; NULL: 0 */
    const float *state;        /* [B*heads*K, V]; may be the same as `final` */
    float *final;
    int64_t g_stride, beta_stride, s_stride, K, V, heads, queries, steps, q_group, k_group, v_group;
    RecurrentErasing erases;
    bool of_channels; /* g has a number for each key channel */
    bool of_rows;     /* o is of the state's rows; k's data may then be NULL: 1 */
    bool o_f32;       /* with of_rows: o is fp32, not elements */
    float scale;
    float log_decay[RECURRENT_STEP_DECAYS]; /* of each head, if g is NULL */
} RecurrentStepArguments;

#ifndef FLAME_KERNEL_FILE
#include "core/tape.h"
/* Whether the node's forward computes one token of sequences that go on from earlier calls, with heads of K key
 * channels, and the kernel can do this. */
bool recurrent_step_fits(const Node *node, int64_t K);
/* Sets the arguments that all callers have in common, then launches the kernel: the output, and the state, which is the
 * node's input number `state` before the token and its last output after it. */
void recurrent_step(const Node *node, int state, RecurrentStepArguments *arguments);
#endif

#endif
