/* The gated delta rule in chunks of 64 rows (arXiv 2406.06484, 2412.06464). Only the state is carried from chunk to
 * chunk, by one program per head and block of V; everything else is one program per chunk and head.
 *
 * Row i of the chunk is one update of the state. With G the running sum of g inside the chunk, M_ij = e^(G_i - G_j) for
 * j <= i, D_i = e^G_i, E_i = e^(G_last - G_i), S the state before the chunk and x' the gradient of x:
 *
 *   L = beta_i M_ij k_i k_j for j < i         T = (I + L)^-1         P = K^(-1/2) M_ij q_i k_j for j <= i
 *   W = T (beta D k)                          R = T (beta v)
 *   U = R - W S                               S_next = e^G_last S + k^T (E U)
 *   o = K^(-1/2) D q S + P U
 *
 *   U' = P^T o' + E k S_next'                 R' = T^T U'            v' = beta R'
 *   S' = e^G_last S_next' + q^T (K^(-1/2) D o') - W^T U'
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

enum { ROWS = CHUNK_ROWS, WIDTH = CHUNK_DELTA_WIDTH, HELD = CHUNK_DELTA_HELD };

/* A chunk: its tokens in [N], the rows of their updates in [N * steps]. */
typedef struct DeltaChunk {
    Rows tokens, updates;
    int32_t before, last; /* as in Chunk */
} DeltaChunk;

DEVICE DeltaChunk delta_chunk_at(const ChunkDeltaArguments *a, int64_t sequence, int64_t index) {
    const int64_t most = a->steps == 1 ? ROWS : ROWS / (int)a->steps;
    const Chunk chunk = chunk_at(a->segment, a->T, most, sequence, index);
    const Rows updates = {chunk.rows.first * a->steps, chunk.rows.count * a->steps};
    const DeltaChunk whole = {chunk.rows, updates, chunk.before, chunk.last};
    return whole;
}

/* Offsets of what a (sequence, chunk, value head) has: 64 x 64 entries, the state, the vectors of a GATES_ number. */
DEVICE int64_t products_at(const ChunkDeltaArguments *a, int64_t sequence, int64_t index, int64_t head) {
    return chunk_offset(a->chunks, a->v_heads, sequence, index, head, ROWS * ROWS);
}
DEVICE int64_t state_at(const ChunkDeltaArguments *a, int64_t sequence, int64_t index, int64_t head) {
    return chunk_offset(a->chunks, a->v_heads, sequence, index, head, a->K * a->V);
}
enum { GATES_FROM_START, GATES_TO_END, GATES_QUERY, GATES_BETA, GATES };
DEVICE float *gates_at(const ChunkDeltaArguments *a, int64_t number, int64_t sequence, int64_t index, int64_t head) {
    return a->gates + chunk_offset(a->chunks, a->v_heads, sequence, index, head, GATES * ROWS) + number * ROWS;
}
DEVICE float *sums_at(const ChunkDeltaArguments *a, int64_t part, int64_t sequence, int64_t index, int64_t head) {
    return a->sums + part * a->sums_stride + chunk_offset(a->chunks, a->v_heads, sequence, index, head, 2 * ROWS);
}

/* e^G_last, or 0 where the chunk does not end in the document that it begins in, given D. */
DEVICE float stays_of(const float *from_start, DeltaChunk chunk) { return from_start[chunk.updates.count - 1]; }

/* beta, D, E and K^(-1/2) D of the queries; the result is e^G_last. Needs a sync() after it. */
DEVICE float load_gates(float *beta, float *from_start, float *to_end, float *query_decay, const ChunkDeltaArguments *a,
                        DeltaChunk chunk, int64_t sequence, int64_t index, int64_t head) {
    const float *gates = gates_at(a, 0, sequence, index, head);
    EACH (i, ROWS) {
        beta[i] = gates[GATES_BETA * ROWS + i];
        from_start[i] = gates[GATES_FROM_START * ROWS + i];
        to_end[i] = gates[GATES_TO_END * ROWS + i];
        query_decay[i] = gates[GATES_QUERY * ROWS + i];
    }
    return stays_of(gates + GATES_FROM_START * ROWS, chunk);
}

/* Token of a row, and whether the row is its first. */
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

