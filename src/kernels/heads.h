/* Matrices whose columns hold heads side by side, and the words that load and store a block of a head's columns. */
#ifndef FLAME_KERNELS_HEADS_H
#define FLAME_KERNELS_HEADS_H

#include <stdint.h>

/* A matrix [rows, heads * width]. `stride` is the distance from row to row, in entries. */
typedef struct Heads {
    void *data;
    int64_t stride;
} Heads;

#ifdef FLAME_KERNEL_FILE
/* The kernel name_size, of a file that is included once for each size. */
#define SIZED_KERNEL(name, size, Arguments)  PASTED_KERNEL(name, size, Arguments) /* expands size first */
#define PASTED_KERNEL(name, size, Arguments) KERNEL(name##_##size, Arguments)

/* A range of rows of a matrix. */
typedef struct Rows {
    int64_t first, count;
} Rows;

/* The offset of column `col` of a head in a row, in entries from `data`. */
DEVICE int64_t entry_of_head(Heads heads, int64_t width, int64_t row, int64_t head, int64_t col) {
    return row * heads.stride + head * width + col;
}

/* tile_load_block(tile, heads, width, rows, head, block): the tile becomes these rows of the head's columns from
 * block * (columns of the tile) on, with zeros past the end of either. tile_load_block reads elements,
 * accumulator_load_block_f32 and matrix_load_block read fp32. */
#define tile_load_block(tile, heads, width, rows, head, block)                                                         \
    LOAD_BLOCK(tile_load, element, tile, heads, width, rows, head, block)
#define accumulator_load_block_f32(accumulator, heads, width, rows, head, block)                                       \
    LOAD_BLOCK(accumulator_load, float, accumulator, heads, width, rows, head, block)
#define matrix_load_block(matrix, heads, width, rows, head, block)                                                     \
    LOAD_BLOCK(matrix_load, float, matrix, heads, width, rows, head, block)
/* walk_blocks(name, tile, x, y, width, row, head, aligned) declares a walk (TILES_WALK) down the head's columns of x
 * and y from `row` on. */
#define walk_blocks(name, tile, x, y, width, row, head, aligned)                                                       \
    TILES_WALK(name, tile, (const element *)(x).data, entry_of_head(x, width, row, head, 0), (x).stride,               \
               (const element *)(y).data, entry_of_head(y, width, row, head, 0), (y).stride, width, aligned)
/* Loads the next tiles of a walk, of which `rows` rows are left, to one of the two stages of x and y: to their upper or
 * their lower half. */
#define load_stage(x, y, stage, walk, rows)                                                                            \
    do {                                                                                                               \
        TILE_VIEW(x_, x, (stage) * (x##_rows / 2), 0, x##_rows / 2, x##_cols);                                         \
        TILE_VIEW(y_, y, (stage) * (y##_rows / 2), 0, y##_rows / 2, y##_cols);                                         \
        walk_load(x_, y_, walk, rows);                                                                                 \
    } while (0)
#define LOAD_BLOCK(load, entry, tile, heads, width, rows, head, block)                                                 \
    load(tile, (const entry *)(heads).data + entry_of_head(heads, width, (rows).first, head, (block)*tile##_cols),     \
         (heads).stride, (rows).count, (width) - (block)*tile##_cols)

/* The stores to the same place: of an accumulator, as elements or as fp32, of a tile, as elements, and of a matrix. */
#define accumulator_store_block(accumulator, heads, width, rows, head, block)                                          \
    STORE_BLOCK(accumulator_store, element, accumulator, heads, width, rows, head, block)
#define accumulator_store_block_f32(accumulator, heads, width, rows, head, block)                                      \
    STORE_BLOCK(accumulator_store_f32, float, accumulator, heads, width, rows, head, block)
#define tile_store_block(tile, heads, width, rows, head, block)                                                        \
    STORE_BLOCK(tile_store, element, tile, heads, width, rows, head, block)
#define matrix_store_block(matrix, heads, width, rows, head, block)                                                    \
    STORE_BLOCK(matrix_store, float, matrix, heads, width, rows, head, block)
#define STORE_BLOCK(store, entry, accumulator, heads, width, rows, head, block)                                        \
    store(accumulator,                                                                                                 \
          (entry *)(heads).data + entry_of_head(heads, width, (rows).first, head, (block)*accumulator##_cols),         \
          (heads).stride, (rows).count, (width) - (block)*accumulator##_cols)
#else
#include "core/tape.h"

static inline Heads heads_of(const Tensor *tensor) { return (Heads){tensor->data, tensor->stride}; }
static inline Heads heads_of_gradient(const Tensor *tensor) { return (Heads){tensor->gradient, tensor->stride}; }
/* Whether every row of every head begins and ends at a multiple of 16 bytes. */
static inline bool heads_aligned(Heads heads, int64_t head_dim, DType type) {
    const uint64_t bytes = dtype_size(type);
    return ((uintptr_t)heads.data | (uint64_t)heads.stride * bytes | (uint64_t)head_dim * bytes) % 16 == 0;
}
#endif

#endif
