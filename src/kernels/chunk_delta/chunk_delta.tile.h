/* The gated delta rule in chunks of 64 rows (arXiv 2406.06484, 2412.06464), one program per chunk and head except where
 * the state is carried along.
 *
 * Row i of the chunk is one update of the state. With G the running sum of g inside the chunk, M_ij = e^(G_i - G_j) for
 * j <= i, D_i = e^G_i, E_i = e^(G_last - G_i), S the state before the chunk and x' the gradient of x:
 *
 *   L = beta_i M_ij k_i k_j for j < i         T = (I + L)^-1         P = K^(-1/2) M_ij q_i k_j for j <= i
 *   R = beta (v - D k S)                      U = T R
 *   o = K^(-1/2) D q S + P U                  S_next = e^G_last S + k^T (E U)
 *
 *   U' = P^T o' + E k S_next'                 R' = T^T U'            v' = beta R'
 *   S' = e^G_last S_next' + q^T (K^(-1/2) D o') - k^T (D beta R')
 *   A = K^(-1/2) M_ij o'_i U_j for j <= i     B = -beta_i M_ij R'_i U_j for j < i
 *   q' = K^(-1/2) D o' S^T + A k              k' = E U S_next'^T - D beta R' S^T + A^T q + (B + B^T) k
 *   beta'_i = R'_i v_i - D_i R'_i (k_i S) + sum over j of B_ij k_i k_j / beta_i
 *   G'_i = q_i (K^(-1/2) D o' S^T)_i - k_i (D beta R' S^T)_i - k_i (E U S_next'^T)_i + sum over j of (Z_ij - Z_ji),
 *   Z_ij = A_ij q_i k_j + B_ij k_i k_j;  G'_last gets sum over i of k_i (E U S_next'^T)_i, and e^G_last S S_next'
 *   g'_t = sum over i >= t of G'_i
 *
 * M is built by walking down the rows, so that no difference of large sums is taken.
 *
 * With several steps per token, only a token's first row decays the state and only its last one is read: queries, their
 * gradients and the rows of P and A stand for tokens, and a chunk holds whole tokens.
 *
 * Documents: M_ij is 0 between rows of different documents, D_i is 0 where the token before the chunk is of another
 * document, and E_i and e^G_last where the chunk's last row is. */
#include "kernels/tile.h"
#include "kernels/chunk_delta/chunk_delta.h"
#include "kernels/triangular_inverse.h"

enum { ROWS = CHUNK_ROWS, WIDTH = CHUNK_DELTA_WIDTH };

/* Where a chunk's tokens and rows lie in [N] and [N * steps]. */
typedef struct DeltaChunk {
    int64_t token, tokens, row, rows;
    int32_t before, last; /* segment of the token before the chunk (of the first one: its own), and of its last token */
} DeltaChunk;

DEVICE DeltaChunk delta_chunk_at(const ChunkDeltaArguments *a, int64_t sequence, int64_t index) {
    const int64_t most = ROWS / a->steps, left = a->T - index * most;
    DeltaChunk chunk;
    chunk.token = sequence * a->T + index * most;
    chunk.tokens = left < most ? left : most;
    chunk.row = chunk.token * a->steps;
    chunk.rows = chunk.tokens * a->steps;
    chunk.before = a->segment[index ? chunk.token - 1 : chunk.token];
    chunk.last = a->segment[chunk.token + chunk.tokens - 1];
    return chunk;
}

/* Offset of the 64 x 64 entries, and of the block (k, v) of a slot, of (sequence, chunk or slot index, value head). */
DEVICE int64_t products_at(const ChunkDeltaArguments *a, int64_t sequence, int64_t index, int64_t head) {
    return ((sequence * a->chunks + index) * a->v_heads + head) * ROWS * ROWS;
}
DEVICE int64_t slot_at(const ChunkDeltaArguments *a, int64_t sequence, int64_t slot, int64_t head, int64_t k,
                       int64_t v) {
    return (((sequence * a->v_heads + head) * a->slots + slot) * a->K + k * WIDTH) * a->V + v * WIDTH;
}
DEVICE float *sums_at(const ChunkDeltaArguments *a, int64_t part, int64_t sequence, int64_t index, int64_t head) {
    return a->sums + part * a->sums_stride + ((sequence * a->chunks + index) * a->v_heads + head) * 2 * ROWS;
}