/* The last row of token i: the state after it is what the token's query reads. Tokens past the end get some row. */
DEVICE int query_row(const ChunkDeltaArguments *a, int64_t token) {
    const int row = ((int)token + 1) * (int)a->steps - 1;
    return row < ROWS ? row : ROWS - 1;
}

/* What `queries` holds of the query that reads the state after a row; 0 if none does. */
DEVICE float query_entry(const float *queries, const ChunkDeltaArguments *a, int64_t row) {
    return is_first_row(a, row + 1) ? queries[token_of_row(a, row)] : 0.0f;
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

/* T, P, W, R, the overlaps M_ij k_i k_j for j < i, and D, E, K^(-1/2) D of the queries and beta.
 * Program: chunk, sequence and value head. */
KERNEL(chunk_delta_prepare, ChunkDeltaArguments) {
    TILE(left, ROWS, WIDTH);     /* q, then T beta D, then T beta */
    TILE(right, ROWS, WIDTH);    /* k, then v */
    MATRIX(decay, ROWS, ROWS);   /* M, then L */
    MATRIX(inverse, ROWS, ROWS); /* T */
    VECTOR(step, ROWS);
    VECTOR(beta, ROWS);
    VECTOR(from_start, ROWS);
    VECTOR(to_end, ROWS);
    ACCUMULATOR(queries, ROWS, ROWS);
    ACCUMULATOR(keys, ROWS, ROWS);
    HALVES(product, WIDTH);
    const int64_t sequence = program_y / a.v_heads, head = program_y % a.v_heads;
    const int64_t k_head = head * a.heads / a.v_heads, at = products_at(&a, sequence, program_x, head);
    const DeltaChunk chunk = delta_chunk_at(&a, sequence, program_x);
    const Chunk updates = {chunk.updates, chunk.before, chunk.last};
    EACH (i, ROWS) {
        from_start[i] = gate_of_row(&a, chunk, head, i);
        to_end[i] = gate_of_row(&a, chunk, head, i + 1);
        beta[i] = beta_of_row(&a, chunk, head, i);
    }
    accumulator_zero(queries);
    accumulator_zero(keys);
    for (int64_t block = 0; block * WIDTH < a.K; block++) {
        tile_load_block(left, a.q, a.K, chunk.tokens, k_head, block);
        tile_load_block(right, a.k, a.K, chunk.updates, k_head, block);
        sync();
        mma_nt(queries, left, right);
        mma_nt(keys, right, right);
        sync();
    }
    vector_cumsum(from_start);
    vector_cumsum_reverse(to_end);
    decay_matrix(decay, step, &a, chunk, head);
    float *gates = gates_at(&a, 0, sequence, program_x, head);
    EACH (i, ROWS) {
        const int32_t segment = segment_of_row(&a, chunk, i);
        from_start[i] = segment == chunk.before ? exp_f(from_start[i]) : 0.0f;
        gates[GATES_FROM_START * ROWS + i] = from_start[i];
        gates[GATES_TO_END * ROWS + i] = segment == chunk.last ? exp_f(to_end[i]) : 0.0f;
        gates[GATES_BETA * ROWS + i] = beta[i];
    }
    MAP(queries, i, j, x, x *= a.scale * ENTRY(decay, query_row(&a, i), j));
    accumulator_store(queries, (element *)a.products + at, ROWS, ROWS, ROWS);
    MAP(keys, i, j, x, x *= j < i ? ENTRY(decay, i, j) : 0.0f);
    if (a.overlaps) accumulator_store_f32(keys, a.overlaps + at, ROWS, ROWS, ROWS);
    sync();
    EACH (i, ROWS) {
        gates[GATES_QUERY * ROWS + i] = i < chunk.tokens.count ? a.scale * from_start[query_row(&a, i)] : 0.0f;
        step[i] = beta[i] * from_start[i];
    }
    MAP(keys, i, j, x, ENTRY(decay, i, j) = beta[i] * x);
    triangular_inverse(inverse, decay);
    if (a.inverse) store_square((element *)a.inverse + at, inverse);
    if (!a.w.data) return;
    EACH_TILE(left, i, j, x, x = ENTRY(inverse, i, j));
    for (int64_t block = 0; block * WIDTH < a.K; block++) {
        tile_load_block(right, a.k, a.K, chunk.updates, k_head, block);
        EACH_TILE(right, i, j, x, x *= step[i]);
        sync();
        halves_zero(product);
        halves_mma_lower(product, left, right);
        halves_store_block(product, a.w, a.K, updates, head, block);
        sync();
    }
    EACH_TILE(left, i, j, x, x = ENTRY(inverse, i, j) * beta[j]);
    for (int64_t block = 0; block * WIDTH < a.V; block++) {
        tile_load_block(right, a.v, a.V, chunk.updates, head, block);
        sync();
        halves_zero(product);
        halves_mma_lower(product, left, right);
        halves_store_block(product, a.u, a.V, updates, head, block);
        sync();
    }
}

/* to = from + offset, or zero where `from` is NULL: all of K of a state's block of V, WIDTH rows at a time. */
#define MOVE_STATE(accumulator, to, to_stride, from, offset, from_stride)                                              \
    for (int64_t d_ = 0; d_ < a.K; d_ += WIDTH) {                                                                      \
        accumulator_zero(accumulator);                                                                                 \
        if (from)                                                                                                      \
            accumulator_load(accumulator, (from) + (offset) + d_ * (from_stride), from_stride, a.K - d_, cols_v);      \
        accumulator_store_f32(accumulator, (to) + d_ * (to_stride), to_stride, a.K - d_, cols_v);                      \
    }

/* For heads of any size, with the state in memory, which costs little on the host's cores: U, and the states or o or
 * both. U is T (beta (v - D k S)), without W and R. Program: sequence and value head, block of V. */
KERNEL(chunk_delta_state, ChunkDeltaArguments) {
    TILE(q, ROWS, WIDTH);
    TILE(k, ROWS, WIDTH);
    TILE(S, WIDTH, WIDTH);
    TILE(T, ROWS, ROWS);
    TILE(P, ROWS, ROWS);
    TILE(values, ROWS, WIDTH); /* v, then beta (v - D k S), then U, then E U */
    VECTOR(beta, ROWS);
    VECTOR(from_start, ROWS);
    VECTOR(to_end, ROWS);
    VECTOR(query_decay, ROWS);
    ACCUMULATOR(read, ROWS, WIDTH);
    ACCUMULATOR(u, ROWS, WIDTH);
    ACCUMULATOR(out, ROWS, WIDTH);
    ACCUMULATOR(state, WIDTH, WIDTH);
    const int64_t sequence = program_x / a.v_heads, head = program_x % a.v_heads;
    const int64_t k_head = head * a.heads / a.v_heads, cols_v = a.V - program_y * WIDTH;
    float *carried = a.carried + program_x * a.K * a.V + program_y * WIDTH;
    MOVE_STATE(state, carried, a.V, a.initial, program_x * a.K * a.initial_stride + program_y * WIDTH,
               a.initial_stride);
    sync();
    for (int64_t index = 0; index < a.chunks; index++) {
        const DeltaChunk chunk = delta_chunk_at(&a, sequence, index);
        const int64_t at = state_at(&a, sequence, index, head) + program_y * WIDTH;
        const int64_t square = products_at(&a, sequence, index, head);
        const float stays = load_gates(beta, from_start, to_end, query_decay, &a, chunk, sequence, index, head);
        tile_load(T, (const element *)a.inverse + square, ROWS, ROWS, ROWS);
        tile_load_block(values, a.v, a.V, chunk.updates, head, program_y);
        accumulator_zero(read);
        accumulator_zero(out);
        for (int64_t block = 0; block * WIDTH < a.K; block++) {
            const int64_t first = block * WIDTH * a.V, rows = a.K - block * WIDTH;
            tile_load_block(k, a.k, a.K, chunk.updates, k_head, block);
            if (a.o.data) tile_load_block(q, a.q, a.K, chunk.tokens, k_head, block);
            tile_load_f32(S, carried + first, a.V, rows, cols_v);
            sync();
            mma_nn(read, k, S);
            if (a.o.data) mma_nn(out, q, S);
            if (a.state) tile_store(S, (element *)a.state + at + first, a.V, rows, cols_v);
            sync();
        }
        MAP(read, i, j, x, x = beta[i] * (AT(values, i, j) - from_start[i] * x); PUT(values, i, j, x));
        sync();
        accumulator_zero(u);
        mma_nn(u, T, values);
        if (a.u.data) accumulator_store_block(u, a.u, a.V, chunk.updates, head, program_y);
        sync();
        if (a.o.data) {
            tile_cast(values, u);
            tile_load(P, (const element *)a.products + square, ROWS, ROWS, ROWS);
            MAP(out, i, j, x, x *= query_decay[i]);
            sync();
            mma_nn(out, P, values);
            accumulator_store_block(out, a.o, a.V, chunk.tokens, head, program_y);
            sync();
        }
        if (index + 1 == a.chunks && !a.final) break;
        MAP(u, i, j, x, PUT(values, i, j, to_end[i] * x));
        for (int64_t block = 0; block * WIDTH < a.K; block++) {
            float *at_block = carried + block * WIDTH * a.V;
            tile_load_block(k, a.k, a.K, chunk.updates, k_head, block);
            accumulator_load(state, at_block, a.V, a.K - block * WIDTH, cols_v);
            MAP(state, d, j, x, x *= stays);
            sync();
            mma_tn(state, k, values);
            accumulator_store_f32(state, at_block, a.V, a.K - block * WIDTH, cols_v);
            sync();
        }
    }
    if (!a.final) return;
    float *final = a.final + program_x * a.K * a.V + program_y * WIDTH;
    MOVE_STATE(state, final, a.V, carried, 0, a.V);
}

/* The gradients of the states, and R'. Program: as chunk_delta_state. */
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
    ACCUMULATOR(dstate, WIDTH, WIDTH);
    const int64_t sequence = program_x / a.v_heads, head = program_x % a.v_heads;
    const int64_t k_head = head * a.heads / a.v_heads, cols_v = a.V - program_y * WIDTH;
    float *carried = a.carried + program_x * a.K * a.V + program_y * WIDTH;
    MOVE_STATE(dstate, carried, a.V, a.dfinal, program_x * a.K * a.V + program_y * WIDTH, a.V);
    sync();
    for (int64_t index = a.chunks - 1; index >= 0; index--) {
        const DeltaChunk chunk = delta_chunk_at(&a, sequence, index);
        const int64_t square = products_at(&a, sequence, index, head);
        const float stays = load_gates(beta, from_start, to_end, query_decay, &a, chunk, sequence, index, head);
        element *to = (element *)a.dstate + state_at(&a, sequence, index, head) + program_y * WIDTH;
        tile_load(T, (const element *)a.inverse + square, ROWS, ROWS, ROWS);
        tile_load(P, (const element *)a.products + square, ROWS, ROWS, ROWS);
        tile_load_block(dO, a.do_, a.V, chunk.tokens, head, program_y);
        accumulator_zero(du);
        for (int64_t block = 0; block * WIDTH < a.K; block++) {
            const int64_t first = block * WIDTH * a.V, rows = a.K - block * WIDTH;
            tile_load_block(k, a.k, a.K, chunk.updates, k_head, block);
            tile_load_f32(dS, carried + first, a.V, rows, cols_v);
            sync();
            mma_nn(du, k, dS);
            tile_store(dS, to + first, a.V, rows, cols_v);
            sync();
        }
        MAP(du, i, j, x, x *= to_end[i]);
        mma_tn(du, P, dO);
        tile_cast(values, du);
        sync();
        accumulator_zero(dr);
        mma_tn(dr, T, values);
        accumulator_store_block(dr, a.dr, a.V, chunk.updates, head, program_y);
        if (index == 0 && !a.dinitial) break;
        sync();
        MAP(dr, i, j, x, PUT(values, i, j, -from_start[i] * beta[i] * x));
        EACH_TILE(dO, i, j, x, x *= query_decay[i]);
        for (int64_t block = 0; block * WIDTH < a.K; block++) {
            float *at_block = carried + block * WIDTH * a.V;
            tile_load_block(q, a.q, a.K, chunk.tokens, k_head, block);
            tile_load_block(k, a.k, a.K, chunk.updates, k_head, block);
            accumulator_load(dstate, at_block, a.V, a.K - block * WIDTH, cols_v);
            MAP(dstate, d, j, x, x *= stays);
            sync();
            mma_tn(dstate, q, dO);
            mma_tn(dstate, k, values);
            accumulator_store_f32(dstate, at_block, a.V, a.K - block * WIDTH, cols_v);
            sync();
        }
    }
    if (!a.dinitial) return;
    float *dinitial = a.dinitial + program_x * a.K * a.initial_stride + program_y * WIDTH;
    MOVE_STATE(dstate, dinitial, a.initial_stride, carried, 0, a.V);
}

