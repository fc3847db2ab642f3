/* Arguments of the chunk_gla kernels, shared by host and device. */
#ifndef FLAME_KERNELS_RECURRENCES_CHUNK_GLA_CHUNK_GLA_H
#define FLAME_KERNELS_RECURRENCES_CHUNK_GLA_CHUNK_GLA_H

#include <stdint.h>

#include "kernels/chunk.h"

/* The widths of the blocks of K and of V that a program works on, and of the part of the state that a program carries.
 * Each block of K reads v again, and each block of V reads k. */
enum { CHUNK_GLA_K = 32, CHUNK_GLA_V = 64, CHUNK_GLA_STATE_K = 64, CHUNK_GLA_STATE_V = 64 };

/* Heads have one row per token, with entries of the element type unless noted. All other arrays except the initial
 * state are contiguous. A kernel's caller may leave out (NULL) what the kernel does not use; `initial`, `final` and
 * their gradients may always be left out. */
typedef struct ChunkGlaArguments {
    Heads q, k, v;          /* [N, heads*K], [N, kv_heads*K], [N, kv_heads*V] */
    Heads g;                /* [N, kv_heads*K], fp32 */
    const int32_t *segment; /* [N] */
    const float *initial;   /* [B*kv_heads*K, V] */
    Heads q_decayed;        /* q decayed from the chunk's start, which reads the state */
    Heads k_decayed;        /* k decayed to the chunk's end, which enters the next state */
    float *decay;           /* [B, chunks, kv_heads, K]: the state's decay over the chunk */
    void *state;            /* elements [B, chunks, kv_heads, K, V]: the state before each chunk */
    float *final;           /* [B*kv_heads*K, V] */
    Heads o;                /* [N, heads*V] */
    int64_t initial_stride;

    Heads do_;                  /* gradient of o */
    const float *dfinal;        /* gradient of final */
    void *dstate;               /* elements [B, chunks, kv_heads, K, V]: gradient of the state after each chunk */
    void *products, *dproducts; /* elements [B, chunks, heads, 64, 64]: A and its gradient */
    Heads dq, dk, dv, dg;
    float *dinitial;

    int64_t T, chunks, heads, kv_heads, K, V;
    float scale; /* factor of q */
} ChunkGlaArguments;

#ifndef FLAME_KERNEL_FILE
#include <math.h>

#include "tile/rows.h"

static inline Grid chunk_gla_grid_of_states(int64_t B, const ChunkGlaArguments *arguments) {
    return (Grid){B * arguments->kv_heads, blocks_of(arguments->K, CHUNK_GLA_STATE_K),
                  blocks_of(arguments->V, CHUNK_GLA_STATE_V)};
}

/* The factor of q: `scale`, or K^(-1/2) if that is 0. */
static inline float chunk_gla_scale(float scale, int64_t K) { return scale != 0 ? scale : 1.0f / sqrtf((float)K); }
#endif

#endif
