/* Arguments of the chunk_simple_gla kernels, shared by host and device. */
#ifndef FLAME_KERNELS_RECURRENCES_CHUNK_SIMPLE_GLA_CHUNK_SIMPLE_GLA_H
#define FLAME_KERNELS_RECURRENCES_CHUNK_SIMPLE_GLA_CHUNK_SIMPLE_GLA_H

#include <stdint.h>

#include "kernels/recurrences/chunk.h"

enum {
    CHUNK_SIMPLE_GLA_K = 64, /* the widths of a block of K and of V that one program works on */
    CHUNK_SIMPLE_GLA_V = 64,
    CHUNK_SIMPLE_GLA_DECAY_ROWS = 3,
    CHUNK_SIMPLE_GLA_DECAYS = 64 /* heads with a constant decay, at most */
};

/* Head n of `heads` reads query head n * q_heads / heads, and so on; k_heads divides q_heads, q_heads and v_heads
 * divide heads. Heads have one row per token, of elements. All but them, g and the initial state is contiguous. What a
 * kernel does not use may be left out, `g`, `initial` and `final` (and their gradients) also where it does. */
typedef struct ChunkSimpleGlaArguments {
    Heads q, k, v;          /* [N, q_heads*K], [N, k_heads*K], [N, v_heads*V] */
    const float *g;         /* [N, heads]; NULL: log_decay */
    const int32_t *segment; /* [N] */
    const float *initial;   /* [B*heads*K, V] */
    float *decays;          /* [B, chunks, heads, CHUNK_SIMPLE_GLA_DECAY_ROWS, 64] */
    void *state;            /* elements [B, chunks, heads, K, V], before each chunk */
    float *final;           /* [B*heads*K, V] */
    Heads o;                /* [N, heads*V] */
    int64_t g_stride, initial_stride;

    Heads do_;                   /* gradient of o */
    const float *dfinal;         /* gradient of final */
    void *dstate;                /* elements [B, chunks, heads, K, V], gradient of the state after each chunk */
    float *products, *dproducts; /* [B, chunks, q_heads, 64, 64]: P and its gradient */
    float *reads, *writes;       /* [B, chunks, heads, blocks of K, 64]: the states' parts of the gradient of g */
    Heads dq, dk, dv;
    float *dg, *dinitial;

    int64_t T, chunks, heads, q_heads, k_heads, v_heads, K, V;
    float scale;                              /* of q */
    float log_decay[CHUNK_SIMPLE_GLA_DECAYS]; /* of every token, by head */
} ChunkSimpleGlaArguments;

#endif