/* o. Program: block of V, chunk, sequence and value head. */
KERNEL(chunk_delta_output, ChunkDeltaArguments) {
    TILE(q, ROWS, WIDTH);
    TILE(S, WIDTH, WIDTH);
    TILE(P, ROWS, ROWS);
    TILE(u, ROWS, WIDTH);
    VECTOR(query_decay, ROWS);
    ACCUMULATOR(out, ROWS, WIDTH);
    const int64_t sequence = program_z / a.v_heads, head = program_z % a.v_heads;
    const int64_t k_head = head * a.heads / a.v_heads, cols_v = a.V - program_x * WIDTH;
    const DeltaChunk chunk = delta_chunk_at(&a, sequence, program_y);
    const float *gates = gates_at(&a, GATES_QUERY, sequence, program_y, head);
    const element *state = (const element *)a.state + state_at(&a, sequence, program_y, head) + program_x * WIDTH;
    EACH (i, ROWS) query_decay[i] = gates[i];
    tile_load(P, (const element *)a.products + products_at(&a, sequence, program_y, head), ROWS, ROWS, ROWS);
    tile_load_block(u, a.u, a.V, chunk.updates, head, program_x);
    accumulator_zero(out);
    for (int64_t block = 0; block * WIDTH < a.K; block++) {
        tile_load_block(q, a.q, a.K, chunk.tokens, k_head, block);
        tile_load(S, state + block * WIDTH * a.V, a.V, a.K - block * WIDTH, cols_v);
        sync();
        mma_nn(out, q, S);
        sync();
    }
    MAP(out, i, j, x, x *= query_decay[i]);
    mma_nn(out, P, u);
    accumulator_store_block(out, a.o, a.V, chunk.tokens, head, program_x);
}

