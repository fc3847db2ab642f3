/* Arguments of the chunk_delta kernels, shared by host and device. */
#ifndef FLAME_KERNELS_RECURRENCES_CHUNK_DELTA_CHUNK_DELTA_H
#define FLAME_KERNELS_RECURRENCES_CHUNK_DELTA_CHUNK_DELTA_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/chunk.h"

/* The width of the blocks of K and of V that the kernels work on. */
enum { CHUNK_DELTA_WIDTH = 64 };

/* The state is updated `steps` times per token; update j of token t is row t * steps + j of N * steps rows. Heads have
 * entries of the element type; arrays without a stride are contiguous. A kernel's caller may leave out (NULL) what the
 * kernel does not use. `g` (then no decay), `beta` (then 1), `initial` (then 0), `final`, and their gradients may
 * always be left out. */
typedef struct ChunkDeltaArguments {
    Heads q, k, v;          /* [N, heads*K], [N*steps, heads*K], [N*steps, v_heads*V] */
    const float *g, *beta;  /* [N, v_heads], [N*steps, v_heads] */
    const int32_t *segment; /* [N] */
    const float *initial;   /* [B*v_heads*K, V] */
    float *gates;           /* [B, chunks, v_heads, 4, 64]: D for what is erased, E, scale D for the queries, beta */
    void *inverse;          /* elements [B, chunks, v_heads, 64, 64]: T, without its diagonal if `transposed` */
    void *products;         /* likewise: P */
    float *overlaps;        /* likewise, fp32: the decayed products of keys; may be left out */
    Heads u;                /* [N*steps, v_heads*V]: U; may be left out */
    void *state;     /* elements [B, chunks, v_heads, state_size]: the state before each chunk; may be left out */
    float *carried;  /* [B*v_heads*K, V]: the newest state, unless registers hold it */
    float *final;    /* [B*v_heads*K, V] */
    Heads o;         /* [N, v_heads*V]; left out if only U and the states are wanted */
    bool transposed; /* state and dstate are [V, state_stride] with shuffled columns, instead of [K, V] */
    bool aligned;    /* rows of u, dr and the states begin and end at multiples of 16 bytes */
    int64_t g_stride, beta_stride, initial_stride, state_stride, state_size;

    Heads do_;           /* gradient of o */
    const float *dfinal; /* gradient of final */
    void *dstate;        /* as state: gradient of the state after each chunk */
    Heads dr;            /* as u: R' */
    void *dproducts;     /* as products: gradient of the products of queries and keys */
    void *doverlaps;     /* likewise, gradient of the products of keys, plus its transpose */
    float *sums;         /* [1 + 2*blocks_k, B, chunks, v_heads, 2, 64]: parts of the gradients of G and beta */
    int64_t sums_stride; /* from one part to the next */
    Heads dq, dk, dv;
    float *dg, *dbeta, *dinitial;

    int64_t T, steps, chunks, chunk_tokens, heads, v_heads, K, V, blocks_k; /* chunk_tokens: tokens of a whole chunk */
    float scale;                                                            /* factor of q */
    bool undecayed; /* what is erased is read from the state before its decay */
} ChunkDeltaArguments;

#endif
