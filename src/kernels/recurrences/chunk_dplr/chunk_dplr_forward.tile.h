/* What chunk_dplr does within chunks before and after the walk over them (chunk_dplr_walk.tile.h); equations in
 * chunk_dplr_chunk.h. */
#if defined(TILE_ELEMENT_F32)
#define TILE_PROGRAMS 2
#else
#define TILE_PROGRAMS 3
#endif
#include "tile/tile.h"
#include "kernels/recurrences/chunk_dplr/chunk_dplr.h"
#include "kernels/recurrences/chunk_dplr/chunk_dplr_chunk.h"
#include "kernels/recurrences/triangular_inverse.h"

/* Rows of A, from (row, col) on, += x y^T of 16 rows of x and as many rows of y. */
#define ADD_BLOCKS(A, row, col, x, x_row, y, y_row, y_rows)                                                            \
    do {                                                                                                               \
        TILE_VIEW(x_, x, x_row, 0, BLOCK, WIDTH_K);                                                                    \
        TILE_VIEW(y_, y, y_row, 0, y_rows, WIDTH_K);                                                                   \
        block_mma_nt(A, row, col, x_, y_);                                                                             \
    } while (0)
/* A += the products of all pairs of blocks, without those of a block with itself if it is steep. */
#define ADD_TO_A(A, x_near, x_half, y_start, y_ahead)                                                                  \
    do {                                                                                                               \
        ADD_BLOCKS(A, BLOCK, 0, x_near, BLOCK, y_ahead, 3 * BLOCK, BLOCK);                                             \
        ADD_BLOCKS(A, 2 * BLOCK, 0, x_near, 2 * BLOCK, y_ahead, 0, 2 * BLOCK);                                         \
        ADD_BLOCKS(A, 3 * BLOCK, 0, x_half, 0, y_ahead, 0, 2 * BLOCK);                                                 \
        ADD_BLOCKS(A, 3 * BLOCK, 2 * BLOCK, x_near, 3 * BLOCK, y_ahead, 2 * BLOCK, BLOCK);                             \
        if (!steep) {                                                                                                  \
            ADD_BLOCKS(A, 0, 0, x_near, 0, y_start, 0, BLOCK);                                                         \
            ADD_BLOCKS(A, BLOCK, BLOCK, x_near, BLOCK, y_start, BLOCK, BLOCK);                                         \
            ADD_BLOCKS(A, 2 * BLOCK, 2 * BLOCK, x_near, 2 * BLOCK, y_start, 2 * BLOCK, BLOCK);                         \
            ADD_BLOCKS(A, 3 * BLOCK, 3 * BLOCK, x_near, 3 * BLOCK, y_start, 3 * BLOCK, BLOCK);                         \
        }                                                                                                              \
    } while (0)
/* A += the products inside steep blocks, with the decay over the rows after j up to i - lag. */
#define ADD_STEEP(A, x, y, lag)                                                                                        \
    do {                                                                                                               \
        for (int apart = 1; apart < BLOCK; apart++) {                                                                  \
            MAP(product, j, d, p, {                                                                                    \
                p = 0;                                                                                                 \
                if (j % BLOCK + apart < BLOCK) {                                                                       \
                    p = apart > 1 ? ENTRY(P, j, d) : AT(y, j, d);                                                      \
                    if (apart > (lag)) p *= DECAY(ENTRY(g, j + apart - (lag), d));                                     \
                    ENTRY(P, j, d) = p;                                                                                \
                    p *= AT(x, j + apart, d);                                                                          \
                }                                                                                                      \
            });                                                                                                        \
            row_sum((&ENTRY(band, apart, 0)), product);                                                                \
        }                                                                                                              \
        sync();                                                                                                        \
        MAP(A, i, j, p, if (i / BLOCK == j / BLOCK && i > j) p += ENTRY(band, i - j, j));                              \
        sync();                                                                                                        \
    } while (0)

/* plain += the products of q and y as they are inside blocks: only their diagonals are used. */
#define ADD_PLAIN(plain, y)                                                                                            \
    for (int row = 0; row < ROWS; row += BLOCK) {                                                                      \
        TILE_VIEW(x_, q, row, 0, BLOCK, WIDTH_K);                                                                      \
        TILE_VIEW(y_, y, row, 0, BLOCK, WIDTH_K);                                                                      \
        block_mma_nt(plain, row, 0, x_, y_);                                                                           \
    }
/* A = scale A within documents, with the diagonal of `plain`; written to `to`. */
#define STORE_OF_QUERIES(A, plain, to)                                                                                 \
    do {                                                                                                               \
        MAP(plain, i, j, x, if (i % BLOCK == j) diagonal[i] = x);                                                      \
        sync();                                                                                                        \
        MAP(A, i, j, x, x = j <= i && document[i] == document[j] ? a.scale * (j < i ? x : diagonal[i]) : 0.0f);        \
        accumulator_store(A, products_at(&a, to, sequence, program_x, head), ROWS, ROWS, ROWS);                        \
        sync();                                                                                                        \
    } while (0)

