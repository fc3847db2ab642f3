/* The gradients of q, k and g of chunk_gla; equations in chunk_gla_chunk.h. The accumulators leave registers for three
 * programs per multiprocessor; on sm_80 shared memory has room for only two. */
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
#define TILE_PROGRAMS 2
#else
#define TILE_PROGRAMS 3
#endif
#include "tile/tile.h"
#include "kernels/recurrences/chunk_gla/chunk_gla.h"
#include "kernels/recurrences/chunk_gla/chunk_gla_chunk.h"

#define PASS_UP(dk, c)                                                                                                 \
    do {                                                                                                               \
        DECAY_ABOVE(dk, inside, c);                                                                                    \
        ADD_ABOVE(dk, dA, q_near, c);                                                                                  \
    } while (0)

/* The steps of chunk_gla_dqkg, which use its names. First the state's parts of the gradients and the sum of S S_next':
 * q' = o' S^T and, for the first query head, k' = v S_next'^T. */
#define add_state_products()                                                                                           \
    do {                                                                                                               \
        for (int block = 0; block * WIDTH_V < a.V; block++) {                                                          \
            const int64_t cols_v = a.V - block * WIDTH_V;                                                              \
            tile_load_block(dO, a.do_, a.V, chunk.rows, n, block);                                                     \
            tile_load(S, state + block * WIDTH_V, a.V, cols, cols_v);                                                  \
            if (first) {                                                                                               \
                tile_load_block(v, a.v, a.V, chunk.rows, head, block);                                                 \
                tile_load(dS, dstate + block * WIDTH_V, a.V, cols, cols_v);                                            \
            }                                                                                                          \
            sync();                                                                                                    \
            mma_nt(dq, dO, S);                                                                                         \
            if (first) {                                                                                               \
                mma_nt(dk, v, dS);                                                                                     \
                EACH_SHORT_ROW (d, 0, WIDTH_K, WIDTH_V) {                                                              \
                    float sum = 0;                                                                                     \
                    WARP_SUM_VECTOR(j, WIDTH_V, sum) {                                                                 \
                        READ_TILE(x, S, d, j);                                                                         \
                        READ_TILE(y, dS, d, j);                                                                        \
                        EACH_LANE(e) sum += x[e] * y[e];                                                               \
                    }                                                                                                  \
                    WARP_TOTAL(sum);                                                                                   \
                    WARP_EACH(one, 1) through[d] += sum;                                                               \
                }                                                                                                      \
            }                                                                                                          \
            sync();                                                                                                    \
        }                                                                                                              \
    } while (0)
/* Decays q from the start of its quarter, and k to it, or to its end if the block is steep. */
#define decay_operands()                                                                                               \
    do {                                                                                                               \
        DECAYS_TO_END(inside, to_end, sums, steep);                                                                    \
        if (steep) SUM_GATES_AFTER(g, row, d, sum, ENTRY(k_decay, row, d) = sum);                                      \
        sync();                                                                                                        \
        EACH_ROW_VECTOR(row, d, ROWS, WIDTH_K) {                                                                       \
            READ_MATRIX(q_factor, q_decay, row, d);                                                                    \
            READ_MATRIX(k_factor, k_decay, row, d);                                                                    \
            READ_TILE(q_row, q, row, d);                                                                               \
            READ_TILE(k_row, k, row, d);                                                                               \
            EACH_LANE(e) {                                                                                             \
                q_factor[e] = DECAY(q_factor[e]);                                                                      \
                k_factor[e] = DECAY(k_factor[e]);                                                                      \
                q_row[e] *= q_factor[e];                                                                               \
                k_row[e] *= k_factor[e];                                                                               \
            }                                                                                                          \
            WRITE_TILE(q_near, row, d, q_row);                                                                         \
            WRITE_TILE(k_near, row, d, k_row);                                                                         \
            WRITE_MATRIX(q_decay, row, d, q_factor);                                                                   \
            WRITE_MATRIX(k_decay, row, d, k_factor);                                                                   \
        }                                                                                                              \
        sync();                                                                                                        \
    } while (0)
/* Masks the state's parts by documents, and sums k times that of k' for g'. */
#define mask_state_products()                                                                                          \
    do {                                                                                                               \
        if (first) {                                                                                                   \
            MAP(dk, j, d, x, {                                                                                         \
                x *= enters[j];                                                                                        \
                PEER(product, j, d) = AT(k_near, j, d) * x * ENTRY(to_end, j / QUARTER, d);                            \
            });                                                                                                        \
            column_sums(carried, product);                                                                             \
        }                                                                                                              \
        MAP(dq, i, d, x, x *= a.scale * sees[i]);                                                                      \
    } while (0)