/* A chunk's first entry of a head's block of columns. */
DEVICE const element *q_at(const ChunkDeltaArguments *a, DeltaChunk chunk, int64_t head, int64_t k) {
    return (const element *)a->q + chunk.token * a->q_stride + head * a->K + k * WIDTH;
}
DEVICE const element *k_at(const ChunkDeltaArguments *a, DeltaChunk chunk, int64_t head, int64_t k) {
    return (const element *)a->k + chunk.row * a->k_stride + head * a->K + k * WIDTH;
}
DEVICE const element *v_at(const ChunkDeltaArguments *a, DeltaChunk chunk, int64_t head, int64_t v) {
    return (const element *)a->v + chunk.row * a->v_stride + head * a->V + v * WIDTH;
}
DEVICE const element *do_at(const ChunkDeltaArguments *a, DeltaChunk chunk, int64_t head, int64_t v) {
    return (const element *)a->do_ + chunk.token * a->o_stride + head * a->V + v * WIDTH;
}
DEVICE int64_t u_at(const ChunkDeltaArguments *a, DeltaChunk chunk, int64_t head, int64_t v) {
    return (chunk.row * a->v_heads + head) * a->V + v * WIDTH;
}

/* The log decay and beta of a row; 0 past the chunk's end. */
DEVICE float gate_of_row(const ChunkDeltaArguments *a, DeltaChunk chunk, int64_t head, int64_t row) {
    if (!a->g || row >= chunk.rows || row % a->steps != 0) return 0;
    return a->g[(chunk.token + row / a->steps) * a->g_stride + head];
}
DEVICE float beta_of_row(const ChunkDeltaArguments *a, DeltaChunk chunk, int64_t head, int64_t row) {
    if (row >= chunk.rows) return 0;
    return a->beta ? a->beta[(chunk.row + row) * a->beta_stride + head] : 1.0f;
}

/* The segment of a row; -1 past the chunk's end. */
DEVICE int32_t segment_of_row(const ChunkDeltaArguments *a, DeltaChunk chunk, int64_t row) {
    return row < chunk.rows ? a->segment[chunk.token + row / a->steps] : -1;
}

/* The last row of token i: the state after it is what the token's query reads. Tokens past the end get some row. */
DEVICE int query_row(const ChunkDeltaArguments *a, int64_t token) {
    const int row = ((int)token + 1) * (int)a->steps - 1;
    return row < ROWS ? row : ROWS - 1;
}

/* What `queries` holds of the query that reads the state after a row; 0 if none does. */
DEVICE float query_entry(const float *queries, const ChunkDeltaArguments *a, int64_t row) {
    return (row + 1) % a->steps == 0 ? queries[row / a->steps] : 0.0f;
}

/* D, E and, for the queries, K^(-1/2) D, in the vectors from_start, to_end and query_decay; the result is e^G_last.
 * Needs a sync() after it. */
DEVICE float load_decays(float *from_start, float *to_end, float *query_decay, const ChunkDeltaArguments *a,
                         DeltaChunk chunk, int64_t head) {
    EACH (i, ROWS) {
        from_start[i] = gate_of_row(a, chunk, head, i);
        to_end[i] = gate_of_row(a, chunk, head, i + 1);
    }
    sync();
    column_cumsum(from_start, ROWS, 1, 1);
    column_cumsum(to_end + ROWS - 1, ROWS, 1, -1);
    sync();
    const float stays = chunk.before == chunk.last ? exp_f(from_start[ROWS - 1]) : 0.0f;
    sync();
    EACH (i, ROWS) {
        const int32_t segment = segment_of_row(a, chunk, i);
        from_start[i] = segment == chunk.before ? exp_f(from_start[i]) : 0.0f;
        to_end[i] = segment == chunk.last ? exp_f(to_end[i]) : 0.0f;
    }
    sync();
    EACH (i, ROWS) query_decay[i] = i < chunk.tokens ? a->scale * from_start[query_row(a, i)] : 0.0f;
    return stays;
}

