/* Delta rules with a gate per key channel, in chunks of 64 rows. Only the kernels that carry the state or its gradient
 * go from chunk to chunk; the others have programs for each chunk. Row i writes value v with key k and, with key b,
 * what its key a reads; q and a are called readers, k and b writers:
 *
 *   S_i = diag(e^g_i) S_{i-1} + b_i (a_i S_{i-1}) + k_i v_i^T         o_i = scale q_i S_i
 *
 * With G the running sum of g inside the chunk, G- that of the rows before, S the state before the chunk, x' the
 * gradient of x, and A^xy_ij = sum over d of x_id y_jd e^(G_id - G_jd) for j <= i, and for x = a with G-_i and j < i:
 *
 *   q~ = scale q e^G,  a~ = a e^G-,  b~ = b e^(G_last - G),  k~ = k e^(G_last - G),  D = e^G_last
 *   T = (I - Aab)^-1,  M = T Aak,  W = T a~
 *   U = M v + W S,  which b writes                    S_next = diag(D) S + b~^T U + k~^T v
 *   o = q~ S + scale (Aqb U + Aqk v)
 *
 *   U' = scale Aqb^T o' + b~ S_next'                  S' = diag(D) S_next' + q~^T o' + W^T U'
 *   R' = T^T U'                                       v' = M^T U' + scale Aqk^T o' + k~ S_next'
 *   Aqb' = scale o' U^T,  Aqk' = scale o' v^T,  Aab' = R' U^T,  Aak' = R' v^T
 *   q~' = o' S^T,  a~' = R' S^T,  b~' = U S_next'^T,  k~' = v S_next'^T; from these and A' the gradients of q, a, b, k
 *   g'_t = sum over i >= t of (q_i q'_i - b_i b'_i - k_i k'_i) + sum over i > t of a_i a'_i
 *          + D (S S_next') + sum over j of (b_j and k_j times the state's part of b'_j and k'_j)
 *
 * chunk_kda is the case in which k is all three keys and a reads the decayed state, S_i = (I - beta_i k_i k_i^T)
 * diag(e^g_i) S_{i-1} + beta_i k_i v_i^T. With A = Akk for j < i and G in place of G-, the equations are the same,
 * without the terms of a second writer: T = (I + beta A)^-1, M = T beta, a~ = -beta k e^G. v' = beta R' takes the
 * place of R' in A' and a~', which then are the gradients for -k; beta'_i = R'_i U_i / beta_i. T and M are stored
 * without the diagonal of T, which is 1, so that it is not rounded.
 *
 * vector_gates.h says how e^(G_i - G_j) is computed.
 *
 * Documents: products are masked unless segment numbers are equal. Rows that do not belong to the document of the token
 * before the chunk do not see S, and only rows of the last row's document enter S_next. */
#ifndef FLAME_KERNELS_RECURRENCES_CHUNK_DPLR_CHUNK_DPLR_CHUNK_H
#define FLAME_KERNELS_RECURRENCES_CHUNK_DPLR_CHUNK_DPLR_CHUNK_H

#include "kernels/recurrences/chunk_dplr/chunk_dplr.h"
#include "kernels/recurrences/vector_gates.h"

enum { ROWS = CHUNK_ROWS, WIDTH_K = CHUNK_DPLR_K, WIDTH_V = CHUNK_DPLR_V };
#define SMALLEST_BETA 1e-15f /* below it, the gradient of beta is 0 */

/* The 64 x 64 products of (chunk index, head). */
DEVICE element *products_at(const ChunkDplrArguments *a, void *products, int64_t sequence, int64_t index,
                            int64_t head) {
    return (element *)products + chunk_offset(a->chunks, a->heads, sequence, index, head, ROWS * ROWS);
}

/* The transposed state of (chunk index, head) from entry (v, k) on, in states or in their gradients. */
DEVICE element *state_at(const ChunkDplrArguments *a, void *states, int64_t sequence, int64_t index, int64_t head,
                         int64_t v, int64_t k) {
    return (element *)states + chunk_offset(a->chunks, a->heads, sequence, index, head, a->K * a->V) + v * a->K + k;
}

/* The decay over (chunk index, head) from entry k on. */
DEVICE float *decay_at(const ChunkDplrArguments *a, int64_t sequence, int64_t index, int64_t head, int64_t k) {
    return a->decay + chunk_offset(a->chunks, a->heads, sequence, index, head, a->K) + k;
}

/* beta of a row; 0 past the chunk's end, or if the op has no beta. */
DEVICE float beta_of_row(const ChunkDplrArguments *a, Rows rows, int64_t head, int64_t row) {
    return a->beta && row < rows.count ? a->beta[(rows.first + row) * a->beta_stride + head] : 0.0f;
}

/* The beta of every row of (chunk index, head). */
DEVICE float *betas_at(const ChunkDplrArguments *a, int64_t sequence, int64_t index, int64_t head) {
    return a->betas + chunk_offset(a->chunks, a->heads, sequence, index, head, ROWS);
}

/* Kernels exist for one writer (name_1, where k is all three keys) and for two (name_2). */
#define WRITERS_KERNEL(name) SIZED_KERNEL(name, WRITERS, ChunkDplrArguments)

/* Views of `work`, which has squares of 64 x 64 one below the other: half number n, 64 rows by WIDTH_K columns, and
 * square number n. */
#define HALF_SQUARE(name, n) TILE_VIEW(name, work, (n) / 2 * ROWS, (n) % 2 * WIDTH_K, ROWS, WIDTH_K)
#define SQUARE(name, n)      TILE_VIEW(name, work, (n)*ROWS, 0, ROWS, ROWS)

#endif
