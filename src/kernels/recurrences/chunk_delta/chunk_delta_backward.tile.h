/* The backward of chunk_delta, except for the walk over the chunks; equations in chunk_delta_chunk.h. */
#include "tile/tile.h"
#include "kernels/recurrences/chunk_delta/chunk_delta.h"
#include "kernels/recurrences/chunk_delta/chunk_delta_chunk.h"

DEVICE float *sums_at(const ChunkDeltaArguments *a, int64_t part, int64_t sequence, int64_t index, int64_t head) {
    return a->sums + part * a->sums_stride + chunk_offset(a->chunks, a->v_heads, sequence, index, head, 2 * ROWS);
}

/* The entry of `queries` for the query that reads the state after a row, or 0 if no query does. */
DEVICE float query_entry(const float *queries, const ChunkDeltaArguments *a, int64_t row) {
    return is_first_row(a, row + 1) ? queries[token_of_row(a, row)] : 0.0f;
}

/* Computes v', A, B + B^T, and the parts of G' and beta' that need no state. With Z of chunk_delta_chunk.h: beta'_i <-
 * R'_i v_i + sum over j of B_ij k_i k_j / beta_i, G'_i <- sum over j of (Z_ij - Z_ji). Program: chunk, sequence and
 * value head. */
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
    VECTOR(query_sums, ROWS); /* of the rows of A_ij q_i k_j */
    VECTOR(key_sums, ROWS);   /* of the rows of B_ij k_i k_j / beta_i */
    VECTOR(of_queries, ROWS); /* the queries' part of G' */
    ACCUMULATOR(queries, ROWS, ROWS);
    ACCUMULATOR(keys, ROWS, ROWS);
    ACCUMULATOR(A, ROWS, ROWS);
    ACCUMULATOR(before, ROWS, ROWS); /* M of the row before */
    ACCUMULATOR(dr, ROWS, WIDTH);    /* R' */
    ACCUMULATOR(dots, ROWS, WIDTH);  /* R' v, to be summed over each row at the end */
    const int64_t sequence = program_y / a.v_heads, head = program_y % a.v_heads;
    const int64_t at = products_offset(&a, sequence, program_x, head);
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
    MAP(A, i, j, x, x = a.scale * ENTRY(decay, query_row(&a, i), j) * PEER(queries, i, j));
    accumulator_store(A, (element *)a.dproducts + at, ROWS, ROWS, ROWS);
    MAP(queries, i, j, x, x *= AT(P, i, j); ENTRY(z, i, j) = x);
    row_sum(query_sums, queries);
    row_sum(row_dots, dots);
    if (a.undecayed)
        EACH (i, ROWS) step[i] = joins_row_before(&a, chunk, i);
    sync();
    if (a.undecayed) {
        MAP(before, i, j, x, x = j < i ? step[i] * ENTRY(decay, i - 1, j) : 0.0f);
        sync();
        MAP(before, i, j, x, ENTRY(decay, i, j) = x);
    }
    float *sums = sums_at(&a, 0, sequence, program_x, head), *dbeta = sums + ROWS;
    EACH (j, ROWS) {
        float total = 0;
        for (int i = 0; i < ROWS; i++) total += ENTRY(z, i, j);
        of_queries[j] = query_entry(query_sums, &a, j) - total;
    }
    sync();
    MAP(keys, i, j, x, {
        x = j < i ? -x : 0.0f;
        ENTRY(decay, i, j) *= beta[i] * x; /* B */
        x *= overlaps[i * ROWS + j];
        ENTRY(z, i, j) = beta[i] * x;
    });
    row_sum(key_sums, keys);
    sync();
    EACH (j, ROWS) {
        float total = 0;
        for (int i = 0; i < ROWS; i++) total += ENTRY(z, i, j);
        sums[j] = of_queries[j] + of_row_ahead(beta, key_sums, j, a.undecayed) - total;
        dbeta[j] = row_dots[j] + key_sums[j];
    }
    sync();
    EACH_ENTRY(z, i, j, x, x = ENTRY(decay, j <= i ? i : j, j <= i ? j : i));
    sync();
    store_square((element *)a.doverlaps + at, z);
}

/* accumulator += x S^T. If states are stored transposed, the tile S is transposed too. */
#define state_mma_nt(accumulator, x, S)                                                                                \
    do {                                                                                                               \
        if (ON_GPU && a.transposed)                                                                                    \
            mma_nn(accumulator, x, S);                                                                                 \
        else                                                                                                           \
            mma_nt(accumulator, x, S);                                                                                 \
    } while (0)

/* The rows of the tiles that chunk_delta_dqk loads together, and the number of such stages. */
enum { STAGE = 5 * ROWS, STAGES = ON_GPU && sizeof(element) == 2 ? 2 : 1 };
#define STAGE_TILE(name, load, number) TILE_VIEW(name, stages, (load) % STAGES * STAGE + (number)*ROWS, 0, ROWS, WIDTH)

/* Computes the gradients of q and k, and the parts of G' and beta' that come with them, including that of G' through
 * the decay of the state. First come products with the states, for one block of V after another, then products inside
 * the chunk. Program: block of K, chunk, sequence and query head. */
