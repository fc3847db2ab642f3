/* The gradients of q, k and the gates of chunk_simple_gla, from those of the states and products. */
#include "tile/tile.h"
#include "kernels/recurrences/chunk_simple_gla/chunk_simple_gla.h"

/* Rows of 128 bytes, so that two stages of fp32 fit into shared memory, too. */
enum { BLOCK_V = 128 / sizeof(element) };

/* The gradients of q and k, and the states' parts of those of the gates. Program: block of K, chunk, sequence and key
 * head. The next head's or block of V's tiles are loaded while one's are used. */
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
            if (a.parts) tile_dot(through, S, dS);
            if (block + 1 < blocks) continue;
            MAP(read, i, d, x, x *= a.scale * ENTRY(decay, UPTO, i); PEER(dq, i, d) += x; x *= AT(q, i, d));
            MAP(written, j, d, x, x *= ENTRY(decay, AFTER, j); PEER(dk, j, d) += x; x *= AT(k, j, d));
            if (!a.parts) continue;
            PROGRAM_SUM(through);
            row_sum(reads, read);
            row_sum(writes, written);
            sync();
            float *parts = parts_of(&a, sequence, program_y, head);
            EACH (i, ROWS) {
                const float last = i == ROWS - 1 ? ENTRY(decay, UPTO, ROWS - 1) * through : 0.0f;
                reads_of(parts, program_x)[i] = reads[i] + last;
                writes_of(parts, program_x)[i] = writes[i];
            }
        }
        mma_nn(dq, dP, k);
        mma_tn(dk, dP, q);
        accumulator_store_block(dq, a.dq, a.K, chunk.rows, q_head, program_x);
        sync();
    }
    accumulator_store_block(dk, a.dk, a.K, chunk.rows, k_head, program_x);
}

/* The gradients of the gates, from their parts. Program: chunk, sequence and block of heads, one in each column of the
 * matrices, whose rows end in different banks. */
KERNEL(chunk_simple_gla_dg, ChunkSimpleGlaArguments) {
    enum { HEADS = CHUNK_SIMPLE_GLA_HEADS };
    MATRIX(from, ROWS, HEADS + 1);     /* sums over the rows from one on */
    MATRIX(before, ROWS, HEADS + 1);   /* and over those before it */
    MATRIX(scaled, ROWS, HEADS + 1);   /* the gradient of s */
    MATRIX(diagonal, ROWS, HEADS + 1); /* that of skip */
    const Chunk chunk = chunk_at(a.segment, a.T, ROWS, program_y, program_x);
    const int64_t first = program_z * HEADS, at = program_y * a.chunks + program_x, blocks = blocks_of(a.K, WIDTH_K);
    const int heads = (int)(a.heads - first < HEADS ? a.heads - first : HEADS);
    EACH_PAIR(n, i, HEADS, ROWS) {
        float *parts = parts_of(&a, program_y, program_x, first + (n < heads ? n : 0));
        float read = parts[OF_ROWS * ROWS + i] - parts[OF_COLUMNS * ROWS + i], written = 0;
        for (int64_t block = 0; block < blocks; block++) {
            read += reads_of(parts, block)[i];
            written += writes_of(parts, block)[i];
        }
        ENTRY(from, i, n) = read;
        ENTRY(before, i, n) = written;
        ENTRY(scaled, i, n) = written + parts[OF_COLUMNS * ROWS + i];
        ENTRY(diagonal, i, n) = parts[DIAGONAL * ROWS + i];
    }
    sync();
    BLOCK_WALK(x, 0.0f, walk, 3, n, HEADS, t, ROWS, {
        const int i = ROWS - 1 - t;
        const float written = ENTRY(before, t, n);
        if (walk == 0) ENTRY(from, i, n) = x += ENTRY(from, i, n);
        if (walk == 1) {
            ENTRY(before, t, n) = x;
            x += written;
        }
        if (walk == 2) x += ENTRY(diagonal, t, n);
        if (walk == 2 && a.dskip && t == ROWS - 1 && n < heads) a.dskip[at * a.heads + first + n] = x;
    });
    sync();
    EACH_PAIR(i, n, ROWS, HEADS) {
        if (i < chunk.rows.count && n < heads) {
            const int64_t row = chunk.rows.first + i, head = first + n;
            const int64_t products = products_at(&a, program_y, program_x, head * a.q_heads / a.heads);
            if (a.dg) a.dg[row * a.g_stride + head] = ENTRY(from, i, n) + ENTRY(before, i, n);
            if (a.ds)
                a.ds[row * a.s_stride + head] = ENTRY(scaled, i, n) + ENTRY(diagonal, i, n) *
                                                                          exp_f(a.s[row * a.s_stride + head]) *
                                                                          a.products[products + i * ROWS + i];
        }
    }
}
