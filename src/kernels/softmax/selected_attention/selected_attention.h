/* Arguments of the selected_attention kernels, shared by host and device. */
#ifndef FLAME_KERNELS_SOFTMAX_SELECTED_ATTENTION_SELECTED_ATTENTION_H
#define FLAME_KERNELS_SOFTMAX_SELECTED_ATTENTION_SELECTED_ATTENTION_H

#include "kernels/softmax/document_blocks.h"
#include "kernels/softmax/grouped_rows.h"

/* Keys of a program of the backward pass; words of `queries` that a program writes. */
enum { SELECTED_KEYS = 64, SELECTED_WORDS = 128 };

typedef struct SelectedArguments {
    GroupedArguments grouped;
    const int32_t *selected; /* [B*T, kv_heads, words]: a bit for each block of the document */
    uint32_t *queries; /* [B, kv_heads, tiles of SELECTED_KEYS, T / 32]: a bit for each token that selected some block
                          of the tile */
    float *partial;    /* [2, parts, B*rows, kv_heads*head_dim]: on a CPU, dk / scale and dv from a part's queries */
    int64_t block, words, parts, B;
    int64_t rows; /* rows of k and v for each sequence: those of earlier calls, then this one's */
} SelectedArguments;

#endif
