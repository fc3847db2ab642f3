/* The gradients of q, k and g of chunk_simple_gla, from those of the states and products. */
#include "tile/tile.h"
#include "kernels/recurrences/chunk_simple_gla/chunk_simple_gla.h"

/* Rows of 128 bytes, so that two stages of fp32 fit into shared memory, too. */
enum { BLOCK_V = 128 / sizeof(element) };

/* The gradients of q and k, and the states' parts of that of g. Program: block of K, chunk, sequence and key head. The
 * next head's or block of V's tiles are loaded while one's are used. */
KERNEL(chunk_simple_gla_dqk, ChunkSimpleGlaArguments) {
    TILE(q, ROWS, WIDTH_K);
    TILE(k, ROWS, WIDTH_K);
    TILE(dP, ROWS, ROWS);
    TILE(gradients, 2 * ROWS, BLOCK_V);
    TILE(states, 2 * WIDTH_K, BLOCK_V);
    TILE(values, 2 * ROWS, BLOCK_V);
    TILE(dstates, 2 * WIDTH_K, BLOCK_V);
    MATRIX(decays, 2 * DECAYS, ROWS);
    VECTOR(reads, ROWS);
    VECTOR(writes, ROWS);
    ACCUMULATOR(read, ROWS, WIDTH_K);    /* o' S^T of a head */
    ACCUMULATOR(written, ROWS, WIDTH_K); /* v S_next'^T of a head */
    ACCUMULATOR(dq, ROWS, WIDTH_K);
    ACCUMULATOR(dk, ROWS, WIDTH_K);
    const int64_t sequence = program_z / a.k_heads, k_head = program_z % a.k_heads;
    const int64_t q_group = a.q_heads / a.k_heads, group = a.heads / a.q_heads;
    const int blocks = (int)blocks_of(a.V, BLOCK_V), steps = (int)group * blocks;
    const Chunk chunk = chunk_at(a.segment, a.T, ROWS, sequence, program_y);
    float through = 0; /* S S_next' of a head; counts for every row, as a read by the last one does */
    tile_load_block(k, a.k, a.K, chunk.rows, k_head, program_x);
    accumulator_zero(dk);
    for (int64_t q_head = k_head * q_group; q_head < (k_head + 1) * q_group; q_head++) {
        tile_load_block(q, a.q, a.K, chunk.rows, q_head, program_x);
        accumulator_zero(dq);
        for (int load = 0; load <= steps; load++) {
            if (load > 0) sync();
            if (load < steps) {
                const int64_t head = q_head * group + load / blocks, block = load % blocks, col = block * BLOCK_V;
                const int64_t at = state_at(&a, sequence, program_y, head, program_x * WIDTH_K, col);
                TILE_VIEW(dO, gradients, load % 2 * ROWS, 0, ROWS, BLOCK_V);
                TILE_VIEW(S, states, load % 2 * WIDTH_K, 0, WIDTH_K, BLOCK_V);
                TILE_VIEW(v, values, load % 2 * ROWS, 0, ROWS, BLOCK_V);
                TILE_VIEW(dS, dstates, load % 2 * WIDTH_K, 0, WIDTH_K, BLOCK_V);
                MATRIX_VIEW(decay, decays, load % 2 * DECAYS, 0, DECAYS, ROWS);
                tile_load_block(dO, a.do_, a.V, chunk.rows, head, block);
                tile_load(S, (const element *)a.state + at, a.V, a.K - program_x * WIDTH_K, a.V - col);
                tile_load_block(v, a.v, a.V, chunk.rows, head * a.v_heads / a.heads, block);
                tile_load(dS, (const element *)a.dstate + at, a.V, a.K - program_x * WIDTH_K, a.V - col);
                matrix_load(decay, decays_of(&a, sequence, program_y, head), ROWS, DECAYS, ROWS);
            }
            if (load == 0) {
                const int64_t products = products_at(&a, sequence, program_y, q_head);
                tile_load_f32(dP, a.dproducts + products, ROWS, ROWS, ROWS);
                continue;
            }
            const int step = load - 1;
            const int64_t head = q_head * group + step / blocks, block = step % blocks;
            TILE_VIEW(dO, gradients, step % 2 * ROWS, 0, ROWS, BLOCK_V);
            TILE_VIEW(S, states, step % 2 * WIDTH_K, 0, WIDTH_K, BLOCK_V);
            TILE_VIEW(v, values, step % 2 * ROWS, 0, ROWS, BLOCK_V);
            TILE_VIEW(dS, dstates, step % 2 * WIDTH_K, 0, WIDTH_K, BLOCK_V);
            MATRIX_VIEW(decay, decays, step % 2 * DECAYS, 0, DECAYS, ROWS);
            if (block == 0) {
                accumulator_zero(read);
                accumulator_zero(written);
                through = 0;
            }
            mma_nt(read, dO, S);
            mma_nt(written, v, dS);
            if (a.dg) tile_dot(through, S, dS);
            if (block + 1 < blocks) continue;
            MAP(read, i, d, x, x *= a.scale * ENTRY(decay, UPTO, i); PEER(dq, i, d) += x; x *= AT(q, i, d));
            MAP(written, j, d, x, x *= ENTRY(decay, AFTER, j); PEER(dk, j, d) += x; x *= AT(k, j, d));
            if (!a.dg) continue;
            PROGRAM_SUM(through);
            row_sum(reads, read);
            row_sum(writes, written);
            sync();
            const int64_t part_at = parts_at(&a, sequence, program_y, head, program_x);
            EACH (i, ROWS) {
                const float last = i == ROWS - 1 ? ENTRY(decay, UPTO, ROWS - 1) * through : 0.0f;
                a.reads[part_at + i] = reads[i] + last;
                a.writes[part_at + i] = writes[i];
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
