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
#include "tile/tile.h"
#include "kernels/recurrences/chunk_delta/chunk_delta.h"
#include "kernels/recurrences/triangular_inverse.h"

enum { ROWS = CHUNK_ROWS, WIDTH = CHUNK_DELTA_WIDTH };

/* A chunk: its tokens in [N], the rows of their updates in [N * steps]. */
typedef struct DeltaChunk {
    Rows tokens, updates;
    int32_t before, last; /* as in Chunk */
} DeltaChunk;

DEVICE DeltaChunk delta_chunk_at(const ChunkDeltaArguments *a, int64_t sequence, int64_t index) {
    const Chunk chunk = chunk_at(a->segment, a->T, ROWS / a->steps, sequence, index);
    const Rows updates = {chunk.rows.first * a->steps, chunk.rows.count * a->steps};
    const DeltaChunk whole = {chunk.rows, updates, chunk.before, chunk.last};
    return whole;
}

/* Offset of the 64 x 64 entries, and of the block (k, v) of a slot, of (sequence, chunk or slot index, value head). */
DEVICE int64_t products_at(const ChunkDeltaArguments *a, int64_t sequence, int64_t index, int64_t head) {
    return chunk_offset(a->chunks, a->v_heads, sequence, index, head, ROWS * ROWS);
}
DEVICE int64_t slot_at(const ChunkDeltaArguments *a, int64_t sequence, int64_t slot, int64_t head, int64_t k,
                       int64_t v) {
    return (((sequence * a->v_heads + head) * a->slots + slot) * a->K + k * WIDTH) * a->V + v * WIDTH;
}
DEVICE float *sums_at(const ChunkDeltaArguments *a, int64_t part, int64_t sequence, int64_t index, int64_t head) {
    return a->sums + part * a->sums_stride + chunk_offset(a->chunks, a->v_heads, sequence, index, head, 2 * ROWS);
}

/* The log decay and beta of a row; 0 past the chunk's end. */
DEVICE float gate_of_row(const ChunkDeltaArguments *a, DeltaChunk chunk, int64_t head, int64_t row) {
    if (!a->g || row >= chunk.updates.count || row % a->steps != 0) return 0;
    return a->g[(chunk.tokens.first + row / a->steps) * a->g_stride + head];
}
DEVICE float beta_of_row(const ChunkDeltaArguments *a, DeltaChunk chunk, int64_t head, int64_t row) {
    if (row >= chunk.updates.count) return 0;
    return a->beta ? a->beta[(chunk.updates.first + row) * a->beta_stride + head] : 1.0f;
}

