/* Code shared by kernels that take a sequence in chunks of CHUNK_ROWS rows. */
#ifndef FLAME_KERNELS_CHUNK_H
#define FLAME_KERNELS_CHUNK_H

#include <stdint.h>

#include "kernels/heads.h"

enum { CHUNK_ROWS = 64 };

#ifdef FLAME_KERNEL_FILE
typedef struct Chunk {
    Rows rows;            /* of all N rows; at most CHUNK_ROWS */
    int32_t before, last; /* the segments of the token before the chunk (for the first chunk, of its own first token)
                             and of its last row */
} Chunk;

/* Chunk `index` of a sequence of T tokens, `most` tokens each, and its rows alone. */
DEVICE Rows rows_of_chunk(int64_t T, int64_t most, int64_t sequence, int64_t index) {
    const int64_t left = T - index * most;
    const Rows rows = {sequence * T + index * most, left < most ? left : most};
    return rows;
}
DEVICE Chunk chunk_at(const int32_t *segment, int64_t T, int64_t most, int64_t sequence, int64_t index) {
    Chunk chunk;
    chunk.rows = rows_of_chunk(T, most, sequence, index);
    chunk.before = segment[index ? chunk.rows.first - 1 : chunk.rows.first];
    chunk.last = segment[chunk.rows.first + chunk.rows.count - 1];
    return chunk;
}

/* Offset of a (sequence, chunk, head) in [B, chunks, heads, size]. */
DEVICE int64_t chunk_offset(int64_t chunks, int64_t heads, int64_t sequence, int64_t index, int64_t head,
                            int64_t size) {
    return ((sequence * chunks + index) * heads + head) * size;
}

/* accumulator_load and accumulator_store_f32 of [rows, cols] entries with a transposed accumulator; zeros if `from` is
 * NULL. */
#define accumulator_load_transposed(accumulator, from, stride, rows, cols)                                             \
    MAP(accumulator, j_, i_, x_, x_ = (from) && j_ < (cols) && i_ < (rows) ? (from)[i_ * (stride) + j_] : 0.0f)
#define accumulator_store_transposed(accumulator, to, stride, rows, cols)                                              \
    MAP(accumulator, j_, i_, x_, if (j_ < (cols) && i_ < (rows))(to)[i_ * (stride) + j_] = x_)

/* decay[i][j], [64, 64] without gaps, = the product of step over the rows j + 1 .. i; 1 on the diagonal, 0 above. */
DEVICE void decays_between(float *decay, const float *step) {
    COLUMN_WALK(x, j, CHUNK_ROWS, i, CHUNK_ROWS,
                x = j < i    ? x * step[i]
                    : j == i ? 1.0f
                             : 0.0f;
                decay[i * CHUNK_ROWS + j] = x);
}

/* Accumulators of a chunk's 64 rows in two halves of 32, name_top and name_bottom, so that products with a lower
 * triangle can skip its upper right quarter, which is zero.
 * - HALVES(name, cols): 64 x cols.
 * - TRIANGLE(name): the lower triangle of 64 x 64; the top half has 32 columns.
 * HALVES_MAP is MAP over both halves, with i = 0 .. 63. */
