/* The kernels of value-gated linear attention (chunk_gla_values.c) that chunk_gla does not have; equations in
 * chunk_gla_chunk.h. */
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
#define TILE_PROGRAMS 2
#else
#define TILE_PROGRAMS 3
#endif
#include "tile/tile.h"
#include "kernels/recurrences/chunk_gla/chunk_gla.h"
#include "kernels/recurrences/chunk_gla/chunk_gla_chunk.h"

enum { DQ_STAGES = 2 }; /* with three, shared memory would have room for only two programs */

/* Computes k decayed to the end of its chunk, and the decay over the chunk, as chunk_gla_products does, but without
 * queries. Program: block of K, chunk, sequence and key-value head. */
KERNEL(chunk_gla_keys, ChunkGlaArguments) {
    TILE(k, ROWS, WIDTH_K);
    MATRIX(g, ROWS, WIDTH_K); /* g, then the sum of the gates after the row in its quarter */
    MATRIX(sums, CHUNK_QUARTERS, WIDTH_K);
    MATRIX(after, CHUNK_QUARTERS, WIDTH_K); /* the sums over the quarters after */
    VECTOR(enters, ROWS);
    const int64_t sequence = program_z / a.kv_heads, head = program_z % a.kv_heads;
    const int64_t cols = a.K - program_x * WIDTH_K;
    const Chunk chunk = chunk_at(a.segment, a.T, ROWS, sequence, program_y);
    const float stays = chunk.before == chunk.last ? 1.0f : 0.0f;
    tile_load_block(k, a.k, a.K, chunk.rows, head, program_x);
    matrix_load_block(g, a.g, a.K, chunk.rows, head, program_x);
    rows_of_document(enters, a.segment, chunk.rows, chunk.last);
    sync();
    SUM_GATES_AFTER(g, row, d, sum, if (row % QUARTER == 0) ENTRY(sums, row / QUARTER, d) = sum + ENTRY(g, row, d);
                    ENTRY(g, row, d) = sum);
    sync();
    float *decay = decay_at(&a, sequence, program_y, head, program_x * WIDTH_K);
    EACH (d, WIDTH_K)
        if (d < cols) decay[d] = stays * DECAY(SUM_ALL(sums, d));
    EACH_PAIR(b, d, CHUNK_QUARTERS, WIDTH_K) ENTRY(after, b, d) = SUM_AFTER(sums, b, d);
    sync();
    EACH_ROW_VECTOR(row, d, ROWS, WIDTH_K) {
        READ_MATRIX(in_quarter, g, row, d);
        READ_MATRIX(later, after, row / QUARTER, d);
        READ_TILE(x, k, row, d);
        EACH_LANE(e) x[e] *= enters[row] * DECAY(in_quarter[e] + later[e]);
        WRITE_TILE(k, row, d, x);
    }
    sync();
    tile_store_block(k, a.k_decayed, a.K, chunk.rows, head, program_x);
}