/* decay = M, 0 above the diagonal; `step` and `document` are scratch. Ends with a sync(). */
DEVICE void decay_matrix(float *decay, int stride, float *step, float *document, const ChunkDeltaArguments *a,
                         DeltaChunk chunk, int64_t head) {
    EACH (i, ROWS) {
        const int32_t segment = segment_of_row(a, chunk, i);
        step[i] = exp_f(gate_of_row(a, chunk, head, i));
        document[i] = i < chunk.rows ? (float)(segment - a->segment[chunk.token]) : -1.0f;
    }
    sync();
    EACH (j, ROWS) decay[j] = j == 0 ? 1.0f : 0.0f;
    for (int i = 1; i < ROWS; i++) {
        const float passes = step[i], here = document[i];
        EACH (j, ROWS) {
            const float above = document[j] == here ? decay[(i - 1) * stride + j] * passes : 0.0f;
            decay[i * stride + j] = i == j ? 1.0f : above;
        }
    }
    sync();
}

/* T and P, and the overlaps M_ij k_i k_j for j < i. Program: chunk, sequence and value head. */
KERNEL(chunk_delta_products, ChunkDeltaArguments) {
    TILE(q, ROWS, WIDTH);
    TILE(k, ROWS, WIDTH);
    MATRIX(decay, ROWS, ROWS);
    MATRIX(lower, ROWS, ROWS);
    MATRIX(inverse, ROWS, ROWS);
    VECTOR(step, ROWS);
    VECTOR(document, ROWS);
    ACCUMULATOR(queries, ROWS, ROWS);
    ACCUMULATOR(keys, ROWS, ROWS);
    const int64_t sequence = program_y / a.v_heads, head = program_y % a.v_heads;
    const int64_t k_head = head * a.heads / a.v_heads, at = products_at(&a, sequence, program_x, head);
    const DeltaChunk chunk = delta_chunk_at(&a, sequence, program_x);
    accumulator_zero(queries);
    accumulator_zero(keys);
    for (int64_t block = 0; block * WIDTH < a.K; block++) {
        tile_load(q, q_at(&a, chunk, k_head, block), a.q_stride, chunk.tokens, a.K - block * WIDTH);
        tile_load(k, k_at(&a, chunk, k_head, block), a.k_stride, chunk.rows, a.K - block * WIDTH);
        sync();
        mma_nt(queries, q, k);
        mma_nt(keys, k, k);
        sync();
    }
    decay_matrix(decay, decay_stride, step, document, &a, chunk, head);
    MAP(queries, i, j, x, x *= a.scale * ENTRY(decay, query_row(&a, i), j));
    accumulator_store_f32(queries, a.products + at, ROWS, ROWS, ROWS);
    MAP(keys, i, j, x, x *= j < i ? ENTRY(decay, i, j) : 0.0f);
    if (a.overlaps) accumulator_store_f32(keys, a.overlaps + at, ROWS, ROWS, ROWS);
    EACH (i, ROWS) step[i] = beta_of_row(&a, chunk, head, i);
    sync();
    MAP(keys, i, j, x, ENTRY(lower, i, j) = step[i] * x);
    triangular_inverse(inverse, lower);
    EACH_ENTRY(inverse, i, j, x, a.inverse[at + i * ROWS + j] = x);
}

/* to = from + offset, or zero where `from` is NULL: all of K of a state's block of V, WIDTH rows at a time. */
#define MOVE_STATE(accumulator, to, to_stride, from, offset, from_stride)                                              \
    for (int64_t d_ = 0; d_ < a.K; d_ += WIDTH) {                                                                      \
        accumulator_zero(accumulator);                                                                                 \
        if (from)                                                                                                      \
            accumulator_load(accumulator, (from) + (offset) + d_ * (from_stride), from_stride, a.K - d_, cols_v);      \
        accumulator_store_f32(accumulator, (to) + d_ * (to_stride), to_stride, a.K - d_, cols_v);                      \
    }

