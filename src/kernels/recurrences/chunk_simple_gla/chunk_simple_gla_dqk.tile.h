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
    MATRIX(decays, 2 * 3, ROWS); /* u and w, and u of the span's other chunk */
    VECTOR(reads, ROWS);
    VECTOR(writes, ROWS);
    ACCUMULATOR(read, ROWS, WIDTH_K);    /* o' S^T of a head */
    ACCUMULATOR(written, ROWS, WIDTH_K); /* v S_next'^T of a head */
    ACCUMULATOR(dq, ROWS, WIDTH_K);
    ACCUMULATOR(dk, ROWS, WIDTH_K);
    const int k_heads = (int)a.k_heads, sequence = (int)program_z / k_heads, k_head = (int)program_z % k_heads;
    const int q_group = (int)a.q_heads / k_heads, group = (int)(a.heads / a.q_heads), index = (int)program_y;
    const int blocks = (int)blocks_of(a.V, BLOCK_V), steps = group * blocks;
    const bool paired = follows(index) || followed(&a, index);
    const int other = follows(index) ? index - 1 : index + 1; /* chunk of the span, if it is a pair */
    const Chunk chunk = chunk_at(a.segment, a.T, ROWS, sequence, index);
    const Rows other_rows = chunk_at(a.segment, a.T, ROWS, sequence, paired ? other : index).rows;
    float through = 0; /* S S_next' of a head; counts for every row, as a read by the span's last one does */
    tile_load_block(k, a.k, a.K, chunk.rows, k_head, program_x);
    accumulator_zero(dk);
    for (int q_head = k_head * q_group; q_head < (k_head + 1) * q_group; q_head++) {
        int head = q_head * group, block = 0, used_head = head, used_block = 0;
        tile_load_block(q, a.q, a.K, chunk.rows, q_head, program_x);
        accumulator_zero(dq);
        for (int load = 0; load <= steps; load++) {
            if (load > 0) sync();
            if (load < steps) {
                const int64_t col = block * BLOCK_V;
                const int64_t at = state_at(&a, sequence, index, head, program_x * WIDTH_K, col);
                TILE_VIEW(dO, gradients, load % 2 * ROWS, 0, ROWS, BLOCK_V);
                TILE_VIEW(S, states, load % 2 * WIDTH_K, 0, WIDTH_K, BLOCK_V);
                TILE_VIEW(v, values, load % 2 * ROWS, 0, ROWS, BLOCK_V);
                TILE_VIEW(dS, dstates, load % 2 * WIDTH_K, 0, WIDTH_K, BLOCK_V);
                MATRIX_VIEW(decay, decays, load % 2 * 3, 0, 2, ROWS);
                tile_load_block(dO, a.do_, a.V, chunk.rows, head, block);
                tile_load(S, (const element *)a.state + at, a.V, a.K - program_x * WIDTH_K, a.V - col);
                tile_load_block(v, a.v, a.V, chunk.rows, head * (int)a.v_heads / (int)a.heads, block);
                tile_load(dS, (const element *)a.dstate + at, a.V, a.K - program_x * WIDTH_K, a.V - col);
                matrix_load(decay, decays_of(&a, sequence, index, head) + UPTO * ROWS, ROWS, 2, ROWS);
                if (paired) {
                    MATRIX_VIEW(of_other, decays, load % 2 * 3 + 2, 0, 1, ROWS);
                    matrix_load(of_other, decays_of(&a, sequence, other, head) + UPTO * ROWS, ROWS, 1, ROWS);
                }
                block = block + 1 < blocks ? block + 1 : 0;
                head += block == 0;
            }
            if (load == 0) {
                const int64_t products = products_at(&a, sequence, index, q_head);
                tile_load_f32(dP, a.dproducts + products, ROWS, ROWS, ROWS);
                continue;
            }
            TILE_VIEW(dO, gradients, (load - 1) % 2 * ROWS, 0, ROWS, BLOCK_V);
            TILE_VIEW(S, states, (load - 1) % 2 * WIDTH_K, 0, WIDTH_K, BLOCK_V);
            TILE_VIEW(v, values, (load - 1) % 2 * ROWS, 0, ROWS, BLOCK_V);
            TILE_VIEW(dS, dstates, (load - 1) % 2 * WIDTH_K, 0, WIDTH_K, BLOCK_V);
            MATRIX_VIEW(decay, decays, (load - 1) % 2 * 3, 0, 3, ROWS);
            if (used_block == 0) {
                accumulator_zero(read);
                accumulator_zero(written);
                through = 0;
            }
            mma_nt(read, dO, S);
            mma_nt(written, v, dS);
            if (a.parts && !followed(&a, index)) tile_dot(through, S, dS);
            used_block = used_block + 1 < blocks ? used_block + 1 : 0;
            if (used_block > 0) continue;
            const float passed = paired ? ENTRY(decay, 2, ROWS - 1) : 1.0f; /* by the span's other chunk */
            const float before = follows(index) ? passed : 1.0f, behind = follows(index) ? 1.0f : passed;
            const float read_scale = a.scale * before;
            MAP(read, i, d, x, x *= read_scale * ENTRY(decay, 0, i); PEER(dq, i, d) += x; x *= AT(q, i, d));
            MAP(written, j, d, x, x *= ENTRY(decay, 1, j) * behind; PEER(dk, j, d) += x; x *= AT(k, j, d));
            if (!a.parts) continue;
            if (!followed(&a, index)) PROGRAM_SUM(through);
            row_sum(reads, read);
            row_sum(writes, written);
            sync();
            float *parts = parts_of(&a, sequence, index, used_head);
            const float last = followed(&a, index) ? 0.0f : ENTRY(decay, 0, ROWS - 1) * before * through;
            EACH (i, ROWS) {
                reads_of(parts, program_x)[i] = reads[i] + (i == ROWS - 1 ? last : 0.0f);
                writes_of(parts, program_x)[i] = writes[i];
            }
            used_head++;
        }
        mma_nn(dq, dP, k);
        mma_tn(dk, dP, q);
        if (paired) { /* the crossing products, with the other chunk's q or k */
            const int64_t crossing = products_at(&a, sequence, follows(index) ? index : other, q_head);
            sync();
            tile_load_f32(dP, a.dcrossing + crossing, ROWS, ROWS, ROWS);
            if (follows(index))
                tile_load_block(q, a.k, a.K, other_rows, k_head, program_x);
            else
                tile_load_block(q, a.q, a.K, other_rows, q_head, program_x);
            sync();
            if (follows(index))
                mma_nn(dq, dP, q);
            else
                mma_tn(dk, dP, q);
        }
        accumulator_store_block(dq, a.dq, a.K, chunk.rows, q_head, program_x);
        sync();
    }
    accumulator_store_block(dk, a.dk, a.K, chunk.rows, k_head, program_x);
}