/* Computes the gradient of q alone. Program: block of K, chunk, sequence and head. */
KERNEL(chunk_gla_dq, ChunkGlaArguments) {
    TILE(gradients, DQ_STAGES * ROWS, WIDTH_V);
    TILE(states, DQ_STAGES * WIDTH_K, WIDTH_V);
    TILE(dA, ROWS, ROWS);
    TILE(k, ROWS, WIDTH_K);
    TILE(k_near, ROWS, WIDTH_K);     /* k e^(-P); if steep, k decayed to the end of its quarter */
    PADDED_MATRIX(g, ROWS, WIDTH_K); /* g; if steep, then e^g */
    PADDED_MATRIX(P, ROWS, WIDTH_K); /* P; if steep, then the gradient from inside the quarter */
    MATRIX(sums, CHUNK_QUARTERS, WIDTH_K);
    MATRIX(inside, CHUNK_QUARTERS, WIDTH_K); /* e^(sum over the quarter) */
    VECTOR(sees, ROWS);
    ACCUMULATOR(dq, ROWS, WIDTH_K);
    const int64_t sequence = program_z / a.heads, head = program_z % a.heads, kv_head = head * a.kv_heads / a.heads;
    const int64_t cols = a.K - program_x * WIDTH_K;
    const Chunk chunk = chunk_at(a.segment, a.T, ROWS, sequence, program_y);
    const element *state = state_at(&a, a.state, sequence, program_y, kv_head, program_x * WIDTH_K, 0);
    const int steps = (int)blocks_of(a.V, WIDTH_V);
    tile_load(dA, products_at(&a, a.dproducts, sequence, program_y, head), ROWS, ROWS, ROWS);
    tile_load_block(k, a.k, a.K, chunk.rows, kv_head, program_x);
    matrix_load_block(g, a.g, a.K, chunk.rows, kv_head, program_x);
    rows_of_document(sees, a.segment, chunk.rows, chunk.before);
    accumulator_zero(dq);
    for (int load = 0; load < steps + DQ_STAGES - 1; load++) {
        const int step = load - (DQ_STAGES - 1);
        if (step >= 0) sync();
        if (load < steps) {
            TILE_VIEW(dO, gradients, load % DQ_STAGES * ROWS, 0, ROWS, WIDTH_V);
            TILE_VIEW(S, states, load % DQ_STAGES * WIDTH_K, 0, WIDTH_K, WIDTH_V);
            tile_load_block(dO, a.do_, a.V, chunk.rows, head, load);
            tile_load(S, state + load * WIDTH_V, a.V, cols, a.V - load * WIDTH_V);
        }
        copy_commit();
        if (step >= 0) {
            TILE_VIEW(dO, gradients, step % DQ_STAGES * ROWS, 0, ROWS, WIDTH_V);
            TILE_VIEW(S, states, step % DQ_STAGES * WIDTH_K, 0, WIDTH_K, WIDTH_V);
            mma_nt(dq, dO, S);
        }
    }
    SUM_GATES(sums, g, row, d, sum, ENTRY(P, row, d) = sum);
    sync();
    float steepest = 0;
    MAXIMUM(steepest, e, CHUNK_QUARTERS * WIDTH_K, -sums[e]);
    const bool steep = steepest > GATE_LIMIT;
    EACH_PAIR(b, d, CHUNK_QUARTERS, WIDTH_K) ENTRY(inside, b, d) = DECAY(ENTRY(sums, b, d));
    if (steep) {
        SUM_GATES_AFTER(g, row, d, sum, PUT(k_near, row, d, AT(k, row, d) * DECAY(sum)));
    } else {
        EACH_ROW_VECTOR(row, d, ROWS, WIDTH_K) {
            READ_MATRIX(sum, P, row, d);
            READ_TILE(x, k, row, d);
            EACH_LANE(e) x[e] *= DECAY(-sum[e]);
            WRITE_TILE(k_near, row, d, x);
        }
    }
    sync();
    MAP(dq, i, d, x, x *= a.scale * sees[i]);
    PASS_DOWN(dq, 0);
    PASS_DOWN(dq, 1);
    PASS_DOWN(dq, 2);
    if (!steep) {
        for (int row = 0; row < ROWS; row += QUARTER) {
            TILE_VIEW(dA_, dA, row, row, QUARTER, QUARTER);
            TILE_VIEW(k_, k_near, row, 0, QUARTER, WIDTH_K);
            block_mma_nn(dq, row, 0, dA_, k_);
        }
    }
    MAP(dq, i, d, x, x *= DECAY(ENTRY(P, i, d)));
    if (steep) {
        sync();
        BLOCK_WALK(zero, 0.0f, b, CHUNK_QUARTERS, d, WIDTH_K, i, QUARTER, ENTRY(P, b * QUARTER + i, d) = zero;
                   ENTRY(g, b * QUARTER + i, d) = DECAY(ENTRY(g, b * QUARTER + i, d)));
        for (int j = 0; j < QUARTER; j++)
            BLOCK_WALK(walked, 1.0f, b, CHUNK_QUARTERS, d, WIDTH_K, i, QUARTER - j, const int from = b * QUARTER + j;
                       const int row = from + i; walked *= i ? ENTRY(g, row, d) : 1.0f;
                       ENTRY(P, row, d) += AT(dA, row, from) * walked * AT(k, from, d));
        sync();
        MAP(dq, i, d, x, x += ENTRY(P, i, d));
    }
    accumulator_store_block(dq, a.dq, a.K, chunk.rows, head, program_x);
}