/* U, the states and o. Program: sequence and value head, block of V. */
KERNEL(chunk_delta_state, ChunkDeltaArguments) {
    TILE(q, ROWS, WIDTH);
    TILE(k, ROWS, WIDTH);
    TILE(S, WIDTH, WIDTH);
    TILE(T, ROWS, ROWS);
    TILE(P, ROWS, ROWS);
    TILE(values, ROWS, WIDTH); /* v, then R, then U, then E U */
    VECTOR(beta, ROWS);
    VECTOR(from_start, ROWS);
    VECTOR(to_end, ROWS);
    VECTOR(query_decay, ROWS);
    ACCUMULATOR(read, ROWS, WIDTH); /* k S, then R */
    ACCUMULATOR(u, ROWS, WIDTH);
    ACCUMULATOR(out, ROWS, WIDTH);
    ACCUMULATOR(next, WIDTH, WIDTH);
    const int64_t sequence = program_x / a.v_heads, head = program_x % a.v_heads;
    const int64_t k_head = head * a.heads / a.v_heads, cols_v = a.V - program_y * WIDTH;
    const int64_t given = program_x * a.K * a.initial_stride + program_y * WIDTH;
    MOVE_STATE(next, a.state + slot_at(&a, sequence, 0, head, 0, program_y), a.V, a.initial, given, a.initial_stride);
    for (int64_t index = 0; index < a.chunks; index++) {
        const DeltaChunk chunk = delta_chunk_at(&a, sequence, index);
        const int64_t slot = a.slots > 1 ? index : 0, next_slot = a.slots > 1 ? index + 1 : 0;
        const float stays = load_decays(from_start, to_end, query_decay, &a, chunk, head);
        EACH (i, ROWS) beta[i] = beta_of_row(&a, chunk, head, i);
        tile_load_f32(T, a.inverse + products_at(&a, sequence, index, head), ROWS, ROWS, ROWS);
        tile_load(values, v_at(&a, chunk, head, program_y), a.v_stride, chunk.rows, cols_v);
        accumulator_zero(read);
        accumulator_zero(out);
        for (int64_t block = 0; block * WIDTH < a.K; block++) {
            const int64_t cols = a.K - block * WIDTH;
            tile_load(k, k_at(&a, chunk, k_head, block), a.k_stride, chunk.rows, cols);
            tile_load_f32(S, a.state + slot_at(&a, sequence, slot, head, block, program_y), a.V, cols, cols_v);
            if (a.o) tile_load(q, q_at(&a, chunk, k_head, block), a.q_stride, chunk.tokens, cols);
            sync();
            mma_nn(read, k, S);
            if (a.o) mma_nn(out, q, S);
            sync();
        }
        MAP(read, i, j, x, x = beta[i] * (AT(values, i, j) - from_start[i] * x); PUT(values, i, j, x));
        sync();
        accumulator_zero(u);
        mma_nn(u, T, values);
        if (a.u) {
            float *to = a.u + u_at(&a, chunk, head, program_y);
            accumulator_store_f32(u, to, a.v_heads * a.V, chunk.rows, cols_v);
        }
        sync();
        if (a.o) {
            tile_cast(values, u);
            tile_load_f32(P, a.products + products_at(&a, sequence, index, head), ROWS, ROWS, ROWS);
            MAP(out, i, j, x, x *= query_decay[i]);
            sync();
            mma_nn(out, P, values);
            element *o = (element *)a.o + chunk.token * a.o_stride + head * a.V + program_y * WIDTH;
            accumulator_store(out, o, a.o_stride, chunk.tokens, cols_v);
            sync();
        }
        if (index + 1 == a.chunks && !a.final) break;
        MAP(u, i, j, x, PUT(values, i, j, to_end[i] * x));
        for (int64_t block = 0; block * WIDTH < a.K; block++) {
            const int64_t cols = a.K - block * WIDTH;
            const float *from = a.state + slot_at(&a, sequence, slot, head, block, program_y);
            float *to = a.state + slot_at(&a, sequence, next_slot, head, block, program_y);
            tile_load(k, k_at(&a, chunk, k_head, block), a.k_stride, chunk.rows, cols);
            accumulator_load(next, from, a.V, cols, cols_v);
            MAP(next, d, j, x, x *= stays);
            sync();
            mma_tn(next, k, values);
            accumulator_store_f32(next, to, a.V, cols, cols_v);
            sync();
        }
    }
    if (!a.final) return;
    float *final = a.final + program_x * a.K * a.V + program_y * WIDTH;
    MOVE_STATE(next, final, a.V, a.state, slot_at(&a, sequence, a.slots - 1, head, 0, program_y), a.V);
}

