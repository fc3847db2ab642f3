/* The walks of chunk_simple_gla over the chunks of a sequence, which carry the state or its gradient; equations in
 * chunk_simple_gla.tile.h. They use so few registers that all programs of 32 heads of 64 value columns run at the same
 * time, if shared memory has room for them. */
#if defined(TILE_ELEMENT_F32) || (defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900)
#define TILE_PROGRAMS 2
#else
#define TILE_PROGRAMS 4
#endif
#include "tile/tile.h"
#include "kernels/recurrences/chunk_simple_gla/chunk_simple_gla.h"

/* Chunk `index`'s half of a tile or matrix for two chunks: a walk loads the next chunk while it uses one. */
#define CHUNK_TILE(name, tile, index)     TILE_VIEW(name, tile, (index) % 2 * ROWS, 0, ROWS, tile##_cols)
#define CHUNK_DECAYS(name, matrix, index) MATRIX_VIEW(name, matrix, (index) % 2 * DECAYS, 0, DECAYS, ROWS)

/* The state before each span, and after the last. Program: sequence and head, block of K, block of V. */
KERNEL(chunk_simple_gla_state, ChunkSimpleGlaArguments) {
    TILE(keys, 2 * ROWS, STATE_K);
    TILE(values, 2 * ROWS, WIDTH_V);
    MATRIX(decays, 2 * DECAYS, ROWS);
    ACCUMULATOR(S, STATE_K, WIDTH_V);
    const int64_t sequence = program_x / a.heads, head = program_x % a.heads;
    const int64_t k_head = head * a.k_heads / a.heads, v_head = head * a.v_heads / a.heads;
    const int first_k = (int)program_y * STATE_K, first_v = (int)program_z * WIDTH_V;
    const int cols_k = (int)a.K - first_k, cols_v = (int)a.V - first_v;
    const int64_t row = program_x * a.K + first_k, col = first_v;
    const int count = a.final ? (int)a.chunks : ((int)a.chunks - 1) / SPAN * SPAN; /* chunks that are added to S */
    accumulator_zero(S);
    if (a.initial) accumulator_load(S, a.initial + row * a.initial_stride + col, a.initial_stride, cols_k, cols_v);
    for (int load = 0; load <= count; load++) {
        const int index = load - 1;
        if (index >= 0) {
            if (!follows(index))
                accumulator_store(S, (element *)a.state + state_offset(&a, sequence, index, head, first_k, first_v),
                                  a.V, cols_k, cols_v);
            sync();
        }
        if (load < count) {
            CHUNK_TILE(k, keys, load);
            CHUNK_TILE(v, values, load);
            CHUNK_DECAYS(decay, decays, load);
            const Rows rows = rows_of_chunk(a.T, ROWS, sequence, load);
            tile_load_block(k, a.k, a.K, rows, k_head, program_y);
            tile_load_block(v, a.v, a.V, rows, v_head, program_z);
            matrix_load(decay, decays_of(&a, sequence, load, head), ROWS, DECAYS, ROWS);
            copy_commit();
        }
        if (index < 0) continue;
        CHUNK_TILE(k, keys, index);
        CHUNK_TILE(v, values, index);
        CHUNK_DECAYS(decay, decays, index);
        if (ON_GPU) /* v, which has fewer columns than k */
            EACH_TILE_STAGED(v, j, d, x, x *= ENTRY(decay, AFTER, j));
        else
            EACH_TILE_STAGED(k, j, d, x, x *= ENTRY(decay, AFTER, j));
        MAP(S, d, j, x, x *= ENTRY(decay, UPTO, ROWS - 1));
        sync_after(1);
        mma_tn(S, k, v);
    }
    if (a.final)
        accumulator_store_f32(S, a.final + row * a.V + col, a.V, cols_k, cols_v);
    else
        accumulator_store(S, (element *)a.state + state_offset(&a, sequence, count, head, first_k, first_v), a.V,
                          cols_k, cols_v);
}

/* The gradient of the state after each span, and of the initial one. Programs as above. */
KERNEL(chunk_simple_gla_dstate, ChunkSimpleGlaArguments) {
    TILE(queries, 2 * ROWS, STATE_K);
    TILE(gradients, 2 * ROWS, WIDTH_V); /* o' */
    MATRIX(decays, 2 * DECAYS, ROWS);
    ACCUMULATOR(dS, STATE_K, WIDTH_V);
    const int64_t sequence = program_x / a.heads, head = program_x % a.heads, q_head = head * a.q_heads / a.heads;
    const int first_k = (int)program_y * STATE_K, first_v = (int)program_z * WIDTH_V;
    const int cols_k = (int)a.K - first_k, cols_v = (int)a.V - first_v;
    const int64_t row = program_x * a.K + first_k, col = first_v;
    const int chunks = (int)a.chunks, first_span = chunks < SPAN ? chunks : SPAN;
    const int end = a.dinitial ? 0 : first_span; /* the chunk that is added to dS last */
    accumulator_zero(dS);
    if (a.dfinal) accumulator_load(dS, a.dfinal + row * a.V + col, a.V, cols_k, cols_v);
    for (int load = chunks - 1; load >= end - 1; load--) {
        const int index = load + 1;
        if (index < chunks) {
            if (!followed(&a, index))
                accumulator_store(dS, (element *)a.dstate + state_offset(&a, sequence, index, head, first_k, first_v),
                                  a.V, cols_k, cols_v);
            sync();
        }
        if (load >= end) {
            CHUNK_TILE(q, queries, load);
            CHUNK_TILE(dO, gradients, load);
            CHUNK_DECAYS(decay, decays, load);
            const Rows rows = rows_of_chunk(a.T, ROWS, sequence, load);
            tile_load_block(q, a.q, a.K, rows, q_head, program_y);
            tile_load_block(dO, a.do_, a.V, rows, head, program_z);
            matrix_load(decay, decays_of(&a, sequence, load, head), ROWS, DECAYS, ROWS);
            copy_commit();
        }
        if (index == chunks) continue;
        CHUNK_TILE(q, queries, index);
        CHUNK_TILE(dO, gradients, index);
        CHUNK_DECAYS(decay, decays, index);
        if (ON_GPU) /* o', which has fewer columns than q */
            EACH_TILE_STAGED(dO, i, d, x, x *= a.scale * ENTRY(decay, UPTO, i));
        else
            EACH_TILE_STAGED(q, i, d, x, x *= a.scale * ENTRY(decay, UPTO, i));
        MAP(dS, d, j, x, x *= ENTRY(decay, UPTO, ROWS - 1));
        sync_after(1);
        mma_tn(dS, q, dO);
    }
    if (a.dinitial)
        accumulator_store_f32(dS, a.dinitial + row * a.initial_stride + col, a.initial_stride, cols_k, cols_v);
    else
        accumulator_store(dS, (element *)a.dstate + state_offset(&a, sequence, end - 1, head, first_k, first_v), a.V,
                          cols_k, cols_v);
}