enum { CHUNK_HALF = CHUNK_ROWS / 2 };
#define HALVES(name, cols)                                                                                             \
    ACCUMULATOR(name##_top, CHUNK_HALF, cols);                                                                         \
    ACCUMULATOR(name##_bottom, CHUNK_HALF, cols)
#define TRIANGLE(name)                                                                                                 \
    ACCUMULATOR(name##_top, CHUNK_HALF, CHUNK_HALF);                                                                   \
    ACCUMULATOR(name##_bottom, CHUNK_HALF, CHUNK_ROWS)
#define HALVES_MAP(name, i, j, x, ...)                                                                                 \
    do {                                                                                                               \
        MAP(name##_top, i, j, x, __VA_ARGS__);                                                                         \
        MAP(name##_bottom, row_, j, x, const int i __attribute__((unused)) = CHUNK_HALF + row_; __VA_ARGS__);          \
    } while (0)
#define halves_zero(name)                                                                                              \
    do {                                                                                                               \
        accumulator_zero(name##_top);                                                                                  \
        accumulator_zero(name##_bottom);                                                                               \
    } while (0)

/* The two halves of the rows of a tile, as views. */
#define TILE_HALVES(top, bottom, tile)                                                                                 \
    TILE_VIEW(top, tile, 0, 0, CHUNK_HALF, tile##_cols);                                                               \
    TILE_VIEW(bottom, tile, CHUNK_HALF, 0, CHUNK_HALF, tile##_cols)
/* triangle += the lower triangle of a b^T; a and b are tiles of 64 rows. */
#define triangle_mma_nt(triangle, a, b)                                                                                \
    do {                                                                                                               \
        TILE_HALVES(a_top_, a_bottom_, a);                                                                             \
        TILE_VIEW(b_top_, b, 0, 0, CHUNK_HALF, b##_cols);                                                              \
        mma_nt(triangle##_top, a_top_, b_top_);                                                                        \
        mma_nt(triangle##_bottom, a_bottom_, b);                                                                       \
    } while (0)
/* halves += a b, and halves += a b^T; a is a tile of 64 rows. */
#define halves_mma_nn(halves, a, b) HALVES_MMA(mma_nn, halves, a, b)
#define halves_mma_nt(halves, a, b) HALVES_MMA(mma_nt, halves, a, b)
#define HALVES_MMA(product, halves, a, b)                                                                              \
    do {                                                                                                               \
        TILE_HALVES(a_top_, a_bottom_, a);                                                                             \
        product(halves##_top, a_top_, b);                                                                              \
        product(halves##_bottom, a_bottom_, b);                                                                        \
    } while (0)
/* halves += L b, and halves += L^T b: L is a tile of 64 x 64 entries with zeros above the diagonal, and b a tile of 64
 * rows. */
#define halves_mma_lower(halves, L, b)                                                                                 \
    do {                                                                                                               \
        TILE_VIEW(L_top_, L, 0, 0, CHUNK_HALF, CHUNK_HALF);                                                            \
        TILE_VIEW(L_bottom_, L, CHUNK_HALF, 0, CHUNK_HALF, CHUNK_ROWS);                                                \
        TILE_VIEW(b_top_, b, 0, 0, CHUNK_HALF, b##_cols);                                                              \
        mma_nn(halves##_top, L_top_, b_top_);                                                                          \
        mma_nn(halves##_bottom, L_bottom_, b);                                                                         \
    } while (0)
#define halves_mma_lower_tn(halves, L, b)                                                                              \
    do {                                                                                                               \
        TILE_VIEW(L_left_, L, 0, 0, CHUNK_ROWS, CHUNK_HALF);                                                           \
        TILE_VIEW(L_right_, L, CHUNK_HALF, CHUNK_HALF, CHUNK_HALF, CHUNK_HALF);                                        \
        TILE_VIEW(b_bottom_, b, CHUNK_HALF, 0, CHUNK_HALF, b##_cols);                                                  \
        mma_tn(halves##_top, L_left_, b);                                                                              \
        mma_tn(halves##_bottom, L_right_, b_bottom_);                                                                  \
    } while (0)
/* halves += a^T b; a is a tile of 64 columns. */
#define halves_mma_tn(halves, a, b)                                                                                    \
    do {                                                                                                               \
        TILE_VIEW(a_left_, a, 0, 0, a##_rows, CHUNK_HALF);                                                             \
        TILE_VIEW(a_right_, a, 0, CHUNK_HALF, a##_rows, CHUNK_HALF);                                                   \
        mma_tn(halves##_top, a_left_, b);                                                                              \
        mma_tn(halves##_bottom, a_right_, b);                                                                          \
    } while (0)

/* Reads the triangle from fp32 [64, 64]. */
#define triangle_load(triangle, from)                                                                                  \
    do {                                                                                                               \
        accumulator_load(triangle##_top, from, CHUNK_ROWS, CHUNK_HALF, CHUNK_HALF);                                    \
        accumulator_load(triangle##_bottom, (from) + CHUNK_HALF * CHUNK_ROWS, CHUNK_ROWS, CHUNK_HALF, CHUNK_ROWS);     \
    } while (0)
/* accumulator_store_block for the chunk's rows. */
#define halves_store_block(halves, heads, width, chunk, head, block)                                                   \
    do {                                                                                                               \
        const Rows top_ = (chunk).rows, bottom_ = {top_.first + CHUNK_HALF, top_.count - CHUNK_HALF};                  \
        accumulator_store_block(halves##_top, heads, width, top_, head, block);                                        \
        accumulator_store_block(halves##_bottom, heads, width, bottom_, head, block);                                  \
    } while (0)
#endif

#endif