/* R', the gradient of v, and that of the states. Program: as chunk_delta_state. */
KERNEL(chunk_delta_dstate, ChunkDeltaArguments) {
    TILE(q, ROWS, WIDTH);
    TILE(k, ROWS, WIDTH);
    TILE(dS, WIDTH, WIDTH);
    TILE(T, ROWS, ROWS);
    TILE(P, ROWS, ROWS);
    TILE(dO, ROWS, WIDTH);
    TILE(values, ROWS, WIDTH); /* U', then -D beta R' */
    VECTOR(beta, ROWS);
    VECTOR(from_start, ROWS);
    VECTOR(to_end, ROWS);
    VECTOR(query_decay, ROWS);
    ACCUMULATOR(du, ROWS, WIDTH);
    ACCUMULATOR(dr, ROWS, WIDTH);
    ACCUMULATOR(next, WIDTH, WIDTH);
    const int64_t sequence = program_x / a.v_heads, head = program_x % a.v_heads;
    const int64_t k_head = head * a.heads / a.v_heads, cols_v = a.V - program_y * WIDTH;
    const int64_t given = program_x * a.K * a.V + program_y * WIDTH;
    MOVE_STATE(next, a.dstate + slot_at(&a, sequence, a.chunks, head, 0, program_y), a.V, a.dfinal, given, a.V);
    for (int64_t index = a.chunks - 1; index >= 0; index--) {
        const DeltaChunk chunk = delta_chunk_at(&a, sequence, index);
        const float stays = load_decays(from_start, to_end, query_decay, &a, chunk, head);
        EACH (i, ROWS) beta[i] = beta_of_row(&a, chunk, head, i);
        tile_load_f32(T, a.inverse + products_at(&a, sequence, index, head), ROWS, ROWS, ROWS);
        tile_load_f32(P, a.products + products_at(&a, sequence, index, head), ROWS, ROWS, ROWS);
        tile_load(dO, do_at(&a, chunk, head, program_y), a.o_stride, chunk.tokens, cols_v);
        accumulator_zero(du);
        for (int64_t block = 0; block * WIDTH < a.K; block++) {
            const int64_t cols = a.K - block * WIDTH;
            tile_load(k, k_at(&a, chunk, k_head, block), a.k_stride, chunk.rows, cols);
            tile_load_f32(dS, a.dstate + slot_at(&a, sequence, index + 1, head, block, program_y), a.V, cols, cols_v);
            sync();
            mma_nn(du, k, dS);
            sync();
        }
        MAP(du, i, j, x, x *= to_end[i]);
        mma_tn(du, P, dO);
        tile_cast(values, du);
        sync();
        accumulator_zero(dr);
        mma_tn(dr, T, values);
        sync();
        accumulator_store_f32(dr, a.dr + u_at(&a, chunk, head, program_y), a.v_heads * a.V, chunk.rows, cols_v);
        MAP(dr, i, j, x, x *= beta[i]; PUT(values, i, j, -from_start[i] * x));
        element *dv = (element *)a.dv + chunk.row * a.v_stride + head * a.V + program_y * WIDTH;
        accumulator_store(dr, dv, a.v_stride, chunk.rows, cols_v);
        if (index == 0 && !a.dinitial) break;
        EACH_TILE(dO, i, j, x, x *= query_decay[i]);
        for (int64_t block = 0; block * WIDTH < a.K; block++) {
            const int64_t cols = a.K - block * WIDTH;
            const float *from = a.dstate + slot_at(&a, sequence, index + 1, head, block, program_y);
            float *to = a.dstate + slot_at(&a, sequence, index, head, block, program_y);
            tile_load(q, q_at(&a, chunk, k_head, block), a.q_stride, chunk.tokens, cols);
            tile_load(k, k_at(&a, chunk, k_head, block), a.k_stride, chunk.rows, cols);
            accumulator_load(next, from, a.V, cols, cols_v);
            MAP(next, d, j, x, x *= stays);
            sync();
            mma_tn(next, q, dO);
            mma_tn(next, k, values);
            accumulator_store_f32(next, to, a.V, cols, cols_v);
            sync();
        }
    }
    if (!a.dinitial) return;
    float *dinitial = a.dinitial + program_x * a.K * a.initial_stride + program_y * WIDTH;
    MOVE_STATE(next, dinitial, a.initial_stride, a.dstate, slot_at(&a, sequence, 0, head, 0, program_y), a.V);
}

