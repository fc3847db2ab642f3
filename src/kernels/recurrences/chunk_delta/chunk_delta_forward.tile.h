/* The forward of chunk_delta, except for the walk over the chunks; equations in chunk_delta_chunk.h. */
#include "tile/tile.h"
#include "kernels/recurrences/chunk_delta/chunk_delta.h"
#include "kernels/recurrences/chunk_delta/chunk_delta_chunk.h"
#include "kernels/triangular_inverse.h"

/* Computes T, P, the overlaps M_ij k_i k_j for j < i, and the gates D, E, scale D for the queries, and beta.
 * Program: chunk, sequence and value head. */
KERNEL(chunk_delta_prepare, ChunkDeltaArguments) {
    TILE(q, ROWS, WIDTH);
    TILE(k, ROWS, WIDTH);
    MATRIX(decay, ROWS, ROWS);   /* M, then L */
    MATRIX(inverse, ROWS, ROWS); /* T */
    VECTOR(step, ROWS);
    VECTOR(beta, ROWS);
    VECTOR(from_start, ROWS);
    VECTOR(to_end, ROWS);
    VECTOR(erased, ROWS); /* G of the row before */
    ACCUMULATOR(queries, ROWS, ROWS);
    ACCUMULATOR(keys, ROWS, ROWS);
    const int64_t sequence = program_y / a.v_heads, head = program_y % a.v_heads;
    const int64_t k_head = head * a.heads / a.v_heads, at = products_offset(&a, sequence, program_x, head);
    const DeltaChunk chunk = delta_chunk_at(&a, sequence, program_x);
    EACH (i, ROWS) {
        from_start[i] = gate_of_row(&a, chunk, head, i);
        to_end[i] = gate_of_row(&a, chunk, head, i + 1);
        beta[i] = beta_of_row(&a, chunk, head, i);
    }
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
    vector_cumsum(from_start);
    vector_cumsum_reverse(to_end);
    decay_matrix(decay, step, &a, chunk, head);
    float *gates = gates_at(&a, 0, sequence, program_x, head);
    if (a.undecayed) {
        EACH (i, ROWS) {
            step[i] = joins_row_before(&a, chunk, i);
            erased[i] = i > 0 ? from_start[i - 1] : 0.0f;
        }
        sync();
    }
    EACH (i, ROWS) {
        const int32_t segment = segment_of_row(&a, chunk, i);
        from_start[i] = segment == chunk.before ? exp_f(from_start[i]) : 0.0f;
        gates[GATES_FROM_START * ROWS + i] = !a.undecayed              ? from_start[i]
                                             : segment == chunk.before ? exp_f(erased[i])
                                                                       : 0.0f;
        gates[GATES_TO_END * ROWS + i] = segment == chunk.last ? exp_f(to_end[i]) : 0.0f;
        gates[GATES_BETA * ROWS + i] = beta[i];
    }
    MAP(queries, i, j, x, x *= a.scale * ENTRY(decay, query_row(&a, i), j));
    accumulator_store(queries, (element *)a.products + at, ROWS, ROWS, ROWS);
    if (a.undecayed)
        MAP(keys, i, j, x, x *= j < i ? step[i] * ENTRY(decay, i - 1, j) : 0.0f);
    else
        MAP(keys, i, j, x, x *= j < i ? ENTRY(decay, i, j) : 0.0f);
    if (a.overlaps) accumulator_store_f32(keys, a.overlaps + at, ROWS, ROWS, ROWS);
    sync();
    EACH (i, ROWS)
        gates[GATES_QUERY * ROWS + i] = i < chunk.tokens.count ? a.scale * from_start[query_row(&a, i)] : 0.0f;
    MAP(keys, i, j, x, ENTRY(decay, i, j) = beta[i] * x);
    triangular_inverse(inverse, decay);
    if (ON_GPU && a.transposed) {
        EACH (i, ROWS) ENTRY(inverse, i, i) = 0;
        sync();
    }
    store_square((element *)a.inverse + at, inverse);
}
