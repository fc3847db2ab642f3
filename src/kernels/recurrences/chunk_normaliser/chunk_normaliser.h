/* Arguments of the chunk_normaliser kernels, shared by host and device. Strides in elements; a gradient has the stride
 * of its tensor. */
#ifndef FLAME_KERNELS_RECURRENCES_CHUNK_NORMALISER_CHUNK_NORMALISER_H
#define FLAME_KERNELS_RECURRENCES_CHUNK_NORMALISER_CHUNK_NORMALISER_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/chunk.h"

enum { CHUNK_NORMALISER_COLS = 128 }; /* columns of a head's K in a program, which are summed side by side */

/* n_t = e^g_t n_{t-1} + e^s_t k_t, z_t = scale q_t . n_t per head. Before the first token of a document n is 0; before
 * the first token of the sequence it is `initial`. */
typedef struct ChunkNormaliserArguments {
    Heads q, k;             /* [N, heads*K] */
    const float *g, *s;     /* [N, heads]; each may be NULL for 0 */
    const int32_t *segment; /* [N] */
    const float *initial;   /* [B*heads, K], may be NULL */
    float *sums;            /* [B, chunks, heads, K]: what each chunk adds to n, later n before the chunk */
    float *decays;          /* [B, chunks, heads]: the product of a chunk's decays */
    float *z;               /* [N, heads] */
    float *final;           /* [B*heads, K], n after the last token; may be NULL */

    const float *dz, *dfinal; /* dfinal may be NULL */
    /* [B, chunks, heads, K]: what each chunk adds to n', later n' of the chunk's last row, counting later rows only. */
    float *dsums;
    Heads dq, dk;
    float *dg, *ds, *dinitial; /* each may be NULL */

    int64_t T, chunks, heads, K, g_stride, s_stride, z_stride, initial_stride;
    bool has_initial;
    float scale;
} ChunkNormaliserArguments;

#endif