/* A, B + B^T, and the parts of G' and beta' that need no state: with Z from above,
 * beta'_i <- R'_i v_i + sum over j of B_ij k_i k_j / beta_i, G'_i <- sum over j of (Z_ij - Z_ji).
 * Program: chunk, sequence and value head. */
KERNEL(chunk_delta_dproducts, ChunkDeltaArguments) {
    TILE(dO, ROWS, WIDTH);
    TILE(dr, ROWS, WIDTH);
    TILE(u, ROWS, WIDTH);
    TILE(v, ROWS, WIDTH);
    MATRIX(decay, ROWS, ROWS);
    MATRIX(z, ROWS, ROWS); /* Z, then B */
    VECTOR(step, ROWS);
    VECTOR(document, ROWS);
    VECTOR(beta, ROWS);
    VECTOR(row_dots, ROWS);
    VECTOR(query_sums, ROWS);
    VECTOR(key_sums, ROWS);
    ACCUMULATOR(queries, ROWS, ROWS);
    ACCUMULATOR(keys, ROWS, ROWS);
    ACCUMULATOR(dots, ROWS, WIDTH); /* R' v, its sum over the rows to come */
    const int64_t sequence = program_y / a.v_heads, head = program_y % a.v_heads;
    const int64_t at = products_at(&a, sequence, program_x, head);
    const DeltaChunk chunk = delta_chunk_at(&a, sequence, program_x);
    EACH (i, ROWS) beta[i] = beta_of_row(&a, chunk, head, i);
    accumulator_zero(queries);
    accumulator_zero(keys);
    accumulator_zero(dots);
    for (int64_t block = 0; block * WIDTH < a.V; block++) {
        const int64_t cols = a.V - block * WIDTH, from = u_at(&a, chunk, head, block), stride = a.v_heads * a.V;
        tile_load(dO, do_at(&a, chunk, head, block), a.o_stride, chunk.tokens, cols);
        tile_load(v, v_at(&a, chunk, head, block), a.v_stride, chunk.rows, cols);
        tile_load_f32(u, a.u + from, stride, chunk.rows, cols);
        tile_load_f32(dr, a.dr + from, stride, chunk.rows, cols);
        sync();
        mma_nt(queries, dO, u);
        mma_nt(keys, dr, u);
        MAP(dots, i, j, x, x += AT(dr, i, j) * AT(v, i, j));
        sync();
    }
    decay_matrix(decay, decay_stride, step, document, &a, chunk, head);
    const float *P = a.products + at, *overlaps = a.overlaps + at;
    float *dproducts = a.dproducts + at, *doverlaps = a.doverlaps + at;
    MAP(queries, i, j, x, {
        dproducts[i * ROWS + j] = a.scale * ENTRY(decay, query_row(&a, i), j) * x;
        x *= P[i * ROWS + j];
        ENTRY(z, i, j) = x;
    });
    row_sum(query_sums, queries);
    row_sum(row_dots, dots);
    sync();
    float *sums = sums_at(&a, 0, sequence, program_x, head), *dbeta = sums + ROWS;
    EACH (j, ROWS) {
        float total = 0;
        for (int i = 0; i < ROWS; i++) total += ENTRY(z, i, j);
        key_sums[j] = query_entry(query_sums, &a, j) - total;
    }
    sync();
    MAP(keys, i, j, x, {
        x = j < i ? -x : 0.0f;
        ENTRY(decay, i, j) *= beta[i] * x; /* B */
        x *= overlaps[i * ROWS + j];
        ENTRY(z, i, j) = beta[i] * x;
    });
    row_sum(query_sums, keys);
    sync();
    EACH (j, ROWS) {
        float total = 0;
        for (int i = 0; i < ROWS; i++) total += ENTRY(z, i, j);
        sums[j] = key_sums[j] + beta[j] * query_sums[j] - total;
        dbeta[j] = row_dots[j] + query_sums[j];
    }
    EACH_ENTRY(z, i, j, x, doverlaps[i * ROWS + j] = ENTRY(decay, j <= i ? i : j, j <= i ? j : i));
}

