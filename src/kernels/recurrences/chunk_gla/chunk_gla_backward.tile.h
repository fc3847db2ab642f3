/* The gradients of A, of the states and of v of chunk_gla; equations in chunk_gla_chunk.h. Those of q, k and g need
 * more registers (chunk_gla_dqkg.tile.h). */
#if defined(TILE_ELEMENT_F32)
#define TILE_PROGRAMS 3
#else
#define TILE_PROGRAMS 4
#endif
#include "tile/tile.h"
#include "kernels/recurrences/chunk_gla/chunk_gla.h"
#include "kernels/recurrences/chunk_gla/chunk_gla_chunk.h"

/* Computes the gradients of the state after each chunk and of the initial state. Program: as chunk_gla_state. */
KERNEL(chunk_gla_dstate, ChunkGlaArguments) {
    TILE(decayed, STAGES * ROWS, STATE_K);
    TILE(values, STAGES * ROWS, STATE_V);
    MATRIX(decay, STAGES, STATE_K);
    ACCUMULATOR(dS, STATE_K, STATE_V);
    const int64_t sequence = program_x / a.kv_heads, head = program_x % a.kv_heads;
    const int64_t first_k = program_y * STATE_K, first_v = program_z * STATE_V;
    const int64_t cols_k = a.K - first_k, cols_v = a.V - first_v, row = program_x * a.K + first_k, col = first_v;
    const int group = (int)(a.heads / a.kv_heads), last = (int)a.chunks - 1;
    const int steps = (a.dinitial ? last + 1 : last) * group;
    accumulator_zero(dS);
    if (a.dfinal) accumulator_load(dS, a.dfinal + row * a.V + col, a.V, cols_k, cols_v);
    for (int load = 0; load < steps + STAGES - 1; load++) {
        const int step = load - (STAGES - 1), index = last - step / group;
        const bool begins = step >= 0 && step % group == 0;
        if (begins)
            accumulator_store(dS, state_at(&a, a.dstate, sequence, index, head, first_k, first_v), a.V, cols_k, cols_v);
        if (step >= 0) sync_after(AHEAD);
        if (load < steps) {
            STAGE_VIEWS(q, dO, e, load);
            const int ahead = last - load / group;
            const int64_t n = head * group + load % group;
            const Rows rows = rows_at(&a, sequence, ahead);
            tile_load_block(q, a.q_decayed, a.K, rows, n, program_y);
            tile_load_block(dO, a.do_, a.V, rows, n, program_z);
            matrix_load(e, decay_at(&a, sequence, ahead, head, first_k), a.K, 1, cols_k);
        }
        copy_commit();
        if (step >= 0) {
            STAGE_VIEWS(q, dO, e, step);
            if (begins) MAP(dS, d, j, x, x *= ENTRY(e, 0, d));
            mma_tn(dS, q, dO);
        }
    }
    if (a.dinitial)
        accumulator_store_f32(dS, a.dinitial + row * a.initial_stride + col, a.initial_stride, cols_k, cols_v);
    else
        accumulator_store(dS, state_at(&a, a.dstate, sequence, 0, head, first_k, first_v), a.V, cols_k, cols_v);
}