KERNEL(chunk_delta_dqk, ChunkDeltaArguments) {
    TILE(stages, STAGES * STAGE, WIDTH);
    VECTOR(beta, ROWS);
    VECTOR(from_start, ROWS);
    VECTOR(to_end, ROWS);
    VECTOR(query_decay, ROWS);
    VECTOR(read, ROWS);
    VECTOR(erased, ROWS);
    VECTOR(written, ROWS);
    ACCUMULATOR(reading, ROWS, WIDTH);
    ACCUMULATOR(erasing, ROWS, WIDTH);
    ACCUMULATOR(writing, ROWS, WIDTH);
    ACCUMULATOR(dq, ROWS, WIDTH);
    ACCUMULATOR(dk, ROWS, WIDTH);
    const int64_t sequence = program_z / a.heads, k_head = program_z % a.heads, group = a.v_heads / a.heads;
    const int64_t first_k = program_x * WIDTH, cols_k = a.K - first_k;
    const int blocks = (int)blocks_of(a.V, WIDTH);
    const DeltaChunk chunk = delta_chunk_at(&a, sequence, program_y);
    accumulator_zero(dq);
    accumulator_zero(dk);
    for (int64_t head = k_head * group; head < (k_head + 1) * group; head++) {
        const int64_t at = products_offset(&a, sequence, program_y, head);
        const int64_t state = state_offset(&a, sequence, program_y, head) + first_k * (a.transposed ? 1 : a.V);
        const float *gates = gates_at(&a, 0, sequence, program_y, head);
        TILES_WALK(states, stages, (const element *)a.state, state, a.state_stride, (const element *)a.dstate, state,
                   a.state_stride, WIDTH, a.aligned);
        walk_blocks(updates, stages, a.dr, a.u, a.V, chunk.updates.first, head, a.aligned);
        accumulator_zero(reading);
        accumulator_zero(erasing);
        accumulator_zero(writing);
        float kept = 0, through = 0;
        for (int load = 0; load < blocks + STAGES; load++) {
            const int block = load - (STAGES - 1);
            const int64_t cols_v = a.V - load * WIDTH;
            sync();
            if (load < blocks) {
                STAGE_TILE(S, load, 0);
                STAGE_TILE(dS, load, 1);
                STAGE_TILE(dr, load, 2);
                STAGE_TILE(u, load, 3);
                STAGE_TILE(dO, load, 4);
                tile_load_block(dO, a.do_, a.V, chunk.tokens, head, load);
                walk_load_across(dr, u, updates, chunk.updates.count, cols_v);
                if (ON_GPU && a.transposed)
                    walk_load(S, dS, states, (int)cols_v);
                else
                    walk_load_across(S, dS, states, cols_k, cols_v);
            } else if (load == blocks) {
                STAGE_TILE(q, load, 0);
                STAGE_TILE(k, load, 1);
                STAGE_TILE(A, load, 2);
                STAGE_TILE(B, load, 3);
                tile_load_block(q, a.q, a.K, chunk.tokens, k_head, program_x);
                tile_load_block(k, a.k, a.K, chunk.updates, k_head, program_x);
                tile_load(A, (const element *)a.dproducts + at, ROWS, ROWS, ROWS);
                tile_load(B, (const element *)a.doverlaps + at, ROWS, ROWS, ROWS);
                EACH (i, ROWS) {
                    from_start[i] = gates[GATES_FROM_START * ROWS + i];
                    to_end[i] = gates[GATES_TO_END * ROWS + i];
                    query_decay[i] = gates[GATES_QUERY * ROWS + i];
                    beta[i] = gates[GATES_BETA * ROWS + i];
                }
            }
            if (STAGES == 1) sync();
            if (block < 0 || block == blocks) continue;
            STAGE_TILE(S, block, 0);
            STAGE_TILE(dS, block, 1);
            STAGE_TILE(dr, block, 2);
            STAGE_TILE(u, block, 3);
            STAGE_TILE(dO, block, 4);
            state_mma_nt(reading, dO, S);
            state_mma_nt(erasing, dr, S);
            state_mma_nt(writing, u, dS);
            tile_dot(kept, S, dS);
        }
        STAGE_TILE(q, blocks, 0);
        STAGE_TILE(k, blocks, 1);
        STAGE_TILE(A, blocks, 2);
        STAGE_TILE(B, blocks, 3); /* B + B^T */
        if (ON_GPU && a.transposed) {
            accumulator_unshuffle(reading);
            accumulator_unshuffle(erasing);
            accumulator_unshuffle(writing);
        }
        mma_nn(dq, A, k);
        MAP(reading, i, d, x, x *= query_decay[i]; PEER(dq, i, d) += x; x *= AT(q, i, d));
        row_sum(read, reading);
        mma_tn(dk, A, q);
        MAP(erasing, i, d, x, x *= -from_start[i]; PEER(dk, i, d) += beta[i] * x; x *= AT(k, i, d));
        MAP(writing, i, d, x, x *= to_end[i]; PEER(dk, i, d) += x; x *= AT(k, i, d));
        mma_nn(dk, B, k);
        row_sum(erased, erasing);
        row_sum(written, writing);
        sync();
        PROGRAM_SUM(kept);
        SUM(through, i, ROWS, written[i]);
        through += stays_of(&a, from_start, query_decay, chunk) * kept;
        float *with_k = sums_at(&a, 1 + program_x, sequence, program_y, head);
        float *with_q = sums_at(&a, 1 + a.blocks_k + program_x, sequence, program_y, head);
        EACH (i, ROWS) {
            with_k[i] = of_row_ahead(beta, erased, i, a.undecayed) - written[i] + (i == ROWS - 1 ? through : 0.0f);
            with_k[ROWS + i] = erased[i];
            with_q[i] = query_entry(read, &a, i);
            with_q[ROWS + i] = 0;
        }
    }
    accumulator_store_block(dq, a.dq, a.K, chunk.tokens, k_head, program_x);
    accumulator_store_block(dk, a.dk, a.K, chunk.updates, k_head, program_x);
}

/* Computes the gradients of g and beta from their parts. Program: chunk, sequence and value head. */
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