/* part = values state^T over all of V: `values` rows of the chunk, `state` a block of K of a slot. */
#define PRODUCT_WITH_STATE(part, load, values_at, stride, rows, state_from)                                            \
    accumulator_zero(part);                                                                                            \
    for (int64_t block_ = 0; block_ * WIDTH < a.V; block_++) {                                                         \
        load(values, (values_at) + block_ * WIDTH, stride, rows, a.V - block_ * WIDTH);                                \
        tile_load_f32(state, (state_from) + block_ * WIDTH, a.V, a.K - program_x * WIDTH, a.V - block_ * WIDTH);       \
        sync();                                                                                                        \
        mma_nt(part, values, state);                                                                                   \
        sync();                                                                                                        \
    }

/* The gradient of q, and what comes with it of G'. Program: block of K, chunk, sequence and query head. */
KERNEL(chunk_delta_dq, ChunkDeltaArguments) {
    TILE(q, ROWS, WIDTH);
    TILE(k, ROWS, WIDTH);
    TILE(values, ROWS, WIDTH);
    TILE(state, WIDTH, WIDTH);
    TILE(A, ROWS, ROWS);
    VECTOR(from_start, ROWS);
    VECTOR(to_end, ROWS);
    VECTOR(query_decay, ROWS);
    VECTOR(dots, ROWS);
    ACCUMULATOR(part, ROWS, WIDTH);
    ACCUMULATOR(dq, ROWS, WIDTH);
    const int64_t sequence = program_z / a.heads, k_head = program_z % a.heads, group = a.v_heads / a.heads;
    const int64_t cols = a.K - program_x * WIDTH;
    const DeltaChunk chunk = delta_chunk_at(&a, sequence, program_y);
    tile_load(q, q_at(&a, chunk, k_head, program_x), a.q_stride, chunk.tokens, cols);
    tile_load(k, k_at(&a, chunk, k_head, program_x), a.k_stride, chunk.rows, cols);
    accumulator_zero(dq);
    for (int64_t head = k_head * group; head < (k_head + 1) * group; head++) {
        const float *S = a.state + slot_at(&a, sequence, program_y, head, program_x, 0);
        load_decays(from_start, to_end, query_decay, &a, chunk, head);
        tile_load_f32(A, a.dproducts + products_at(&a, sequence, program_y, head), ROWS, ROWS, ROWS);
        PRODUCT_WITH_STATE(part, tile_load, do_at(&a, chunk, head, 0), a.o_stride, chunk.tokens, S);
        mma_nn(dq, A, k);
        MAP(part, i, d, x, x *= query_decay[i]; PEER(dq, i, d) += x; x *= AT(q, i, d));
        row_sum(dots, part);
        sync();
        float *sums = sums_at(&a, 1 + a.blocks_k + program_x, sequence, program_y, head);
        EACH (i, ROWS) {
            sums[i] = query_entry(dots, &a, i);
            sums[ROWS + i] = 0;
        }
    }
    element *to = (element *)a.dq + chunk.token * a.q_stride + k_head * a.K + program_x * WIDTH;
    accumulator_store(dq, to, a.q_stride, chunk.tokens, cols);
}

/* The gradient of k, and what comes with it of G' and beta', and of G' through the decay of the state.
 * Program: as chunk_delta_dq. */