/* The segment of a row; -1 past the chunk's end. */
DEVICE int32_t segment_of_row(const ChunkDeltaArguments *a, DeltaChunk chunk, int64_t row) {
    return row < chunk.updates.count ? a->segment[chunk.tokens.first + row / a->steps] : -1;
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
    EACH (i, ROWS) query_decay[i] = i < chunk.tokens.count ? a->scale * from_start[query_row(a, i)] : 0.0f;
    return stays;
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

/* T and P, and the overlaps M_ij k_i k_j for j < i. Program: chunk, sequence and value head. */
KERNEL(chunk_delta_products, ChunkDeltaArguments) {
    TILE(q, ROWS, WIDTH);
    TILE(k, ROWS, WIDTH);
    MATRIX(decay, ROWS, ROWS);
    MATRIX(lower, ROWS, ROWS);
    MATRIX(inverse, ROWS, ROWS);
    VECTOR(step, ROWS);
    ACCUMULATOR(queries, ROWS, ROWS);
    ACCUMULATOR(keys, ROWS, ROWS);
    const int64_t sequence = program_y / a.v_heads, head = program_y % a.v_heads;
    const int64_t k_head = head * a.heads / a.v_heads, at = products_at(&a, sequence, program_x, head);
    const DeltaChunk chunk = delta_chunk_at(&a, sequence, program_x);
    accumulator_zero(queries);
    accumulator_zero(keys);
    for (int64_t block = 0; block * WIDTH < a.K; block++) {
        tile_load_block(q, a.q, a.K, chunk.tokens, k_head, block);
        tile_load_block(k, a.k, a.K, chunk.updates, k_head, block);
        sync();
        mma_nt(queries, q, k);
        mma_nt(keys, k, k);
        sync();
    }
    decay_matrix(decay, step, &a, chunk, head);
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
        tile_load_block(values, a.v, a.V, chunk.updates, head, program_y);
        accumulator_zero(read);
        accumulator_zero(out);
        for (int64_t block = 0; block * WIDTH < a.K; block++) {
            const int64_t cols = a.K - block * WIDTH;
            tile_load_block(k, a.k, a.K, chunk.updates, k_head, block);
            tile_load_f32(S, a.state + slot_at(&a, sequence, slot, head, block, program_y), a.V, cols, cols_v);
            if (a.o.data) tile_load_block(q, a.q, a.K, chunk.tokens, k_head, block);
            sync();
            mma_nn(read, k, S);
            if (a.o.data) mma_nn(out, q, S);
            sync();
        }
        MAP(read, i, j, x, x = beta[i] * (AT(values, i, j) - from_start[i] * x); PUT(values, i, j, x));
        sync();
        accumulator_zero(u);
        mma_nn(u, T, values);
        if (a.u.data) accumulator_store_block_f32(u, a.u, a.V, chunk.updates, head, program_y);
        sync();
        if (a.o.data) {
            tile_cast(values, u);
            tile_load_f32(P, a.products + products_at(&a, sequence, index, head), ROWS, ROWS, ROWS);
            MAP(out, i, j, x, x *= query_decay[i]);
            sync();
            mma_nn(out, P, values);
            accumulator_store_block(out, a.o, a.V, chunk.tokens, head, program_y);
            sync();
        }
        if (index + 1 == a.chunks && !a.final) break;
        MAP(u, i, j, x, PUT(values, i, j, to_end[i] * x));
        for (int64_t block = 0; block * WIDTH < a.K; block++) {
            const int64_t cols = a.K - block * WIDTH;
            const float *from = a.state + slot_at(&a, sequence, slot, head, block, program_y);
            float *to = a.state + slot_at(&a, sequence, next_slot, head, block, program_y);
            tile_load_block(k, a.k, a.K, chunk.updates, k_head, block);
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
        tile_load_block(dO, a.do_, a.V, chunk.tokens, head, program_y);
        accumulator_zero(du);
        for (int64_t block = 0; block * WIDTH < a.K; block++) {
            const int64_t cols = a.K - block * WIDTH;
            tile_load_block(k, a.k, a.K, chunk.updates, k_head, block);
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
        accumulator_store_block_f32(dr, a.dr, a.V, chunk.updates, head, program_y);
        MAP(dr, i, j, x, x *= beta[i]; PUT(values, i, j, -from_start[i] * x));
        accumulator_store_block(dr, a.dv, a.V, chunk.updates, head, program_y);
        if (index == 0 && !a.dinitial) break;
        EACH_TILE(dO, i, j, x, x *= query_decay[i]);
        for (int64_t block = 0; block * WIDTH < a.K; block++) {
            const int64_t cols = a.K - block * WIDTH;
            const float *from = a.dstate + slot_at(&a, sequence, index + 1, head, block, program_y);
            float *to = a.dstate + slot_at(&a, sequence, index, head, block, program_y);
            tile_load_block(q, a.q, a.K, chunk.tokens, k_head, block);
            tile_load_block(k, a.k, a.K, chunk.updates, k_head, block);
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
        tile_load_block(dO, a.do_, a.V, chunk.tokens, head, block);
        tile_load_block(v, a.v, a.V, chunk.updates, head, block);
        tile_load_block_f32(u, a.u, a.V, chunk.updates, head, block);
        tile_load_block_f32(dr, a.dr, a.V, chunk.updates, head, block);
        sync();
        mma_nt(queries, dO, u);
        mma_nt(keys, dr, u);
        MAP(dots, i, j, x, x += AT(dr, i, j) * AT(v, i, j));
        sync();
    }
    decay_matrix(decay, step, &a, chunk, head);
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
    tile_load_block(q, a.q, a.K, chunk.tokens, k_head, program_x);
    tile_load_block(k, a.k, a.K, chunk.updates, k_head, program_x);
    accumulator_zero(dq);
    for (int64_t head = k_head * group; head < (k_head + 1) * group; head++) {
        const float *S = a.state + slot_at(&a, sequence, program_y, head, program_x, 0);
        load_decays(from_start, to_end, query_decay, &a, chunk, head);
        tile_load_f32(A, a.dproducts + products_at(&a, sequence, program_y, head), ROWS, ROWS, ROWS);
        VALUES_TIMES_STATE(part, tile_load_block, values, a.do_, a.V, chunk.tokens, head, state, S, cols);
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
    accumulator_store_block(dq, a.dq, a.K, chunk.tokens, k_head, program_x);
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
    tile_load_block(q, a.q, a.K, chunk.tokens, k_head, program_x);
    tile_load_block(k, a.k, a.K, chunk.updates, k_head, program_x);
    accumulator_zero(dk);
    for (int64_t head = k_head * group; head < (k_head + 1) * group; head++) {
        const float *S = a.state + slot_at(&a, sequence, program_y, head, program_x, 0);
        const float *dS_next = a.dstate + slot_at(&a, sequence, program_y + 1, head, program_x, 0);
        const int64_t at = products_at(&a, sequence, program_y, head);
        const float stays = load_decays(from_start, to_end, query_decay, &a, chunk, head);
        EACH (i, ROWS) beta[i] = beta_of_row(&a, chunk, head, i);
        tile_load_f32(weights, a.dproducts + at, ROWS, ROWS, ROWS);
        VALUES_TIMES_STATE(part, tile_load_block_f32, values, a.dr, a.V, chunk.updates, head, state, S, cols);
        mma_tn(dk, weights, q);
        MAP(part, i, d, x, x *= -from_start[i]; PEER(dk, i, d) += beta[i] * x; x *= AT(k, i, d));
        row_sum(erased, part);
        sync();
        tile_load_f32(weights, a.doverlaps + at, ROWS, ROWS, ROWS);
        VALUES_TIMES_STATE(part, tile_load_block_f32, values, a.u, a.V, chunk.updates, head, state, dS_next, cols);
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
    accumulator_store_block(dk, a.dk, a.K, chunk.updates, k_head, program_x);
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
        if (a.dbeta && i < chunk.updates.count) a.dbeta[(chunk.updates.first + i) * a.beta_stride + head] = beta;
    }
    if (!a.dg) return;
    sync();
    vector_cumsum_reverse(dG);
    sync();
    EACH (i, chunk.tokens.count) a.dg[(chunk.tokens.first + i) * a.g_stride + head] = dG[i * a.steps];
}
