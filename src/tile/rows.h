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

/* A program that sums over rows (the gradient of a weight) reduces this many rows to one row of partial sums. */
enum { PARTIAL_ROWS = 32 };

/* Several short rows per program: launching a program costs about as much as 200 elements. */
HOST_AND_DEVICE int64_t rows_per_program(int64_t cols) { return cols < 4096 ? 4096 / cols : 1; }

HOST_AND_DEVICE int64_t blocks_of(int64_t count, int64_t per_block) { return (count + per_block - 1) / per_block; }

/* ROWS_OF_PROGRAM(row, rows, per_program) { ... }: the rows of program_x. */
#define ROWS_OF_PROGRAM(row, rows, per_program)                                                                        \
    for (int64_t row = program_x * (per_program), end_ = row + (per_program) < (rows) ? row + (per_program) : (rows);  \
         row < end_; row++)

#endif
