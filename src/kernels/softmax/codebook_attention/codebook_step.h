/* Arguments of the kernels of codebook_attention that go on with a text, shared by host and device. Strides in
 * elements.
 *
 * For each sequence, the memory that its last token reads is kept: for each code, the number of the document's tokens
 * before the window and the sum of their values. A token at position p reads the tokens at positions below
 * memory_end(p). */
#ifndef FLAME_KERNELS_SOFTMAX_CODEBOOK_ATTENTION_CODEBOOK_STEP_H
#define FLAME_KERNELS_SOFTMAX_CODEBOOK_ATTENTION_CODEBOOK_STEP_H

#include "kernels/heads.h"
#include "tile/rows.h"

/* Keys at a time; the most columns of a key; columns of values of a program. */
enum { CODEBOOK_STEP_KEYS = 64, CODEBOOK_STEP_HEAD = 256, CODEBOOK_STEP_COLS = 128 };

HOST_AND_DEVICE int64_t memory_end(int64_t position, int64_t block, int64_t window) {
    const int64_t end = position / block * block - window;
    return end > 0 ? end : 0;
}

/* Rows of each sequence's tokens, of this call or in the ring. The newest token has number `newest`. */
typedef struct TokenRows {
    const void *data; /* [B, capacity, ..] */
    int64_t stride;
} TokenRows;

typedef struct CodebookStepArguments {
    Heads q, k, v, relative, out; /* one row for each sequence */
    const void *code;             /* elements [heads, codes, head_dim] */
    float *sums, *numbers;        /* [B, heads, codes, value_dim], [B, heads, codes] */
    TokenRows past_k, past_v, past_index;
    const int32_t *position; /* [B, T]: positions of the new tokens */
    int64_t T, newest, past, capacity, heads, head_dim, value_dim, codes, block, window, distances;
    int64_t position_stride; /* from sequence to sequence */
    float scale;
} CodebookStepArguments;

#endif
