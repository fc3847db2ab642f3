/* The gated delta rule in chunks of 64 rows (arXiv 2406.06484, 2412.06464). Only the state is carried from chunk to
 * chunk, by one program per head and block of V (chunk_delta_walk.tile.h). Everything else has programs for each chunk
 * (chunk_delta_forward.tile.h, chunk_delta_backward.tile.h).
 *
 * Row i of the chunk is one update of the state. With G the running sum of g inside the chunk, M_ij = e^(G_i - G_j) for
 * j <= i, D_i = e^G_i, E_i = e^(G_last - G_i), S the state before the chunk and x' the gradient of x:
 *
 *   L = beta_i M_ij k_i k_j for j < i         T = (I + L)^-1         P = scale M_ij q_i k_j for j <= i
 *   U = T (beta (v - D k S))                  S_next = e^G_last S + k^T (E U)
 *   o = scale D q S + P U
 *
 *   U' = P^T o' + E k S_next'                 R' = T^T U'            v' = beta R'
 *   S' = e^G_last S_next' + q^T (scale D o') - k^T (D beta R')
 *   A = scale M_ij o'_i U_j for j <= i        B = -beta_i M_ij R'_i U_j for j < i
 *   q' = scale D o' S^T + A k                 k' = E U S_next'^T - D beta R' S^T + A^T q + (B + B^T) k
 *   beta'_i = R'_i v_i - D_i R'_i (k_i S) + sum over j of B_ij k_i k_j / beta_i
 *   G'_i = q_i (scale D o' S^T)_i - k_i (D beta R' S^T)_i - k_i (E U S_next'^T)_i + sum over j of (Z_ij - Z_ji),
 *   Z_ij = A_ij q_i k_j + B_ij k_i k_j;  G'_last gets sum over i of k_i (E U S_next'^T)_i, and e^G_last S S_next'
 *   g'_t = sum over i >= t of G'_i
 *
 * M is built by walking down the rows, which avoids differences of large sums.
 *
 * If what is erased is read from the state before its decay (Comba), then L, B, and D in D k S use G of the row before,
 * G_i - g_i, in place of G_i, and their parts of G'_i go to the row before.
 *
 * With several steps per token, only a token's first row decays the state and only its last one is read: queries, their
 * gradients and the rows of P and A then belong to tokens, and a chunk has whole tokens only.
 *
 * Documents: M_ij is 0 between rows of different documents, D_i is 0 if row i does not belong to the document of the
 * token before the chunk, E_i is 0 if it does not belong to that of the chunk's last row, and e^G_last is 0 if these
 * two documents differ. */
#ifndef FLAME_KERNELS_RECURRENCES_CHUNK_DELTA_CHUNK_DELTA_CHUNK_H
#define FLAME_KERNELS_RECURRENCES_CHUNK_DELTA_CHUNK_DELTA_CHUNK_H

#include "kernels/recurrences/chunk_delta/chunk_delta.h"

enum { ROWS = CHUNK_ROWS, WIDTH = CHUNK_DELTA_WIDTH };

/* A chunk: the rows of its tokens (of N), and the rows of their updates (of N * steps). */
typedef struct DeltaChunk {
    Rows tokens, updates;
    int32_t before, last; /* as in Chunk */
} DeltaChunk;

DEVICE DeltaChunk delta_chunk_at(const ChunkDeltaArguments *a, int64_t sequence, int64_t index) {
    const Chunk chunk = chunk_at(a->segment, a->T, a->chunk_tokens, sequence, index);
    const Rows updates = {chunk.rows.first * a->steps, chunk.rows.count * a->steps};
    const DeltaChunk whole = {chunk.rows, updates, chunk.before, chunk.last};
    return whole;
}

