/* Arguments of the codebook_attention kernels, shared by host and device.
 *
 * A document is cut into blocks of `block` tokens. A query of the block that begins at token s sees the tokens of its
 * document from s - window on one by one, and all earlier ones through their codes: for code c, the number n_c of
 * tokens with this code and the mean of their values. These numbers and means are the memory of the block. */
#ifndef FLAME_KERNELS_SOFTMAX_CODEBOOK_ATTENTION_CODEBOOK_ATTENTION_H
#define FLAME_KERNELS_SOFTMAX_CODEBOOK_ATTENTION_CODEBOOK_ATTENTION_H

#include <stdint.h>

#include "kernels/heads.h"

/* Tokens or codes of a program. */
enum { CODEBOOK_ROWS = 64 };
/* Tokens or codes that are loaded at a time. */
#define CODEBOOK_TILE(gpu) ((gpu) ? 32 : 64)
/* Columns of values of a program, by the key size that its kernel is for. */
#define VALUE_COLS(head) ((head) < 64 ? 64 : 128)

/* A sequence has a memory for every `block` tokens, the last ones included. The block that begins at token s has memory
 * number s / block. No two blocks whose memory is not empty have the same number. */
typedef struct CodebookArguments {
    Heads q, k, v, relative, out, dout;
    Heads dq, dk, dv, drelative; /* their data may be NULL */
    const void *code;            /* [heads, codes, head_dim] */
    const int32_t *index;        /* [B T, heads]: each token's code */
    void *mean;                  /* of values: [B, memories, heads, codes, value_dim] */
    float *log_number;           /* ln n, -infinity for codes without tokens: [B, memories, heads, codes] */
    float *log_sum_exp;          /* [B, heads, T], to base 2 */
    float *delta;                /* [B, heads, T] */
    int32_t *last_query;         /* [B, T]: the last query that sees the key itself */
    const int32_t *position, *segment;
    const float *sums, *numbers; /* the kept memory (codebook_step.h) of the tokens before the call; NULL: none */
    int64_t past;                /* rows of each sequence before those of the call */
    int64_t B, T, heads, head_dim, value_dim, codes, block, window, memories;
    int64_t distances; /* columns of a head of `relative` */
    int64_t rows_per_program;
    float scale;
} CodebookArguments;

#endif
