/* The backward of chunk_delta but for the walk over the chunks, one program per chunk and head; equations in
 * chunk_delta_chunk.h. */
#include "tile/tile.h"
#include "kernels/recurrences/chunk_delta/chunk_delta.h"
#include "kernels/recurrences/chunk_delta/chunk_delta_chunk.h"

DEVICE float *sums_at(const ChunkDeltaArguments *a, int64_t part, int64_t sequence, int64_t index, int64_t head) {
    return a->sums + part * a->sums_stride + chunk_offset(a->chunks, a->v_heads, sequence, index, head, 2 * ROWS);
}

/* What `queries` holds of the query that reads the state after a row; 0 if none does. */
DEVICE float query_entry(const float *queries, const ChunkDeltaArguments *a, int64_t row) {
    return is_first_row(a, row + 1) ? queries[token_of_row(a, row)] : 0.0f;
}

/* v', A, B + B^T, and the parts of G' and beta' that need no state: with Z from above,
 * beta'_i <- R'_i v_i + sum over j of B_ij k_i k_j / beta_i, G'_i <- sum over j of (Z_ij - Z_ji).
 * Program: chunk, sequence and value head. */
KERNEL(chunk_delta_dproducts, ChunkDeltaArguments) {
    TILE(P, ROWS, ROWS);
    TILE(R, ROWS, WIDTH); /* R' */
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
    tile_load(P, (const element *)a.products + at, ROWS, ROWS, ROWS);
    accumulator_zero(queries);
    accumulator_zero(keys);
    accumulator_zero(dots);
    for (int64_t block = 0; block * WIDTH < a.V; block++) {
        tile_load_block(R, a.dr, a.V, chunk.updates, head, block);
        tile_load_block(dO, a.do_, a.V, chunk.tokens, head, block);
        tile_load_block(u, a.u, a.V, chunk.updates, head, block);
        tile_load_block(v, a.v, a.V, chunk.updates, head, block);
        sync();
        MAP(dr, i, j, x, x = AT(R, i, j));
        mma_nt(queries, dO, u);
        accumulator_mma_nt(keys, dr, u);
        MAP(dots, i, j, x, x += PEER(dr, i, j) * AT(v, i, j));
        MAP(dr, i, j, x, x *= beta[i]);
        accumulator_store_block(dr, a.dv, a.V, chunk.updates, head, block);
        sync();
    }
    decay_matrix(decay, step, &a, chunk, head);
    const float *overlaps = a.overlaps + at;
    MAP(dr, i, j, x, x = a.scale * ENTRY(decay, query_row(&a, i), j) * PEER(queries, i, j));
    accumulator_store(dr, (element *)a.dproducts + at, ROWS, ROWS, ROWS);
    MAP(queries, i, j, x, x *= AT(P, i, j); ENTRY(z, i, j) = x);
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

/* A block of a state; where states are transposed the tile is too. */
#define state_load(tile, states, at, block_k, block_v)                                                                 \
    do {                                                                                                               \
        const int64_t first_k_ = (block_k)*WIDTH, first_v_ = (block_v)*WIDTH;                                          \
        const element *const state_ = (const element *)(states) + (at);                                                \
        if (ON_GPU && a.transposed)                                                                                    \
            tile_load(tile, state_ + first_v_ * a.K + first_k_, a.K, a.V - first_v_, a.K - first_k_);                  \
        else                                                                                                           \
            tile_load(tile, state_ + first_k_ * a.V + first_v_, a.V, a.K - first_k_, a.V - first_v_);                  \
    } while (0)
/* accumulator += x S^T */
#define state_mma_nt(accumulator, x, S)                                                                                \
    do {                                                                                                               \
        if (ON_GPU && a.transposed)                                                                                    \
            mma_nn(accumulator, x, S);                                                                                 \
        else                                                                                                           \
            mma_nt(accumulator, x, S);                                                                                 \
    } while (0)

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
    const DeltaChunk chunk = delta_chunk_at(&a, sequence, program_y);
    tile_load_block(q, a.q, a.K, chunk.tokens, k_head, program_x);
    tile_load_block(k, a.k, a.K, chunk.updates, k_head, program_x);
    accumulator_zero(dq);
    for (int64_t head = k_head * group; head < (k_head + 1) * group; head++) {
        const int64_t at = state_at(&a, sequence, program_y, head);
        const float *gates = gates_at(&a, GATES_QUERY, sequence, program_y, head);
        EACH (i, ROWS) query_decay[i] = gates[i];
        tile_load(A, (const element *)a.dproducts + products_at(&a, sequence, program_y, head), ROWS, ROWS, ROWS);
        accumulator_zero(part);
        for (int64_t block = 0; block * WIDTH < a.V; block++) {
            tile_load_block(dO, a.do_, a.V, chunk.tokens, head, block);
            state_load(S, a.state, at, program_x, block);
            sync();
            state_mma_nt(part, dO, S);
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
    const DeltaChunk chunk = delta_chunk_at(&a, sequence, program_y);
    tile_load_block(q, a.q, a.K, chunk.tokens, k_head, program_x);
    tile_load_block(k, a.k, a.K, chunk.updates, k_head, program_x);
    accumulator_zero(dk);
    for (int64_t head = k_head * group; head < (k_head + 1) * group; head++) {
        const int64_t at = products_at(&a, sequence, program_y, head);
        const int64_t state = state_at(&a, sequence, program_y, head);
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
            tile_load_block(dr, a.dr, a.V, chunk.updates, head, block);
            tile_load_block(u, a.u, a.V, chunk.updates, head, block);
            state_load(S, a.state, state, program_x, block);
            state_load(dS, a.dstate, state, program_x, block);
            sync();
            state_mma_nt(erasing, dr, S);
            state_mma_nt(writing, u, dS);
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
