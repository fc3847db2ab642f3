/* How the rows of a matrix are shared out among the programs of a map kernel. The shares depend on the shape alone, so
 * the order of every sum does too. */
#ifndef FLAME_TILE_ROWS_H
#define FLAME_TILE_ROWS_H

#include <stdint.h>

#if defined(__CUDACC__)
#define HOST_AND_DEVICE static inline __host__ __device__
#else
#define HOST_AND_DEVICE static inline
#endif

/* A program that sums over rows (a weight's gradient) takes this many and leaves one row of partial sums. */
enum { PARTIAL_ROWS = 32 };

/* Short rows are taken several at a time: starting a program costs about as much as 200 elements. */
HOST_AND_DEVICE int64_t rows_per_program(int64_t cols) { return cols < 4096 ? 4096 / cols : 1; }

HOST_AND_DEVICE int64_t blocks_of(int64_t count, int64_t per_block) { return (count + per_block - 1) / per_block; }

/* ROWS_OF_PROGRAM(row, rows, per_program) { ... }: the rows of program_x. */
#define ROWS_OF_PROGRAM(row, rows, per_program)                                                                        \
    for (int64_t row = program_x * (per_program), end_ = row + (per_program) < (rows) ? row + (per_program) : (rows);  \
         row < end_; row++)

#endif
