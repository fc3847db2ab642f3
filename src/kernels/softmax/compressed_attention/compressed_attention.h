/* Arguments of the compressed_attention kernels, shared by host and device. */
#ifndef FLAME_KERNELS_SOFTMAX_COMPRESSED_ATTENTION_COMPRESSED_ATTENTION_H
#define FLAME_KERNELS_SOFTMAX_COMPRESSED_ATTENTION_COMPRESSED_ATTENTION_H

#include "kernels/softmax/document_blocks.h"
#include "kernels/softmax/grouped_rows.h"

enum { FORCED_BLOCKS = 3 }; /* the first, the own, the one before */
/* Tokens whose blocks a program selects; rows of k of a program of the backward pass, and the tokens of its queries. */
enum { SELECT_TOKENS = 4, COMPRESSED_KEYS = 64, COMPRESSED_PART = 1024 };

/* k and v have `rows` rows for each sequence, those of whole blocks. */
typedef struct CompressedArguments {
    GroupedArguments grouped;
    const int32_t *segment;
    int32_t *selected; /* [B*T, kv_heads, words]: a bit for each block of the document */
    float *importance; /* [B, kv_heads, T, rows] */
    float *partial;    /* [2, parts, B*rows, kv_heads*head_dim]: dk / scale and dv of the queries of a part */
    int64_t rows, block, count, words, parts, B;
} CompressedArguments;

#endif
