/* A sequence in chunks of CHUNK_ROWS rows: what the kernels of chunked recurrences share. */
#ifndef FLAME_KERNELS_RECURRENCES_CHUNK_H
#define FLAME_KERNELS_RECURRENCES_CHUNK_H

#include <stdint.h>

#include "kernels/heads.h"

enum { CHUNK_ROWS = 64 };

#ifdef FLAME_KERNEL_FILE
typedef struct Chunk {
    Rows rows;            /* in [N], at most CHUNK_ROWS */
    int32_t before, last; /* segment of the token before the chunk (of the first one: its own), and of its last row */
} Chunk;

/* Chunk `index` of a sequence of T tokens, `most` tokens each. */
DEVICE Chunk chunk_at(const int32_t *segment, int64_t T, int64_t most, int64_t sequence, int64_t index) {
    Chunk chunk;
    chunk.rows.first = sequence * T + index * most;
    chunk.rows.count = T - index * most < most ? T - index * most : most;
    chunk.before = segment[index ? chunk.rows.first - 1 : chunk.rows.first];
    chunk.last = segment[chunk.rows.first + chunk.rows.count - 1];
    return chunk;
}

/* Offset of a (sequence, chunk, head) in [B, chunks, heads, size]. */
DEVICE int64_t chunk_offset(int64_t chunks, int64_t heads, int64_t sequence, int64_t index, int64_t head,
                            int64_t size) {
    return ((sequence * chunks + index) * heads + head) * size;
}

/* decay[i][j], [64, 64] without gaps, = the product of step over the rows j + 1 .. i; 1 on the diagonal, 0 above. */
DEVICE void decays_between(float *decay, const float *step) {
    for (int i = 0; i < CHUNK_ROWS; i++) {
        const float *above = decay + (i ? i - 1 : 0) * CHUNK_ROWS;
        EACH (j, CHUNK_ROWS) decay[i * CHUNK_ROWS + j] = j < i ? above[j] * step[i] : j == i ? 1.0f : 0.0f;
    }
}

/* The lower triangle of a product of 64 x 64 entries is taken in two halves: `top` [32, 32], and `bottom` [32, 64]
 * below it. The quarter beside `top` is zero. */
enum { CHUNK_HALF = CHUNK_ROWS / 2 };
#define STORE_LOWER_TRIANGLE(top, bottom, to)                                                                          \
    do {                                                                                                               \
        accumulator_store_f32(top, to, CHUNK_ROWS, CHUNK_HALF, CHUNK_HALF);                                            \
        accumulator_store_f32(bottom, (to) + CHUNK_HALF * CHUNK_ROWS, CHUNK_ROWS, CHUNK_HALF, CHUNK_ROWS);             \
    } while (0)

/* The first 32 rows of the chunk and the others, of a head's block of columns. */
#define STORE_HALVES(top, bottom, heads, width, chunk, head, block)                                                    \
    do {                                                                                                               \
        const Rows top_ = (chunk).rows, bottom_ = {top_.first + CHUNK_HALF, top_.count - CHUNK_HALF};                  \
        accumulator_store_block(top, heads, width, top_, head, block);                                                 \
        accumulator_store_block(bottom, heads, width, bottom_, head, block);                                           \
    } while (0)

/* product = values state^T over all columns of a head: `values` its rows, read by `load`, `state` the first `rows_k` of
 * the rows at `from`, which are as wide as the head. Both tiles are as wide as a block. */
#define VALUES_TIMES_STATE(product, load, values, heads, width, rows, head, state, from, rows_k)                       \
    do {                                                                                                               \
        accumulator_zero(product);                                                                                     \
        for (int64_t block_ = 0; block_ * values##_cols < (width); block_++) {                                         \
            const int64_t col_ = block_ * values##_cols;                                                               \
            load(values, heads, width, rows, head, block_);                                                            \
            tile_load_f32(state, (from) + col_, width, rows_k, (width)-col_);                                          \
            sync();                                                                                                    \
            mma_nt(product, values, state);                                                                            \
            sync();                                                                                                    \
        }                                                                                                              \
    } while (0)
#endif

#endif
