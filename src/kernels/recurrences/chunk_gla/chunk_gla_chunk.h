/* Gated linear attention in chunks of 64 rows. Only the kernels that carry the state or its gradient go from chunk to
 * chunk; the others have programs for each chunk.
 *
 * With G the running sum of g inside the chunk, S the state before it, x' the gradient of x, and for j <= i
 * A_ij = scale sum over d of q_id k_jd e^(G_id - G_jd):
 *
 *   o = scale (q e^G) S + A v            S_next = diag(e^G_last) S + (k e^(G_last - G))^T v
 *   A' = scale o' v^T, j <= i            S' = diag(e^G_last) S_next' + scale (q e^G)^T o'
 *   q' = e^G (scale o' S^T) + [A'_ij k_j e^(G_i - G_j)]               v' = A^T o' + (k e^(G_last - G)) S_next'
 *   k' = e^(G_last - G) (v S_next'^T) + [A'_ij q_i e^(G_i - G_j)]
 *   g'_t = sum over i >= t of (q_i q'_i - k_i k'_i) + e^G_last (S S_next')
 *          + sum over j of k_j (the state's part of k'_j)
 *
 * vector_gates.h says how e^(G_i - G_j) is computed.
 *
 * Documents: products are masked unless segment numbers are equal. Rows that do not belong to the document of the token
 * before the chunk do not see S, and only rows of the last row's document enter S_next. */
#ifndef FLAME_KERNELS_RECURRENCES_CHUNK_GLA_CHUNK_GLA_CHUNK_H
#define FLAME_KERNELS_RECURRENCES_CHUNK_GLA_CHUNK_GLA_CHUNK_H

#include "kernels/recurrences/chunk_gla/chunk_gla.h"
#include "kernels/recurrences/vector_gates.h"

enum {
    ROWS = CHUNK_ROWS,
    WIDTH_K = CHUNK_GLA_K,
    WIDTH_V = CHUNK_GLA_V,
    STATE_K = CHUNK_GLA_STATE_K,
    STATE_V = CHUNK_GLA_STATE_V,
    HALF = CHUNK_HALF,
    STAGES = 3,
    AHEAD = STAGES - 2 /* stages that are still loading while one is used */
};

/* The state of (chunk index, key-value head) from entry (k, v) on, in states or in their gradients. */
DEVICE element *state_at(const ChunkGlaArguments *a, void *states, int64_t sequence, int64_t index, int64_t head,
                         int64_t k, int64_t v) {
    return (element *)states + chunk_offset(a->chunks, a->kv_heads, sequence, index, head, a->K * a->V) + k * a->V + v;
}

/* The 64 x 64 products of (chunk index, head). */
DEVICE element *products_at(const ChunkGlaArguments *a, void *products, int64_t sequence, int64_t index, int64_t head) {
    return (element *)products + chunk_offset(a->chunks, a->heads, sequence, index, head, ROWS * ROWS);
}

/* The decay over (chunk index, key-value head) from entry k on. */
DEVICE float *decay_at(const ChunkGlaArguments *a, int64_t sequence, int64_t index, int64_t head, int64_t k) {
    return a->decay + chunk_offset(a->chunks, a->kv_heads, sequence, index, head, a->K) + k;
}

/* The rows of chunk `index`. */
DEVICE Rows rows_at(const ChunkGlaArguments *a, int64_t sequence, int64_t index) {
    const Rows rows = {sequence * a->T + index * ROWS, a->T - index * ROWS < ROWS ? a->T - index * ROWS : ROWS};
    return rows;
}

/* Views of stage `step` of what carrying the state or its gradient needs: decayed rows, values, the decay. */
#define STAGE_VIEWS(decayed_, values_, decay_, step)                                                                   \
    TILE_VIEW(decayed_, decayed, (step) % STAGES * ROWS, 0, ROWS, STATE_K);                                            \
    TILE_VIEW(values_, values, (step) % STAGES * ROWS, 0, ROWS, STATE_V);                                              \
    MATRIX_VIEW(decay_, decay, (step) % STAGES, 0, 1, STATE_K)

/* Adds the products past quarter c to dq; see DECAY_BELOW in vector_gates.h. Uses dA, k_near, inside and steep. */
#define PASS_DOWN(dq, c)                                                                                               \
    do {                                                                                                               \
        if (steep) DECAY_BELOW(dq, inside, c);                                                                         \
        ADD_BELOW(dq, dA, k_near, c);                                                                                  \
        if (!steep) DECAY_BELOW(dq, inside, c);                                                                        \
    } while (0)

#endif
