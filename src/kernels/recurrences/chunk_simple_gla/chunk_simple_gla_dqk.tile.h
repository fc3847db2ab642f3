/* The gradients of q, k and g of chunk_simple_gla, from those of the states and products. */
#include "tile/tile.h"
#include "kernels/recurrences/chunk_simple_gla/chunk_simple_gla.h"

/* product = values state^T over all of V: `values` the rows of a head, `state` the first `rows_k` of the rows at
 * `from`. */
#define VALUES_TIMES_STATE(product, values, heads, rows, head, state, from, rows_k)                                    \
    do {                                                                                                               \
        accumulator_zero(product);                                                                                     \
        for (int64_t block_ = 0; block_ * WIDTH_V < a.V; block_++) {                                                   \
            const int64_t col_ = block_ * WIDTH_V;                                                                     \
            tile_load_block(values, heads, a.V, rows, head, block_);                                                   \
            tile_load(state, (from) + col_, a.V, rows_k, a.V - col_);                                                  \
            sync();                                                                                                    \
            mma_nt(product, values, state);                                                                            \
            sync();                                                                                                    \
        }                                                                                                              \
    } while (0)

/* The gradients of q and k, and the states' parts of that of g. Program: block of K, chunk, sequence and key head. */
KERNEL(chunk_simple_gla_dqk, ChunkSimpleGlaArguments) {
    TILE(q, ROWS, WIDTH_K);
    TILE(k, ROWS, WIDTH_K);
    TILE(dP, ROWS, ROWS);
    TILE(values, ROWS, WIDTH_V);   /* v, or the gradient of o */
    TILE(state, WIDTH_K, WIDTH_V); /* S, or the gradient of S_next */
    MATRIX(decay, DECAYS, ROWS);
    VECTOR(part, ROWS);
    ACCUMULATOR(whole, ROWS, WIDTH_K);
    ACCUMULATOR(dq, ROWS, WIDTH_K);
    ACCUMULATOR(dk, ROWS, WIDTH_K);
    const int64_t sequence = program_z / a.k_heads, k_head = program_z % a.k_heads;
    const int64_t q_group = a.q_heads / a.k_heads, group = a.heads / a.q_heads;
    const int64_t cols = a.K - program_x * WIDTH_K < WIDTH_K ? a.K - program_x * WIDTH_K : WIDTH_K;
    const Chunk chunk = chunk_at(a.segment, a.T, ROWS, sequence, program_y);
    tile_load_block(k, a.k, a.K, chunk.rows, k_head, program_x);
    accumulator_zero(dk);
    for (int64_t q_head = k_head * q_group; q_head < (k_head + 1) * q_group; q_head++) {
        tile_load_block(q, a.q, a.K, chunk.rows, q_head, program_x);
        tile_load_f32(dP, a.dproducts + products_at(&a, sequence, program_y, q_head), ROWS, ROWS, ROWS);
        accumulator_zero(dq);
        for (int64_t head = q_head * group; head < (q_head + 1) * group; head++) {
            const int64_t at = state_at(&a, sequence, program_y, head, program_x * WIDTH_K, 0);
            const int64_t part_at = parts_at(&a, sequence, program_y, head, program_x);
            const element *S = (const element *)a.state + at, *dS = (const element *)a.dstate + at;
            matrix_load(decay, decays_of(&a, sequence, program_y, head), ROWS, DECAYS, ROWS);
            VALUES_TIMES_STATE(whole, values, a.do_, chunk.rows, head, state, S, cols);
            MAP(whole, i, d, x, x *= a.scale * ENTRY(decay, UPTO, i); PEER(dq, i, d) += x; x *= AT(q, i, d));
            if (a.dg) {
                float through = 0; /* counts for every row, as a read by the last one does */
                SUM_VECTOR(e, cols * a.V, through) {
                    READ(x, S + e);
                    READ(y, dS + e);
                    EACH_LANE(lane) through += x[lane] * y[lane];
                }
                PROGRAM_SUM(through);
                row_sum(part, whole);
                sync();
                EACH (i, ROWS)
                    a.reads[part_at + i] = part[i] + (i == ROWS - 1 ? ENTRY(decay, UPTO, ROWS - 1) * through : 0.0f);
            }
            const int64_t v_head = head * a.v_heads / a.heads;
            VALUES_TIMES_STATE(whole, values, a.v, chunk.rows, v_head, state, dS, cols);
            MAP(whole, j, d, x, x *= ENTRY(decay, AFTER, j); PEER(dk, j, d) += x; x *= AT(k, j, d));
            if (a.dg) {
                row_sum(part, whole);
                sync();
                EACH (j, ROWS) a.writes[part_at + j] = part[j];
            }
        }
        mma_nn(dq, dP, k);
        mma_tn(dk, dP, q);
        accumulator_store_block(dq, a.dq, a.K, chunk.rows, q_head, program_x);
        sync();
    }
    accumulator_store_block(dk, a.dk, a.K, chunk.rows, k_head, program_x);
}

/* Adds the states' parts to the gradient of g. Program: chunk, sequence and head. */
KERNEL(chunk_simple_gla_dg, ChunkSimpleGlaArguments) {
    VECTOR(from, ROWS);
    VECTOR(before, ROWS);
    const int64_t sequence = program_y / a.heads, head = program_y % a.heads;
    const Chunk chunk = chunk_at(a.segment, a.T, ROWS, sequence, program_x);
    EACH (i, ROWS) {
        from[i] = 0;
        before[i] = 0;
    }
    for (int64_t block = 0; block * WIDTH_K < a.K; block++) {
        const int64_t at = parts_at(&a, sequence, program_x, head, block);
        EACH (i, ROWS) {
            from[i] += a.reads[at + i];
            if (i > 0) before[i] += a.writes[at + i - 1];
        }
    }
    sync();
    vector_cumsum_reverse(from);
    vector_cumsum(before);
    sync();
    EACH (i, chunk.rows.count) a.dg[(chunk.rows.first + i) * a.g_stride + head] += from[i] + before[i];
}
