/* Arguments of the kernels of codebook_attention that go on with a text, shared by host and device. Strides in
 * elements.
 *
 * The memory that is kept of a sequence is that which its last token reads: numbers and sums of the values of the
 * document's tokens before the window. A token at position p reads those at positions below memory_end(p). */
#ifndef FLAME_KERNELS_SOFTMAX_CODEBOOK_ATTENTION_CODEBOOK_STEP_H
#define FLAME_KERNELS_SOFTMAX_CODEBOOK_ATTENTION_CODEBOOK_STEP_H

#include "kernels/heads.h"
#include "tile/rows.h"

enum { CODEBOOK_STEP_KEYS = 64, CODEBOOK_STEP_HEAD = 256, CODEBOOK_STEP_COLS = 128 }; /* of values, of a program */

HOST_AND_DEVICE int64_t memory_end(int64_t position, int64_t block, int64_t window) {
    const int64_t end = position / block * block - window;
    return end > 0 ? end : 0;
}

/* Rows of each sequence's tokens; that of the newest token, in this call or in the ring, is number `newest`. */
typedef struct TokenRows {
    const void *data; /* [B, capacity, ..] */
    int64_t stride;
} TokenRows;

typedef struct CodebookStepArguments {
    Heads q, k, v, relative, out; /* a row for each sequence */
    const void *code;             /* elements [heads, codes, head_dim] */
    float *sums, *numbers;        /* [B, heads, codes, value_dim], [B, heads, codes] */
    TokenRows past_k, past_v, past_index;
    const int32_t *position; /* [B, T]: of the new tokens */
    int64_t T, newest, past, capacity, heads, head_dim, value_dim, codes, block, window, distances;
    int64_t position_stride; /* from sequence to sequence */
    float scale;
} CodebookStepArguments;

#endif