/* The gradients of the gates, from their parts. Program: span, sequence and block of heads, one in each column of the
 * matrices, whose rows end in different banks. */
KERNEL(chunk_simple_gla_dg, ChunkSimpleGlaArguments) {
    enum { HEADS = CHUNK_SIMPLE_GLA_HEADS, SPAN_ROWS = SPAN * ROWS };
    MATRIX(from, SPAN_ROWS, HEADS + 1);     /* sums over the rows from one on */
    MATRIX(before, SPAN_ROWS, HEADS + 1);   /* and over those before it */
    MATRIX(scaled, SPAN_ROWS, HEADS + 1);   /* the gradient of s */
    MATRIX(diagonal, SPAN_ROWS, HEADS + 1); /* that of skip */
    const Rows rows = chunk_at(a.segment, a.T, SPAN_ROWS, program_y, program_x).rows;
    const int64_t first = program_z * HEADS, blocks = blocks_of(a.K, WIDTH_K);
    const int heads = (int)(a.heads - first < HEADS ? a.heads - first : HEADS);
    EACH_PAIR(n, t, HEADS, SPAN_ROWS) {
        const int64_t index = program_x * SPAN + t / ROWS;
        const int i = t % ROWS;
        float read = 0, written = 0, of_columns = 0, of_diagonal = 0;
        if (n < heads && index < a.chunks) {
            float *parts = parts_of(&a, program_y, index, first + n);
            of_columns = parts[OF_COLUMNS * ROWS + i];
            of_diagonal = parts[DIAGONAL * ROWS + i];
            if (followed(&a, index)) of_columns += parts[CROSS_COLUMNS * ROWS + i];
            read = parts[OF_ROWS * ROWS + i] - of_columns;
            if (follows(index)) read += parts[CROSS_ROWS * ROWS + i];
            for (int64_t block = 0; block < blocks; block++) {
                read += reads_of(parts, block)[i];
                written += writes_of(parts, block)[i];
            }
        }
        ENTRY(from, t, n) = read;
        ENTRY(before, t, n) = written;
        ENTRY(scaled, t, n) = written + of_columns;
        ENTRY(diagonal, t, n) = of_diagonal;
    }
    sync();
    BLOCK_WALK(x, 0.0f, walk, 3, n, HEADS, t, SPAN_ROWS, {
        const int i = SPAN_ROWS - 1 - t;
        const float written = ENTRY(before, t, n);
        if (walk == 0) ENTRY(from, i, n) = x += ENTRY(from, i, n);
        if (walk == 1) {
            ENTRY(before, t, n) = x;
            x += written;
        }
        if (walk == 2) x += ENTRY(diagonal, t, n);
        if (walk == 2 && a.dskip && t == SPAN_ROWS - 1 && n < heads)
            a.dskip[(program_y * spans_of(&a) + program_x) * a.heads + first + n] = x;
    });
    sync();
    EACH_PAIR(t, n, SPAN_ROWS, HEADS) {
        if (t < rows.count && n < heads) {
            const int64_t row = rows.first + t, head = first + n, index = program_x * SPAN + t / ROWS;
            const float *P = a.products + products_at(&a, program_y, index, head * a.q_heads / a.heads);
            if (a.dg) a.dg[row * a.g_stride + head] = ENTRY(from, t, n) + ENTRY(before, t, n);
            if (a.ds)
                a.ds[row * a.s_stride + head] = ENTRY(scaled, t, n) + ENTRY(diagonal, t, n) *
                                                                          exp_f(a.s[row * a.s_stride + head]) *
                                                                          P[t % ROWS * (ROWS + 1)];
        }
    }
}
