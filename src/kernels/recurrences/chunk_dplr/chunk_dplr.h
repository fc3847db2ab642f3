/* Arguments of the chunk_dplr kernels, shared by host and device. */
#ifndef FLAME_KERNELS_RECURRENCES_CHUNK_DPLR_CHUNK_DPLR_H
#define FLAME_KERNELS_RECURRENCES_CHUNK_DPLR_CHUNK_DPLR_H

#include <stdint.h>

#include "kernels/chunk.h"

/* The widths of the blocks of K and of V that a program works on. */
enum { CHUNK_DPLR_K = 32, CHUNK_DPLR_V = 64 };

/* Heads have one row per token, with entries of the element type unless noted. All other arrays except beta and the
 * initial state are contiguous. A kernel's caller may leave out (NULL) what the kernel does not use; `initial`, `final`
 * and their gradients may always be left out. If k is all three keys (chunk_kda), a, b, k_decayed, inverse,
 * products[1], dproducts[2 ..], da and db are left out; otherwise beta and betas are. */
typedef struct ChunkDplrArguments {
    Heads q, k, a, b, v;                              /* [N, heads*K], [N, heads*V] */
    Heads g;                                          /* [N, heads*K], fp32 */
    const float *beta;                                /* [N, heads] */
    const int32_t *segment;                           /* [N] */
    const float *initial;                             /* [B*heads*K, V] */
    Heads q_decayed, a_decayed, b_decayed, k_decayed; /* [N, heads*K]: q~, W in place of a~, b~, k~ */
    float *decay;                                     /* [B, chunks, heads, K]: D */
    float *betas;                                     /* [B, chunks, heads, 64]: beta, 0 past the end */
    void *inverse, *solve; /* elements [B, chunks, heads, 64, 64]: T without its diagonal, M^T likewise */
    void *products[2];     /* likewise: Aqb, Aqk */
    Heads u;               /* [N, heads*V]: U */
    void *state;           /* elements [B, chunks, heads, V, K]: the state before each chunk, transposed */
    float *final;          /* [B*heads*K, V] */
    Heads o;               /* [N, heads*V] */
    int64_t beta_stride, initial_stride;

    Heads do_;           /* gradient of o */
    const float *dfinal; /* gradient of final */
    void *dstate;        /* as state: gradient of the state after each chunk */
    Heads du, dr;        /* as u: U', R'; chunk_kda: dr is dv */
    void *dproducts[4];  /* as products: Aqb', Aab', Aqk', Aak' */
    Heads dq, dk, da, db, dv, dg;
    float *dbeta, *dinitial;

    int64_t T, chunks, heads, K, V;
    float scale; /* factor of q */
} ChunkDplrArguments;

#endif
