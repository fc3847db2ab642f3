/* How the rows of a matrix are divided among the programs of a map kernel. This depends on the shape alone, and so does
 * the order of every sum. */
#ifndef FLAME_TILE_ROWS_H
#define FLAME_TILE_ROWS_H

#include <stdint.h>

#if defined(__CUDACC__)
#define HOST_AND_DEVICE static inline __host__ __device__
#else
#define HOST_AND_DEVICE static inline
#endif

/* A program that sums over rows (the gradient of a weight) reduces at least this many rows to one row of partial sums,
 * and more if there would be more than SUM_PROGRAMS programs, which is 4 for each multiprocessor of an H100. */
enum { PARTIAL_ROWS = 32, SUM_PROGRAMS = 528 };
/* A row of more than WARP_COLS columns is given to the whole program instead of a warp (EACH_GROUP), so that the
 * program's sums (COLUMNS) have room for 4 times as many columns. */
enum { WARP_COLS = 2048, PROGRAM_COLS = 4 * WARP_COLS };

HOST_AND_DEVICE int64_t lesser_index(int64_t x, int64_t y) { return x < y ? x : y; }
HOST_AND_DEVICE int64_t larger_index(int64_t x, int64_t y) { return x > y ? x : y; }

HOST_AND_DEVICE int64_t blocks_of(int64_t count, int64_t per_block) { return (count + per_block - 1) / per_block; }

HOST_AND_DEVICE int64_t rows_per_sum(int64_t rows) {
    return rows < PARTIAL_ROWS * SUM_PROGRAMS ? PARTIAL_ROWS : blocks_of(rows, SUM_PROGRAMS);
}

/* At least four rows per program, one for each of its warps. Programs of short rows take more of them, because
 * launching a program costs about as much as 200 elements. */
HOST_AND_DEVICE int64_t rows_per_program(int64_t cols) { return cols < 1024 ? 4096 / cols : 4; }

HOST_AND_DEVICE int64_t end_of_program(int64_t first, int64_t rows, int64_t per_program) {
    return first + per_program < rows ? first + per_program : rows;
}

/* ROWS_OF_PROGRAM(row, rows, per_program) { ... }: a loop over the rows of program_x. */
#define ROWS_OF_PROGRAM(row, rows, per_program)                                                                        \
    for (int64_t row = program_x * (per_program), end_ = row + (per_program) < (rows) ? row + (per_program) : (rows);  \
         row < end_; row++)

#endif