/* P^T o', the part of U' that needs no state. Program: as chunk_delta_output. */
KERNEL(chunk_delta_du, ChunkDeltaArguments) {
    TILE(P, ROWS, ROWS);
    TILE(dO, ROWS, WIDTH);
    ACCUMULATOR(du, ROWS, WIDTH);
    const int64_t sequence = program_z / a.v_heads, head = program_z % a.v_heads;
    const DeltaChunk chunk = delta_chunk_at(&a, sequence, program_y);
    tile_load(P, (const element *)a.products + products_at(&a, sequence, program_y, head), ROWS, ROWS, ROWS);
    tile_load_block(dO, a.do_, a.V, chunk.tokens, head, program_x);
    sync();
    accumulator_zero(du);
    mma_tn(du, P, dO);
    accumulator_store_block(du, a.du, a.V, chunk.updates, head, program_x);
}

#define DELTA_KERNEL(name) KERNEL(name, ChunkDeltaArguments) /* expands name first */

#define KEYS          64
#define STATE_KERNEL  chunk_delta_state_64
#define DSTATE_KERNEL chunk_delta_dstate_64
#include "kernels/recurrences/chunk_delta/chunk_delta_held.h"
#define KEYS          128
#define STATE_KERNEL  chunk_delta_state_128
#define DSTATE_KERNEL chunk_delta_dstate_128
#include "kernels/recurrences/chunk_delta/chunk_delta_held.h"
#define KEYS          256
#define STATE_KERNEL  chunk_delta_state_256
#define DSTATE_KERNEL chunk_delta_dstate_256
#include "kernels/recurrences/chunk_delta/chunk_delta_held.h"