/* Adds the products inside the chunk: A' and A'^T times the decayed operands. */
#define add_inside_products()                                                                                          \
    do {                                                                                                               \
        PASS_DOWN(dq, 0);                                                                                              \
        PASS_DOWN(dq, 1);                                                                                              \
        PASS_DOWN(dq, 2);                                                                                              \
        PASS_UP(dk, 3);                                                                                                \
        PASS_UP(dk, 2);                                                                                                \
        PASS_UP(dk, 1);                                                                                                \
        if (!steep) {                                                                                                  \
            MAP(dk, j, d, x, x *= ENTRY(inside, j / QUARTER, d));                                                      \
            ADD_INSIDE(dq, dk, dA, q_near, k_near);                                                                    \
        }                                                                                                              \
    } while (0)
/* Adds the pairs of rows inside the quarters of a steep block. */
#define add_steep_pairs()                                                                                              \
    do {                                                                                                               \
        BLOCK_WALK(zero, 0.0f, b, CHUNK_QUARTERS, d, WIDTH_K, i, QUARTER, const int row = b * QUARTER + i;             \
                   ENTRY(q_decay, row, d) = zero; ENTRY(k_decay, row, d) = zero;                                       \
                   ENTRY(g, row, d) = DECAY(ENTRY(g, row, d)));                                                        \
        for (int j = 0; j < QUARTER - 1; j++)                                                                          \
            BLOCK_WALK(                                                                                                \
                walked, 0.0f, b, CHUNK_QUARTERS, d, WIDTH_K, i, QUARTER - 1 - j, const int from = b * QUARTER + j;     \
                const int row = from + 1 + i; walked = (i ? walked : 1.0f) * ENTRY(g, row, d);                         \
                const float weight = AT(dA, row, from) * walked; ENTRY(q_decay, row, d) += weight * AT(k, from, d);    \
                ENTRY(k_decay, from, d) += weight * AT(q, row, d));                                                    \
        sync();                                                                                                        \
        MAP(dg, i, d, x, x += AT(q, i, d) * ENTRY(q_decay, i, d) - AT(k, i, d) * ENTRY(k_decay, i, d));                \
        MAP(dq, i, d, x, x += ENTRY(q_decay, i, d));                                                                   \
        MAP(dk, j, d, x, x += ENTRY(k_decay, j, d));                                                                   \
    } while (0)
/* g'_t = the sum of dg over the rows from t on, and the state's part. */
#define sum_gate_gradient()                                                                                            \
    do {                                                                                                               \
        BLOCK_WALK(sum, 0.0f, b, CHUNK_QUARTERS, d, WIDTH_K, i, QUARTER,                                               \
                   const int row = b * QUARTER + QUARTER - 1 - i;                                                      \
                   sum += ENTRY(g, row, d); ENTRY(g, row, d) = sum; if (i == QUARTER - 1) ENTRY(sums, b, d) = sum);    \
        sync();                                                                                                        \
        BLOCK_WALK(rest, 0.0f, b, CHUNK_QUARTERS, d, WIDTH_K, i, QUARTER,                                              \
                   if (i == 0) rest =                                                                                  \
                       SUM_AFTER(sums, b, d) + SUM_ALL(carried, d) + (d < cols ? decay[d] : 0.0f) * through[d];        \
                   ENTRY(g, b * QUARTER + i, d) += rest);                                                              \
    } while (0)

