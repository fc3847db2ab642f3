/* The forward of chunk_delta but for the walk over the chunks, one program per chunk and head; equations in
 * chunk_delta_chunk.h. */
#include "tile/tile.h"
#include "kernels/recurrences/chunk_delta/chunk_delta.h"
#include "kernels/recurrences/chunk_delta/chunk_delta_chunk.h"
#include "kernels/recurrences/triangular_inverse.h"

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