/* R', v', A, B + B^T, and the parts of G' and beta' that need no state: with Z from above,
 * beta'_i <- R'_i v_i + sum over j of B_ij k_i k_j / beta_i, G'_i <- sum over j of (Z_ij - Z_ji).
 * Program: chunk, sequence and value head. */
KERNEL(chunk_delta_dproducts, ChunkDeltaArguments) {
    TILE(T, ROWS, ROWS);   /* T, then P */
    TILE(du, ROWS, WIDTH); /* U', or R' if that is there */
    TILE(dO, ROWS, WIDTH);
    TILE(u, ROWS, WIDTH);
    TILE(v, ROWS, WIDTH);
    MATRIX(decay, ROWS, ROWS); /* M, then B */
    MATRIX(z, ROWS, ROWS);     /* Z, then B + B^T */
    VECTOR(step, ROWS);
    VECTOR(beta, ROWS);
    VECTOR(row_dots, ROWS);
    VECTOR(query_sums, ROWS);
    VECTOR(key_sums, ROWS);
    ACCUMULATOR(queries, ROWS, ROWS);
    ACCUMULATOR(keys, ROWS, ROWS);
    ACCUMULATOR(dr, ROWS, WIDTH);   /* R', then A */
    ACCUMULATOR(dots, ROWS, WIDTH); /* R' v, its sum over the rows to come */
    const int64_t sequence = program_y / a.v_heads, head = program_y % a.v_heads;
    const int64_t at = products_at(&a, sequence, program_x, head);
    const DeltaChunk chunk = delta_chunk_at(&a, sequence, program_x);
    const float *gates = gates_at(&a, GATES_BETA, sequence, program_x, head);
    EACH (i, ROWS) beta[i] = gates[i];
    const Heads gradient = a.du.data ? a.du : a.dr;
    tile_load(T, (const element *)a.inverse + at, ROWS, ROWS, ROWS);
    accumulator_zero(queries);
    accumulator_zero(keys);
    accumulator_zero(dots);
    for (int64_t block = 0; block * WIDTH < a.V; block++) {
        tile_load_block(du, gradient, a.V, chunk.updates, head, block);
        tile_load_block(dO, a.do_, a.V, chunk.tokens, head, block);
        tile_load_block(u, a.u, a.V, chunk.updates, head, block);
        tile_load_block(v, a.v, a.V, chunk.updates, head, block);
        sync();
        accumulator_zero(dr);
        if (a.du.data) {
            mma_tn(dr, T, du);
            accumulator_store_block(dr, a.dr, a.V, chunk.updates, head, block);
        } else {
            MAP(dr, i, j, x, x = AT(du, i, j));
        }
        mma_nt(queries, dO, u);
        accumulator_mma_nt(keys, dr, u);
        MAP(dots, i, j, x, x += PEER(dr, i, j) * AT(v, i, j));
        MAP(dr, i, j, x, x *= beta[i]);
        accumulator_store_block(dr, a.dv, a.V, chunk.updates, head, block);
        sync();
    }
    tile_load(T, (const element *)a.products + at, ROWS, ROWS, ROWS);
    decay_matrix(decay, step, &a, chunk, head);
    const float *overlaps = a.overlaps + at;
    MAP(dr, i, j, x, x = a.scale * ENTRY(decay, query_row(&a, i), j) * PEER(queries, i, j));
    accumulator_store(dr, (element *)a.dproducts + at, ROWS, ROWS, ROWS);
    MAP(queries, i, j, x, x *= AT(T, i, j); ENTRY(z, i, j) = x);
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
    sync();
    EACH_ENTRY(z, i, j, x, x = ENTRY(decay, j <= i ? i : j, j <= i ? j : i));
    sync();
    store_square((element *)a.doverlaps + at, z);
}

