/* Arguments of the codebook_attention kernels, shared by host and device.
 *
 * A document is cut into blocks of `block` tokens. A query of the block that begins at token s sees the tokens of its
 * document from s - window on one by one, and all before by their codes: for code c the number n_c of them and the mean
 * of their values. These sums are the memory of the block. */
#ifndef FLAME_KERNELS_SOFTMAX_CODEBOOK_ATTENTION_CODEBOOK_ATTENTION_H
#define FLAME_KERNELS_SOFTMAX_CODEBOOK_ATTENTION_CODEBOOK_ATTENTION_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/heads.h"

/* Tokens or codes of a program. */
enum { CODEBOOK_ROWS = 64 };
/* Tokens or codes that come at a time. */
#define CODEBOOK_TILE(gpu) ((gpu) ? 32 : 64)
/* Columns of values of a program, by the width of keys that its kernel is for. */
#define VALUE_COLS(head) ((head) < 64 ? 64 : 128)

/* A sequence has a memory for each `block` tokens, whole or not; that of the document's block that begins at token s is
 * number s / block. No other block with a memory that is not empty begins there. */
typedef struct CodebookArguments {
    Heads q, k, v, relative, out, out_gradient;
    Heads q_gradient, k_gradient, v_gradient, relative_gradient; /* their data may be NULL */
    const void *code;                                            /* [heads, codes, head_dim] */
    const int32_t *index;                                        /* [B T, heads]: each token's code */
    void *mean;                                                  /* of values: [B, memories, heads, codes, value_dim] */
    float *log_number;   /* ln n, -infinity for codes without tokens: [B, memories, heads, codes] */
    float *log_sum_exp;  /* [B, heads, T], to base 2 */
    float *delta;        /* [B, heads, T] */
    int32_t *last_query; /* [B, T]: the last one that sees the key itself */
    const int32_t *position, *segment;
    const float *sums, *numbers; /* of codebook_step.h, of what the tokens before the call read; NULL: none */
    int64_t past;                /* rows of each sequence before those of the call */
    int64_t B, T, heads, head_dim, value_dim, codes, block, window, memories;
    int64_t distances; /* columns of a head of `relative` */
    int64_t rows_per_program;
    float scale;
} CodebookArguments;

#endif