/* For a (sequence, chunk, value head): the offsets of 64 x 64 products and of the state, and one of the gates' rows. */
DEVICE int64_t products_offset(const ChunkDeltaArguments *a, int64_t sequence, int64_t index, int64_t head) {
    return chunk_offset(a->chunks, a->v_heads, sequence, index, head, ROWS * ROWS);
}
DEVICE int64_t state_offset(const ChunkDeltaArguments *a, int64_t sequence, int64_t index, int64_t head) {
    return chunk_offset(a->chunks, a->v_heads, sequence, index, head, a->state_size);
}
enum { GATES_FROM_START, GATES_TO_END, GATES_QUERY, GATES_BETA, GATES };
DEVICE float *gates_at(const ChunkDeltaArguments *a, int64_t number, int64_t sequence, int64_t index, int64_t head) {
    return a->gates + chunk_offset(a->chunks, a->v_heads, sequence, index, head, GATES * ROWS) + number * ROWS;
}

/* e^G_last, from D or scale D; 0 if the state before the chunk does not last until its end. */
DEVICE float stays_of(const ChunkDeltaArguments *a, const float *from_start, const float *query_decay,
                      DeltaChunk chunk) {
    const float *decay = a->undecayed ? query_decay : from_start;
    return decay[chunk.updates.count - 1] * (a->undecayed ? 1.0f / a->scale : 1.0f);
}

/* The token of a row, and whether the row is the token's first. */
DEVICE int token_of_row(const ChunkDeltaArguments *a, int64_t row) {
    return a->steps == 1 ? (int)row : (int)row / (int)a->steps;
}
DEVICE bool is_first_row(const ChunkDeltaArguments *a, int64_t row) {
    return a->steps == 1 || (int)row % (int)a->steps == 0;
}

/* The log decay and beta of a row; 0 past the chunk's end. */
DEVICE float gate_of_row(const ChunkDeltaArguments *a, DeltaChunk chunk, int64_t head, int64_t row) {
    if (!a->g || row >= chunk.updates.count || !is_first_row(a, row)) return 0;
    return a->g[(chunk.tokens.first + token_of_row(a, row)) * a->g_stride + head];
}
DEVICE float beta_of_row(const ChunkDeltaArguments *a, DeltaChunk chunk, int64_t head, int64_t row) {
    if (row >= chunk.updates.count) return 0;
    return a->beta ? a->beta[(chunk.updates.first + row) * a->beta_stride + head] : 1.0f;
}

/* The segment of a row; -1 past the chunk's end. */
DEVICE int32_t segment_of_row(const ChunkDeltaArguments *a, DeltaChunk chunk, int64_t row) {
    return row < chunk.updates.count ? a->segment[chunk.tokens.first + token_of_row(a, row)] : -1;
}

/* 1 if the row before belongs to the same document, else 0. */
DEVICE float joins_row_before(const ChunkDeltaArguments *a, DeltaChunk chunk, int64_t row) {
    return row > 0 && segment_of_row(a, chunk, row) == segment_of_row(a, chunk, row - 1) ? 1.0f : 0.0f;
}

/* factor x for row i + `ahead`, or 0 if there is no such row. */
DEVICE float of_row_ahead(const float *factor, const float *x, int64_t i, int ahead) {
    return i + ahead < ROWS ? factor[i + ahead] * x[i + ahead] : 0.0f;
}

/* The last row of a token, after which the token's query reads the state. For a token past the end, some row of the
 * chunk. */
DEVICE int query_row(const ChunkDeltaArguments *a, int64_t token) {
    const int row = ((int)token + 1) * (int)a->steps - 1;
    return row < ROWS ? row : ROWS - 1;
}

/* to = from, 64 x 64 numbers without gaps, as elements. */
DEVICE void store_square(element *to, const float *from) {
    EACH_VECTOR(i, ROWS * ROWS) {
        READ_F32(x, from + i);
        WRITE(to + i, x);
    }
}

/* decay = M; `step` is scratch. Ends with a sync(). */
DEVICE void decay_matrix(float *decay, float *step, const ChunkDeltaArguments *a, DeltaChunk chunk, int64_t head) {
    EACH (i, ROWS) {
        const bool passes = i > 0 && segment_of_row(a, chunk, i) == segment_of_row(a, chunk, i - 1);
        step[i] = passes ? exp_f(gate_of_row(a, chunk, head, i)) : 0.0f;
    }
    sync();
    decays_between(decay, step);
    sync();
}

#endif