/* The gradient of q, and what comes with it of G'. Program: block of K, chunk, sequence and query head. */
KERNEL(chunk_delta_dq, ChunkDeltaArguments) {
    TILE(q, ROWS, WIDTH);
    TILE(k, ROWS, WIDTH);
    TILE(dO, ROWS, WIDTH);
    TILE(S, WIDTH, WIDTH);
    TILE(A, ROWS, ROWS);
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
        const element *state =
            (const element *)a.state + state_at(&a, sequence, program_y, head) + program_x * WIDTH * a.V;
        const float *gates = gates_at(&a, GATES_QUERY, sequence, program_y, head);
        EACH (i, ROWS) query_decay[i] = gates[i];
        tile_load(A, (const element *)a.dproducts + products_at(&a, sequence, program_y, head), ROWS, ROWS, ROWS);
        accumulator_zero(part);
        for (int64_t block = 0; block * WIDTH < a.V; block++) {
            tile_load_block(dO, a.do_, a.V, chunk.tokens, head, block);
            tile_load(S, state + block * WIDTH, a.V, cols, a.V - block * WIDTH);
            sync();
            mma_nt(part, dO, S);
            sync();
        }
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
    TILE(dr, ROWS, WIDTH);
    TILE(u, ROWS, WIDTH);
    TILE(S, WIDTH, WIDTH);
    TILE(dS, WIDTH, WIDTH);
    TILE(weights, ROWS, ROWS); /* A, then B + B^T */
    VECTOR(beta, ROWS);
    VECTOR(from_start, ROWS);
    VECTOR(to_end, ROWS);
    VECTOR(erased, ROWS);
    VECTOR(written, ROWS);
    ACCUMULATOR(erasing, ROWS, WIDTH);
    ACCUMULATOR(writing, ROWS, WIDTH);
    ACCUMULATOR(dk, ROWS, WIDTH);
    const int64_t sequence = program_z / a.heads, k_head = program_z % a.heads, group = a.v_heads / a.heads;
    const int64_t cols = a.K - program_x * WIDTH;
    const DeltaChunk chunk = delta_chunk_at(&a, sequence, program_y);
    tile_load_block(q, a.q, a.K, chunk.tokens, k_head, program_x);
    tile_load_block(k, a.k, a.K, chunk.updates, k_head, program_x);
    accumulator_zero(dk);
    for (int64_t head = k_head * group; head < (k_head + 1) * group; head++) {
        const int64_t at = products_at(&a, sequence, program_y, head);
        const int64_t block_of_state = state_at(&a, sequence, program_y, head) + program_x * WIDTH * a.V;
        const element *state = (const element *)a.state + block_of_state;
        const element *dstate = (const element *)a.dstate + block_of_state;
        const float *gates = gates_at(&a, 0, sequence, program_y, head);
        const float stays = stays_of(gates + GATES_FROM_START * ROWS, chunk);
        EACH (i, ROWS) {
            from_start[i] = gates[GATES_FROM_START * ROWS + i];
            to_end[i] = gates[GATES_TO_END * ROWS + i];
            beta[i] = gates[GATES_BETA * ROWS + i];
        }
        tile_load(weights, (const element *)a.dproducts + at, ROWS, ROWS, ROWS);
        accumulator_zero(erasing);
        accumulator_zero(writing);
        float kept = 0, through = 0;
        for (int64_t block = 0; block * WIDTH < a.V; block++) {
            const int64_t cols_v = a.V - block * WIDTH;
            tile_load_block(dr, a.dr, a.V, chunk.updates, head, block);
            tile_load_block(u, a.u, a.V, chunk.updates, head, block);
            tile_load(S, state + block * WIDTH, a.V, cols, cols_v);
            tile_load(dS, dstate + block * WIDTH, a.V, cols, cols_v);
            sync();
            mma_nt(erasing, dr, S);
            mma_nt(writing, u, dS);
            tile_dot(kept, S, dS);
            sync();
        }
        mma_tn(dk, weights, q);
        MAP(erasing, i, d, x, x *= -from_start[i]; PEER(dk, i, d) += beta[i] * x; x *= AT(k, i, d));
        MAP(writing, i, d, x, x *= to_end[i]; PEER(dk, i, d) += x; x *= AT(k, i, d));
        row_sum(erased, erasing);
        row_sum(written, writing);
        sync();
        tile_load(weights, (const element *)a.doverlaps + at, ROWS, ROWS, ROWS);
        PROGRAM_SUM(kept);
        SUM(through, i, ROWS, written[i]);
        through += stays * kept;
        mma_nn(dk, weights, k);
        float *sums = sums_at(&a, 1 + program_x, sequence, program_y, head);
        EACH (i, ROWS) {
            sums[i] = beta[i] * erased[i] - written[i] + (i == ROWS - 1 ? through : 0.0f);
            sums[ROWS + i] = erased[i];
        }
        sync();
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