/* Computes the gradients of q, k and g. Program: block of K, chunk, sequence and key-value head. */
KERNEL(chunk_gla_dqkg, ChunkGlaArguments) {
    TILE(work, 3 * ROWS, WIDTH_V);
    TILE(dA, ROWS, ROWS);
    PADDED_MATRIX(g, ROWS, WIDTH_K); /* g, in the end its gradient */
    PADDED_MATRIX(q_decay, ROWS, WIDTH_K);
    PADDED_MATRIX(k_decay, ROWS, WIDTH_K);
    MATRIX(sums, CHUNK_QUARTERS, WIDTH_K);
    MATRIX(inside, CHUNK_QUARTERS, WIDTH_K);  /* e^(sum over the quarter) */
    MATRIX(to_end, CHUNK_QUARTERS, WIDTH_K);  /* e^(sum of the gates from the row to which k_near is decayed) */
    MATRIX(carried, CHUNK_QUARTERS, WIDTH_K); /* the sums over the quarter of k (the state's part of k') */
    VECTOR(through, WIDTH_K);                 /* the sum of S S_next' */
    VECTOR(sees, ROWS);
    VECTOR(enters, ROWS);
    VECTOR(diagonal, ROWS);
    ACCUMULATOR(dq, ROWS, WIDTH_K);
    ACCUMULATOR(dk, ROWS, WIDTH_K);
    ACCUMULATOR(dk_all, ROWS, WIDTH_K);
    ACCUMULATOR(dg, ROWS, WIDTH_K); /* sum of q q' - k k', without the terms i = j, which cancel */
    ACCUMULATOR(product, ROWS, WIDTH_K);
    /* First, products with the states, */
    TILE_VIEW(v, work, 0, 0, ROWS, WIDTH_V);
    TILE_VIEW(dS, work, ROWS, 0, WIDTH_K, WIDTH_V);
    TILE_VIEW(S, work, ROWS + WIDTH_K, 0, WIDTH_K, WIDTH_V);
    TILE_VIEW(dO, work, 2 * ROWS, 0, ROWS, WIDTH_V);
    /* then products inside the chunk. */
    TILE_VIEW(q, work, 0, 0, ROWS, WIDTH_K);
    TILE_VIEW(k, work, 0, WIDTH_K, ROWS, WIDTH_K);
    TILE_VIEW(q_near, work, ROWS, 0, ROWS, WIDTH_K);       /* q e^P */
    TILE_VIEW(k_near, work, ROWS, WIDTH_K, ROWS, WIDTH_K); /* k e^(-P); if steep, k decayed to the end of its quarter */
    const int64_t sequence = program_z / a.kv_heads, head = program_z % a.kv_heads, group = a.heads / a.kv_heads;
    const int64_t cols = a.K - program_x * WIDTH_K;
    const Chunk chunk = chunk_at(a.segment, a.T, ROWS, sequence, program_y);
    const element *state = state_at(&a, a.state, sequence, program_y, head, program_x * WIDTH_K, 0);
    const element *dstate = state_at(&a, a.dstate, sequence, program_y, head, program_x * WIDTH_K, 0);
    const float *decay = decay_at(&a, sequence, program_y, head, program_x * WIDTH_K);
    rows_of_document(sees, a.segment, chunk.rows, chunk.before);
    rows_of_document(enters, a.segment, chunk.rows, chunk.last);
    EACH (d, WIDTH_K) through[d] = 0;
    accumulator_zero(dk_all);
    accumulator_zero(dg);
    for (int64_t n = head * group; n < (head + 1) * group; n++) {
        const bool first = n == head * group;
        tile_load(dA, products_at(&a, a.dproducts, sequence, program_y, n), ROWS, ROWS, ROWS);
        /* An address of its own, because with that of matrix_load_block a register spills. */
        matrix_load(g, (const float *)a.g.data + entry_of_head(a.g, a.K, chunk.rows.first, head, program_x * WIDTH_K),
                    a.g.stride, chunk.rows.count, cols);
        accumulator_zero(dq);
        accumulator_zero(dk);
        add_state_products();
        tile_load_block(q, a.q, a.K, chunk.rows, n, program_x);
        tile_load_block(k, a.k, a.K, chunk.rows, head, program_x);
        EACH (i, ROWS) {
            diagonal[i] = AT(dA, i, i);
            PUT(dA, i, i, 0.0f);
        }
        SUM_GATES(sums, g, row, d, sum, ENTRY(q_decay, row, d) = sum; ENTRY(k_decay, row, d) = -sum);
        sync();
        float steepest = 0;
        MAXIMUM(steepest, e, CHUNK_QUARTERS * WIDTH_K, -sums[e]);
        const bool steep = steepest > GATE_LIMIT;
        decay_operands();
        mask_state_products();
        add_inside_products();
        /* Uses the operands of the products, so that the pairs of rows that cancel do so to the last bit. */
        MAP(dg, i, d, x, x += AT(q_near, i, d) * PEER(dq, i, d) - AT(k_near, i, d) * PEER(dk, i, d));
        MAP(dq, i, d, x, x *= ENTRY(q_decay, i, d));
        MAP(dk, j, d, x, x *= ENTRY(k_decay, j, d));
        if (steep) {
            sync();
            add_steep_pairs();
        }
        MAP(dq, i, d, x, x += diagonal[i] * AT(k, i, d));
        MAP(dk_all, j, d, x, x += PEER(dk, j, d) + diagonal[j] * AT(q, j, d));
        accumulator_store_block(dq, a.dq, a.K, chunk.rows, n, program_x);
        sync();
    }
    accumulator_store_block(dk_all, a.dk, a.K, chunk.rows, head, program_x);
    MAP(dg, i, d, x, ENTRY(g, i, d) = x);
    sync();
    sum_gate_gradient();
    sync();
    matrix_store_block(g, a.dg, a.K, chunk.rows, head, program_x);
}