/* A row of q or a, decayed from the start of its block on: `near` and `half` become what products with other blocks
 * need, `out` what sees the state. */
#define WRITE_READER(x, near, half, out, weight)                                                                       \
    do {                                                                                                               \
        WRITE_TILE(near, row, d, x);                                                                                   \
        if (block_of_row == 3) {                                                                                       \
            float from_half_[VECTOR];                                                                                  \
            EACH_LANE(e) from_half_[e] = third[e] * x[e];                                                              \
            WRITE_TILE(half, row - 3 * BLOCK, d, from_half_);                                                          \
        }                                                                                                              \
        EACH_LANE(e) x[e] *= from_start[e] * (weight);                                                                 \
        WRITE_TILE(out, row, d, x);                                                                                    \
    } while (0)
/* A row of b or k: y e^(-P); that of the first two blocks decayed to the middle of the chunk, of the third and the
 * first to their ends; and in its own place what enters the next state. */
#define WRITE_WRITTEN(y, start, ahead)                                                                                 \
    do {                                                                                                               \
        READ_TILE(y_, y, row, d);                                                                                      \
        EACH_LANE(e) y_[e] *= factor[e];                                                                               \
        WRITE_TILE(start, row, d, y_);                                                                                 \
        float entering_[VECTOR];                                                                                       \
        EACH_LANE(e) {                                                                                                 \
            y_[e] *= steep ? 1.0f : in_block[e];                                                                       \
            entering_[e] = y_[e] * to_end[e] * enters;                                                                 \
        }                                                                                                              \
        WRITE_TILE(y, row, d, entering_);                                                                              \
        if (block_of_row == 0) {                                                                                       \
            WRITE_TILE(ahead, row + 3 * BLOCK, d, y_);                                                                 \
            EACH_LANE(e) y_[e] *= second[e];                                                                           \
        }                                                                                                              \
        if (block_of_row < 3) WRITE_TILE(ahead, row, d, y_);                                                           \
    } while (0)
#define STORE_HALF(tile, heads)                                                                                        \
    tile_store(tile, (element *)(heads).data + entry_of_head(heads, a.K, chunk.rows.first, head, block * WIDTH_K),     \
               (heads).stride, chunk.rows.count, cols)

#define WRITTEN_KEYS 1
#include "kernels/recurrences/chunk_dplr/chunk_dplr_products.h"
#define WRITTEN_KEYS 2
#include "kernels/recurrences/chunk_dplr/chunk_dplr_products.h"

/* o. Program: block of V, chunk, sequence and head. */
KERNEL(chunk_dplr_output, ChunkDplrArguments) {
    enum { STAGES = 3, AHEAD = STAGES - 2 };
    TILE(queries, STAGES * ROWS, WIDTH_K);
    TILE(states, STAGES * WIDTH_V, WIDTH_K);
    TILE(A, ROWS, ROWS);
    TILE(values, ROWS, WIDTH_V); /* U, then v */
    HALVES(o, WIDTH_V);
    const int64_t sequence = program_z / a.heads, head = program_z % a.heads;
    const Chunk chunk = chunk_at(a.segment, a.T, ROWS, sequence, program_y);
    const element *state = state_at(&a, a.state, sequence, program_y, head, program_x * WIDTH_V, 0);
    const int64_t rows_v = a.V - program_x * WIDTH_V;
    const int steps = (int)blocks_of(a.K, WIDTH_K);
    tile_load(A, products_at(&a, a.products[0], sequence, program_y, head), ROWS, ROWS, ROWS);
    tile_load_block(values, a.u, a.V, chunk.rows, head, program_x);
    halves_zero(o);
    for (int load = 0; load < steps + STAGES - 1; load++) {
        const int step = load - (STAGES - 1);
        if (step >= 0) sync_after(AHEAD);
        if (load < steps) {
            TILE_VIEW(q, queries, load % STAGES * ROWS, 0, ROWS, WIDTH_K);
            TILE_VIEW(S, states, load % STAGES * WIDTH_V, 0, WIDTH_V, WIDTH_K);
            tile_load_block(q, a.queries, a.K, chunk.rows, head, load);
            tile_load(S, state + load * WIDTH_K, a.K, rows_v, a.K - load * WIDTH_K);
        }
        copy_commit();
        if (step >= 0) {
            TILE_VIEW(q, queries, step % STAGES * ROWS, 0, ROWS, WIDTH_K);
            TILE_VIEW(S, states, step % STAGES * WIDTH_V, 0, WIDTH_V, WIDTH_K);
            halves_mma_nt(o, q, S);
        }
    }
    halves_mma_lower(o, A, values);
    if (a.products[1]) {
        sync();
        tile_load(A, products_at(&a, a.products[1], sequence, program_y, head), ROWS, ROWS, ROWS);
        tile_load_block(values, a.v, a.V, chunk.rows, head, program_x);
        sync();
        halves_mma_lower(o, A, values);
    }
    halves_store_block(o, a.o, a.V, chunk, head, program_x);
}
