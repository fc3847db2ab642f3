/* Arguments of the chunk_simple_gla kernels, shared by host and device. */
#ifndef FLAME_KERNELS_RECURRENCES_CHUNK_SIMPLE_GLA_CHUNK_SIMPLE_GLA_H
#define FLAME_KERNELS_RECURRENCES_CHUNK_SIMPLE_GLA_CHUNK_SIMPLE_GLA_H

#include <stdint.h>

#include "kernels/recurrences/chunk.h"

enum {
    CHUNK_SIMPLE_GLA_K = 64, /* the widths of a block of K and of V that one program works on */
    CHUNK_SIMPLE_GLA_V = 64,
    CHUNK_SIMPLE_GLA_STATE_K = 128, /* of K where the state is carried: each block of K reads the values again */
    CHUNK_SIMPLE_GLA_DECAY_ROWS = 4,
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

/* What the kernels share. */
#ifdef FLAME_KERNEL_FILE
enum {
    ROWS = CHUNK_ROWS,
    WIDTH_K = CHUNK_SIMPLE_GLA_K,
    WIDTH_V = CHUNK_SIMPLE_GLA_V,
    STATE_K = CHUNK_SIMPLE_GLA_STATE_K,
    HALF = CHUNK_HALF
};

/* Offset of entry (k, v) of the state of (chunk index, head). */
DEVICE int64_t state_at(const ChunkSimpleGlaArguments *a, int64_t sequence, int64_t index, int64_t head, int64_t k,
                        int64_t v) {
    return chunk_offset(a->chunks, a->heads, sequence, index, head, a->K * a->V) + k * a->V + v;
}

/* Offset of the 64 x 64 products of (chunk index, query head). */
DEVICE int64_t products_at(const ChunkSimpleGlaArguments *a, int64_t sequence, int64_t index, int64_t q_head) {
    return chunk_offset(a->chunks, a->q_heads, sequence, index, q_head, ROWS * ROWS);
}

/* Offset of the rows' parts of the gradient of g that block k of (chunk index, head) leaves. */
DEVICE int64_t parts_at(const ChunkSimpleGlaArguments *a, int64_t sequence, int64_t index, int64_t head, int64_t k) {
    const int64_t blocks = (a->K + WIDTH_K - 1) / WIDTH_K;
    return chunk_offset(a->chunks, a->heads, sequence, index, head, blocks * ROWS) + k * ROWS;
}

/* The rows of decays of (chunk index, head): those of the first half's rows up to its end and the rows' own, which
 * make up M, and u and w. */
enum { TO_HALF, STEP, OF_M, UPTO = OF_M, AFTER, DECAYS = CHUNK_SIMPLE_GLA_DECAY_ROWS };
DEVICE float *decays_of(const ChunkSimpleGlaArguments *a, int64_t sequence, int64_t index, int64_t head) {
    return a->decays + chunk_offset(a->chunks, a->heads, sequence, index, head, DECAYS * ROWS);
}
#endif

#endif