KERNEL(chunk_delta_dk, ChunkDeltaArguments) {
    TILE(q, ROWS, WIDTH);
    TILE(k, ROWS, WIDTH);
    TILE(values, ROWS, WIDTH);
    TILE(state, WIDTH, WIDTH);
    TILE(weights, ROWS, ROWS); /* A, then B + B^T */
    VECTOR(beta, ROWS);
    VECTOR(from_start, ROWS);
    VECTOR(to_end, ROWS);
    VECTOR(query_decay, ROWS);
    VECTOR(erased, ROWS);
    VECTOR(written, ROWS);
    ACCUMULATOR(part, ROWS, WIDTH);
    ACCUMULATOR(dk, ROWS, WIDTH);
    const int64_t sequence = program_z / a.heads, k_head = program_z % a.heads, group = a.v_heads / a.heads;
    const int64_t cols = a.K - program_x * WIDTH, entries = (cols < WIDTH ? cols : WIDTH) * a.V;
    const DeltaChunk chunk = delta_chunk_at(&a, sequence, program_y);
    tile_load(q, q_at(&a, chunk, k_head, program_x), a.q_stride, chunk.tokens, cols);
    tile_load(k, k_at(&a, chunk, k_head, program_x), a.k_stride, chunk.rows, cols);
    accumulator_zero(dk);
    for (int64_t head = k_head * group; head < (k_head + 1) * group; head++) {
        const float *S = a.state + slot_at(&a, sequence, program_y, head, program_x, 0);
        const float *dS_next = a.dstate + slot_at(&a, sequence, program_y + 1, head, program_x, 0);
        const int64_t u_from = u_at(&a, chunk, head, 0), u_stride = a.v_heads * a.V;
        const int64_t at = products_at(&a, sequence, program_y, head);
        const float stays = load_decays(from_start, to_end, query_decay, &a, chunk, head);
        EACH (i, ROWS) beta[i] = beta_of_row(&a, chunk, head, i);
        tile_load_f32(weights, a.dproducts + at, ROWS, ROWS, ROWS);
        PRODUCT_WITH_STATE(part, tile_load_f32, a.dr + u_from, u_stride, chunk.rows, S);
        mma_tn(dk, weights, q);
        MAP(part, i, d, x, x *= -from_start[i]; PEER(dk, i, d) += beta[i] * x; x *= AT(k, i, d));
        row_sum(erased, part);
        sync();
        tile_load_f32(weights, a.doverlaps + at, ROWS, ROWS, ROWS);
        PRODUCT_WITH_STATE(part, tile_load_f32, a.u + u_from, u_stride, chunk.rows, dS_next);
        mma_nn(dk, weights, k);
        MAP(part, i, d, x, x *= to_end[i]; PEER(dk, i, d) += x; x *= AT(k, i, d));
        row_sum(written, part);
        float kept = 0, through = 0;
        SUM(kept, i, entries, S[i] * dS_next[i]); /* with the barriers that `written` needs */
        SUM(through, i, ROWS, written[i]);
        through += stays * kept;
        float *sums = sums_at(&a, 1 + program_x, sequence, program_y, head);
        EACH (i, ROWS) {
            sums[i] = beta[i] * erased[i] - written[i] + (i == ROWS - 1 ? through : 0.0f);
            sums[ROWS + i] = erased[i];
        }
    }
    element *to = (element *)a.dk + chunk.row * a.k_stride + k_head * a.K + program_x * WIDTH;
    accumulator_store(dk, to, a.k_stride, chunk.rows, cols);
}

/* The gradients of g and beta from their parts. Program: chunk, sequence and value head. */
KERNEL(chunk_delta_dgates, ChunkDeltaArguments) {
    VECTOR(dG, ROWS);
    const int64_t sequence = program_y / a.v_heads, head = program_y % a.v_heads;
    const DeltaChunk chunk = delta_chunk_at(&a, sequence, program_x);
    EACH (i, ROWS) {
        float gate = 0, beta = 0;
        for (int64_t part = 0; part < 1 + 2 * a.blocks_k; part++) {
            const float *sums = sums_at(&a, part, sequence, program_x, head);
            gate += sums[i];
            beta += sums[ROWS + i];
        }
        dG[i] = gate;
        if (a.dbeta && i < chunk.rows) a.dbeta[(chunk.row + i) * a.beta_stride + head] = beta;
    }
    if (!a.dg) return;
    sync();
    vector_cumsum_reverse(dG);
    sync();
    EACH (i, chunk.tokens) a.dg[(chunk.token + i) * a.g_stride + head] = dG[i * a.steps];
}
