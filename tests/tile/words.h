/* One small kernel per word of the tile language, compiled for every variant (support/words_*.c). */
#ifndef TESTS_TILE_WORDS_H
#define TESTS_TILE_WORDS_H

#include <stdint.h>

/* a and b are matrices of elements, f of fp32, all with `stride`; the kernels know their sizes. */
typedef struct WordsArguments {
    const void *a, *b;
    const float *f;
    void *out; /* elements */
    float *out_f32;
    int64_t stride, rows, cols;
} WordsArguments;

/* The products' sizes: WORDS_MMA(name, rows, cols, depth). */
#define WORDS_MMA_SIZES                                                                                                \
    WORDS_MMA(16x16x16, 16, 16, 16)                                                                                    \
    WORDS_MMA(16x64x32, 16, 64, 32)                                                                                    \
    WORDS_MMA(32x48x16, 32, 48, 16)                                                                                    \
    WORDS_MMA(48x16x64, 48, 16, 64)                                                                                    \
    WORDS_MMA(64x64x64, 64, 64, 64)                                                                                    \
    WORDS_MMA(80x32x16, 80, 32, 16)                                                                                    \
    WORDS_MMA(128x128x32, 128, 128, 32)

#define WORDS_MMA(name, rows, cols, depth) WORDS(mma_nn_##name) WORDS(mma_nt_##name) WORDS(mma_tn_##name)
#define WORDS_ALL                                                                                                      \
    WORDS(load)                                                                                                        \
    WORDS(load_f32)                                                                                                    \
    WORDS(load_unaligned)                                                                                              \
    WORDS(load_f32_unaligned)                                                                                          \
    WORDS(matrix)                                                                                                      \
    WORDS(accumulator)                                                                                                 \
    WORDS(accumulator_wide)                                                                                            \
    WORDS(store)                                                                                                       \
    WORDS(block_nn)                                                                                                    \
    WORDS(block_nt)                                                                                                    \
    WORDS(block_tn)                                                                                                    \
    WORDS(cast)                                                                                                        \
    WORDS(map_into)                                                                                                    \
    WORDS(tile_dot)                                                                                                    \
    WORDS(each_tile)                                                                                                   \
    WORDS(view)                                                                                                        \
    WORDS(rows_64x64)                                                                                                  \
    WORDS(rows_128x16)                                                                                                 \
    WORDS(columns)                                                                                                     \
    WORDS(vector)                                                                                                      \
    WORDS(warps)                                                                                                       \
    WORDS(pairs)                                                                                                       \
    WORDS(walk)                                                                                                        \
    WORDS(walks)                                                                                                       \
    WORDS(column_values)                                                                                               \
    WORDS(vectors)                                                                                                     \
    WORDS(warp_vectors)                                                                                                \
    WORDS(groups)                                                                                                      \
    WORDS(stages)                                                                                                      \
    WORDS(tiles_walk)                                                                                                  \
    WORDS(tiles_across)                                                                                                \
    WORDS(matrix_whole)                                                                                                \
    WORDS(matrix_view)                                                                                                 \
    WORDS(row_values_64x32)                                                                                            \
    WORDS(row_values_80x16)                                                                                            \
    WORDS(row_values_128x64)                                                                                           \
    WORDS(lower_nt)                                                                                                    \
    WORDS(chained_nn_64)                                                                                               \
    WORDS(chained_nt_64)                                                                                               \
    WORDS(chained_nn_128)                                                                                              \
    WORDS(chained_nt_128)                                                                                              \
    WORDS(chained_nn_with_rest)                                                                                        \
    WORDS(chained_nt_with_rest)                                                                                        \
    WORDS(chained_operand)                                                                                             \
    WORDS(chained_operand_t)                                                                                           \
    WORDS(operands)                                                                                                    \
    WORDS(bands)                                                                                                       \
    WORDS(reductions)                                                                                                  \
    WORDS_MMA_SIZES

#endif
