/* One small kernel per word of the tile language. */
#include "tile/tile.h"
#include "tile/words.h"

#define DUMP(tile, to)                                                                                                 \
    EACH (e, tile##_rows * tile##_cols) (to)[e] = AT(tile, (int)e / tile##_cols, (int)e % tile##_cols)

KERNEL(words_load, WordsArguments) {
    TILE(tile, 32, 48);
    tile_load(tile, (const element *)a.a, a.stride, a.rows, a.cols);
    sync();
    DUMP(tile, a.out_f32);
}

KERNEL(words_load_f32, WordsArguments) {
    TILE(tile, 32, 48);
    tile_load_f32(tile, a.f, a.stride, a.rows, a.cols);
    sync();
    DUMP(tile, a.out_f32);
}

KERNEL(words_load_unaligned, WordsArguments) {
    TILE(tile, 32, 48);
    tile_load(tile, (const element *)a.a + 1, a.stride, a.rows, a.cols);
    sync();
    DUMP(tile, a.out_f32);
}

KERNEL(words_load_f32_unaligned, WordsArguments) {
    TILE(tile, 32, 48);
    tile_load_f32(tile, a.f + 1, a.stride, a.rows, a.cols);
    sync();
    DUMP(tile, a.out_f32);
}

/* Twice the running sums from the top, and from the bottom. */
KERNEL(words_matrix, WordsArguments) {
    MATRIX(down, 32, 48);
    MATRIX(up, 32, 48);
    matrix_load(down, a.f, a.stride, a.rows, a.cols);
    matrix_load(up, a.f, a.stride, a.rows, a.cols);
    sync();
    EACH_ENTRY(down, i, j, x, x *= i + 2 * j < 0 ? 1 : 2);
    sync();
    matrix_cumsum(down);
    matrix_cumsum_reverse(up);
    sync();
    EACH (e, 32 * 48) a.out_f32[e] = ENTRY(down, e / 48, e % 48);
    EACH (e, 32 * 48) a.out_f32[32 * 48 + e] = ENTRY(up, e / 48, e % 48);
}

/* 2 f + 100 i + j, as fp32 and as elements. */
KERNEL(words_accumulator, WordsArguments) {
    ACCUMULATOR(x, 32, 48);
    ACCUMULATOR(y, 32, 48);
    accumulator_load(x, a.f, a.stride, a.rows, a.cols);
    accumulator_zero(y);
    accumulator_add(y, x);
    accumulator_add(y, x);
    MAP(y, i, j, value, value += 100 * i + j);
    accumulator_store_f32(y, a.out_f32, 48, a.rows, a.cols);
    accumulator_store(y, (element *)a.out, 48, a.rows, a.cols);
}

KERNEL(words_cast, WordsArguments) {
    TILE(tile, 16, 80);
    ACCUMULATOR(x, 16, 80);
    accumulator_load(x, a.f, a.stride, 16, 80);
    tile_cast(tile, x);
    sync();
    DUMP(tile, a.out_f32);
}

/* x + j / 4 in the tile, then in the accumulator. */
KERNEL(words_map_into, WordsArguments) {
    TILE(tile, 16, 80);
    ACCUMULATOR(x, 16, 80);
    accumulator_load(x, a.f, a.stride, 16, 80);
    MAP_INTO(tile, x, i, j, value, value += i < 16 ? 0.25f * (float)j : 0.0f);
    sync();
    DUMP(tile, a.out_f32);
    accumulator_store_f32(x, a.out_f32 + 16 * 80, 80, 16, 80);
}

KERNEL(words_each_tile, WordsArguments) {
    TILE(tile, 32, 48);
    VECTOR(scale, 32);
    tile_load(tile, (const element *)a.a, a.stride, 32, 48);
    EACH (i, 32) scale[i] = 1.0f + i;
    sync();
    EACH_TILE(tile, i, j, x, x = j < 40 ? x * scale[i] : 0);
    sync();
    DUMP(tile, a.out_f32);
}

/* The product of the lower right 16 x 16 blocks, A B^T. */
KERNEL(words_view, WordsArguments) {
    TILE(left, 32, 64);
    TILE(right, 32, 64);
    ACCUMULATOR(product, 16, 16);
    tile_load(left, (const element *)a.a, a.stride, 32, 64);
    tile_load(right, (const element *)a.b, a.stride, 32, 64);
    TILE_VIEW(left_corner, left, 16, 48, 16, 16);
    TILE_VIEW(right_corner, right, 16, 48, 16, 16);
    sync();
    accumulator_zero(product);
    mma_nt(product, left_corner, right_corner);
    accumulator_store_f32(product, a.out_f32, 16, 16, 16);
}

#define WORDS_ROWS(name, rows, cols)                                                                                   \
    KERNEL(name, WordsArguments) {                                                                                     \
        ACCUMULATOR(x, rows, cols);                                                                                    \
        VECTOR(sum, rows);                                                                                             \
        VECTOR(maximum, rows);                                                                                         \
        accumulator_load(x, a.f, a.stride, rows, cols);                                                                \
        row_sum(sum, x);                                                                                               \
        row_maximum(maximum, x);                                                                                       \
        sync();                                                                                                        \
        EACH (i, rows) a.out_f32[i] = sum[i];                                                                          \
        EACH (i, rows) a.out_f32[rows + i] = maximum[i];                                                               \
    }
WORDS_ROWS(words_rows_64x64, 64, 64)
WORDS_ROWS(words_rows_128x16, 128, 16)

KERNEL(words_vector, WordsArguments) {
    VECTOR(forward, 48);
    VECTOR(reverse, 48);
    EACH (i, 48) forward[i] = a.f[i];
    EACH (i, 48) reverse[i] = a.f[i];
    sync();
    vector_cumsum(forward);
    vector_cumsum_reverse(reverse);
    sync();
    EACH (i, 48) a.out_f32[i] = forward[i];
    EACH (i, 48) a.out_f32[48 + i] = reverse[i];
}

KERNEL(words_reductions, WordsArguments) {
    float sum = 1, largest = -1000;
    SUM(sum, i, a.cols, a.f[i]);
    SUM(sum, i, a.cols, 2 * a.f[i]);
    MAXIMUM(largest, i, a.cols, a.f[i]);
    EACH (i, 200) a.out_f32[i] = sum;
    EACH (i, 200) a.out_f32[200 + i] = largest;
}

#undef WORDS_MMA
#define WORDS_MMA(name, rows, cols, depth)                                                                             \
    WORDS_PRODUCT(words_mma_nn_##name, mma_nn, rows, cols, rows, depth, depth, cols)                                   \
    WORDS_PRODUCT(words_mma_nt_##name, mma_nt, rows, cols, rows, depth, cols, depth)                                   \
    WORDS_PRODUCT(words_mma_tn_##name, mma_tn, rows, cols, depth, rows, depth, cols)
#define WORDS_PRODUCT(name, word, rows, cols, left_rows, left_cols, right_rows, right_cols)                            \
    KERNEL(name, WordsArguments) {                                                                                     \
        TILE(left, left_rows, left_cols);                                                                              \
        TILE(right, right_rows, right_cols);                                                                           \
        ACCUMULATOR(product, rows, cols);                                                                              \
        tile_load(left, (const element *)a.a, a.stride, left_rows, left_cols);                                         \
        tile_load(right, (const element *)a.b, a.stride, right_rows, right_cols);                                      \
        accumulator_load(product, a.f, a.stride, rows, cols);                                                          \
        sync();                                                                                                        \
        word(product, left, right);                                                                                    \
        accumulator_store_f32(product, a.out_f32, cols, rows, cols);                                                   \
    }
WORDS_MMA_SIZES

#if defined(TILE_EMULATOR)
/* Programs with a mistake, which the emulator must find. */
KERNEL(words_divergent, WordsArguments) {
    if (thread_index() < 64) sync();
    a.out_f32[0] = 0;
}
KERNEL(words_outside, WordsArguments) {
    TILE(tile, 16, 16);
    EACH (i, 16) PUT(tile, 3, (int)i + 1, 0.0f);
    a.out_f32[0] = 0;
}
/* Row 16 belongs to different warps in accumulators of 32 and of 16 rows. */
KERNEL(words_two_writers, WordsArguments) {
    MATRIX(sum, 32, 32);
    ACCUMULATOR(whole, 32, 32);
    ACCUMULATOR(lower, 16, 32);
    EACH_ENTRY(sum, i, j, x, x = 0);
    sync();
    MAP(whole, i, j, x, x = 1; ENTRY(sum, i, j) += x);
    MAP(lower, i, j, x, x = 1; ENTRY(sum, 16 + i, j) += x);
    a.out_f32[0] = 0;
}
/* Columns 8 .. 23 of a tile start at a multiple of 16 bytes, columns 4 .. 19 do not. */
KERNEL(words_misaligned, WordsArguments) {
    TILE(tile, 16, 32);
    ACCUMULATOR(product, 16, 16);
    EACH_TILE(tile, i, j, x, x = (float)(i + j));
    TILE_VIEW(aligned, tile, 0, 8, 16, 16);
    TILE_VIEW(misaligned, tile, 0, 4, 16, 16);
    sync();
    accumulator_zero(product);
    mma_nt(product, aligned, misaligned);
    accumulator_store_f32(product, a.out_f32, 16, 16, 16);
}
/* `f` ends after row rows - 1, or begins at row 0. */
KERNEL(words_reads_after, WordsArguments) {
    MATRIX(x, 16, 16);
    matrix_load(x, a.f, a.stride, a.rows + 1, a.cols);
    sync();
    a.out_f32[0] = 0;
}
KERNEL(words_reads_before, WordsArguments) {
    float sum = 0;
    SUM(sum, i, a.cols, a.f[i - 1]);
    a.out_f32[0] = sum;
}
KERNEL(words_writes_after, WordsArguments) {
    EACH (i, a.cols + 1) a.out_f32[i] = 0;
}
/* What a copy brings is there after the next sync(), also for the thread that loads. */
KERNEL(words_not_awaited, WordsArguments) {
    MATRIX(x, 4, 128);
    matrix_load(x, a.f, a.stride, 4, 128);
    EACH (i, 128) a.out_f32[i] = x[i];
}
KERNEL(words_unsynchronised, WordsArguments) {
    VECTOR(x, 128);
    EACH (i, 128) x[i] = 1;
    EACH (i, 128) a.out_f32[i] = x[127 - i];
}
#endif