/* Computes the gradient of A, without its upper right quarter. Program: chunk, sequence and head. */
KERNEL(chunk_gla_dproducts, ChunkGlaArguments) {
    TILE(values, STAGES * ROWS, WIDTH_V);
    TILE(gradients, STAGES * ROWS, WIDTH_V);
    VECTOR(document, ROWS);
    TRIANGLE(dA);
    const int64_t sequence = program_y / a.heads, head = program_y % a.heads, kv_head = head * a.kv_heads / a.heads;
    const Chunk chunk = chunk_at(a.segment, a.T, ROWS, sequence, program_x);
    rows_documents(document, a.segment, chunk.rows);
    halves_zero(dA);
    const int steps = (int)blocks_of(a.V, WIDTH_V);
    for (int load = 0; load < steps + STAGES - 1; load++) {
        const int step = load - (STAGES - 1);
        if (step >= 0) sync_after(AHEAD);
        if (load < steps) {
            TILE_VIEW(v, values, load % STAGES * ROWS, 0, ROWS, WIDTH_V);
            TILE_VIEW(dO, gradients, load % STAGES * ROWS, 0, ROWS, WIDTH_V);
            tile_load_block(v, a.v, a.V, chunk.rows, kv_head, load);
            tile_load_block(dO, a.do_, a.V, chunk.rows, head, load);
        }
        copy_commit();
        if (step >= 0) {
            TILE_VIEW(v, values, step % STAGES * ROWS, 0, ROWS, WIDTH_V);
            TILE_VIEW(dO, gradients, step % STAGES * ROWS, 0, ROWS, WIDTH_V);
            triangle_mma_nt(dA, dO, v);
        }
    }
    HALVES_MAP(dA, i, j, x, x *= ((j <= i) & (document[i] == document[j])) ? a.scale : 0.0f);
    element *to = products_at(&a, a.dproducts, sequence, program_x, head);
    accumulator_store(dA_top, to, ROWS, HALF, HALF);
    accumulator_store(dA_bottom, to + HALF * ROWS, ROWS, HALF, ROWS);
}

/* Computes the gradient of v. Program: block of V, chunk, sequence and key-value head. */
KERNEL(chunk_gla_dv, ChunkGlaArguments) {
    TILE(k_stages, STAGES * ROWS, WIDTH_K);
    TILE(gradients, STAGES * WIDTH_K, WIDTH_V);
    TILE(A, ROWS, ROWS);
    TILE(dO, ROWS, WIDTH_V);
    HALVES(dv, WIDTH_V);
    const int64_t sequence = program_z / a.kv_heads, head = program_z % a.kv_heads, group = a.heads / a.kv_heads;
    const int64_t cols_v = a.V - program_x * WIDTH_V;
    const Rows rows = rows_at(&a, sequence, program_y);
    const element *dstate = state_at(&a, a.dstate, sequence, program_y, head, 0, program_x * WIDTH_V);
    const int steps = (int)blocks_of(a.K, WIDTH_K);
    tile_load(A, products_at(&a, a.products, sequence, program_y, head * group), ROWS, ROWS, ROWS);
    tile_load_block(dO, a.do_, a.V, rows, head * group, program_x);
    halves_zero(dv);
    for (int load = 0; load < steps + STAGES - 1; load++) {
        const int step = load - (STAGES - 1);
        if (step >= 0) sync_after(AHEAD);
        if (load < steps) {
            TILE_VIEW(k, k_stages, load % STAGES * ROWS, 0, ROWS, WIDTH_K);
            TILE_VIEW(dS, gradients, load % STAGES * WIDTH_K, 0, WIDTH_K, WIDTH_V);
            tile_load_block(k, a.k_decayed, a.K, rows, head, load);
            tile_load(dS, dstate + load * WIDTH_K * a.V, a.V, a.K - load * WIDTH_K, cols_v);
        }
        copy_commit();
        if (step >= 0) {
            TILE_VIEW(k, k_stages, step % STAGES * ROWS, 0, ROWS, WIDTH_K);
            TILE_VIEW(dS, gradients, step % STAGES * WIDTH_K, 0, WIDTH_K, WIDTH_V);
            halves_mma_nn(dv, k, dS);
        }
    }
    halves_mma_lower_tn(dv, A, dO);
    for (int64_t n = head * group + 1; n < (head + 1) * group; n++) {
        sync();
        tile_load(A, products_at(&a, a.products, sequence, program_y, n), ROWS, ROWS, ROWS);
        tile_load_block(dO, a.do_, a.V, rows, n, program_x);
        sync();
        halves_mma_lower_tn(dv, A, dO);
    }
    const Chunk chunk = {rows, 0, 0};
    halves_store_block(dv, a.dv, a.V, chunk, head, program_x);
}
