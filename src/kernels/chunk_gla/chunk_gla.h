/* Arguments of the chunk_gla kernels, shared by host and device. */
#ifndef FLAME_KERNELS_CHUNK_GLA_H
#define FLAME_KERNELS_CHUNK_GLA_H

#include <stdint.h>

#include "kernels/chunk.h"

/* The widths of a block of K and of V that one program works on. */
enum { CHUNK_GLA_K = 32, CHUNK_GLA_V = 64 };

/* Element matrices have one row per token; their strides and that of the initial state are in elements. Everything else
 * is contiguous. What a kernel does not use may be left out, `initial` and `final` (and their gradients) also where it
 * does. */
typedef struct ChunkGlaArguments {
    const void *q, *k, *v;  /* [N, heads*K], [N, kv_heads*K], [N, kv_heads*V] */
    const float *g;         /* [N, kv_heads*K] */
    const int32_t *segment; /* [N] */
    const float *initial;   /* [B*kv_heads*K, V] */
    float *state;           /* [B, chunks, kv_heads, K, V], before each chunk */
    float *final;           /* [B*kv_heads*K, V] */
    void *o;                /* [N, heads*V] */
    int64_t q_stride, k_stride, v_stride, g_stride, o_stride, initial_stride;

    const void *do_;             /* gradient of o */
    const float *dfinal;         /* gradient of final */
    float *dstate;               /* [B, chunks, kv_heads, K, V], gradient of the state after each chunk */
    float *products, *dproducts; /* [B, chunks, heads, 64, 64]: A and its gradient */
    void *dq, *dk, *dv;
    float *dg, *dinitial;

    int64_t T, chunks, heads, kv_heads, K, V;
    float scale; /* of q */
} ChunkGlaArguments;

#endif
