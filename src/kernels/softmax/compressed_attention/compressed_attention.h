/* Arguments of the compressed_attention kernels, shared by host and device. */
#ifndef FLAME_KERNELS_SOFTMAX_COMPRESSED_ATTENTION_COMPRESSED_ATTENTION_H
#define FLAME_KERNELS_SOFTMAX_COMPRESSED_ATTENTION_COMPRESSED_ATTENTION_H

#include "kernels/softmax/document_blocks.h"
#include "kernels/softmax/grouped_rows.h"

enum { FORCED_BLOCKS = 3 }; /* the document's first, the token's own, and the one before it */
/* Tokens of a program that selects blocks; rows of k, and tokens of the queries, of a program of the backward pass. */
enum { SELECT_TOKENS = 4, COMPRESSED_KEYS = 64, COMPRESSED_PART = 1024 };

/* k and v have `rows` rows for each sequence, one for each whole block. */
typedef struct CompressedArguments {
    GroupedArguments grouped;
    int32_t *selected; /* [B*T, kv_heads, words]: a bit for each block of the document */
    float *importance; /* [B, kv_heads, T, rows] */
    float *partial;    /* [2, parts, B*rows, kv_heads*head_dim]: dk / scale and dv from the queries of a part */
    int64_t rows, block, count, words, parts, B;
} CompressedArguments;

#endif
