/* The language in which kernels are written. A kernel is one C function, compiled once with each of these headers:
 *
 *   tile_cpu.h   gcc/clang: a program is plain loops on one core, the grid is an OpenMP loop
 *   tile_cuda.h  nvcc: a program is one block of 128 threads
 *   tile_emu.h   gcc: the CUDA form, with fibers for threads, in an adversarial order; no GPU needed
 *
 * Kernel files (*.tile.h, *.map.h) use only the part of C that is also CUDA C++. "Program: tokens, head, sequence" at a
 * kernel says what program_x, program_y and program_z count. tile_cpu.h says what each word means; the words for
 * products are in tile_cpu_product.h. What the words cost on a GPU, besides the statements in their bodies, in cycles
 * of an H100:
 *
 * - EACH, EACH_PAIR, EACH_VECTOR: nothing, but fewer than 128 iterations (vectors) leave threads idle.
 * - EACH_ROW, EACH_GROUP: nothing, but rows of fewer than 32 entries (vectors) leave lanes idle. Groups do not.
 * - SUM, MAXIMUM, PROGRAM_SUM: 5 shuffles and 2 barriers, about 200 cycles: too much for every row.
 * - WARP_SUM, WARP_MAXIMUM, WARP_TOTAL: up to 5 shuffles, 25 cycles each, no barrier.
 * - READ, WRITE: one access of 16 bytes where aligned, else one for each element.
 * - HELD_ROWS: its statements once for each number of vectors; HOLD, READ_HOLD: an access that waits for nothing before
 *   it; READ_HELD: registers.
 * - COLUMN_WALK: one thread goes down each column; BLOCK_WALK gives more threads shorter walks.
 * - vector_cumsum, vector_cumprod: one warp, 6 shuffles for every 32 entries; the others wait at the next barrier.
 * - sync, sync_after: 30 cycles and the wait for the slowest warp. sync also waits for all loads, some 500 cycles for
 *   those from memory.
 * - tile_load, matrix_load: one copy per piece of 16 bytes. No thread waits for it until the next sync.
 * - walk_load: the same for a pair of tiles, with a third of tile_load's instructions for addresses.
 * - EACH_TILE, EACH_ENTRY: a read and a write of 16 bytes of shared memory per piece.
 * - EACH_ROW_VECTOR: READ_TILE and WRITE_TILE are one access of 16 bytes for VECTOR entries, READ_MATRIX and
 *   WRITE_MATRIX two (fp32: one).
 * - MAP: registers only. AT and ENTRY in it read one entry of shared memory each; rows of a MATRIX share banks,
 *   those of a tile or a PADDED_MATRIX do not.
 * - mma_nn, mma_nt, mma_tn: per warp and 16 x 16 x 16, 2 mma and an ldmatrix for each operand not read yet;
 *   accumulator_mma_nn, accumulator_mma_nt: the same without the left operand's; with the rest, 4 mma.
 * - LEFT_OPERANDS, RIGHT_OPERAND and the like: nothing; operand_mma and accumulator_operand_mma as the products above.
 * - accumulator_store: 4 shuffles (fp32: 2) and one access per 16 bytes.
 * - row_sum, row_values_maximum, row_values_total: 2 shuffles for each row that a thread has. row_values_share: no
 *   shuffle.
 * - ACCUMULATOR: rows x columns / 128 of a thread's 255 registers. */
#ifndef FLAME_TILE_TILE_H
#define FLAME_TILE_TILE_H

#define FLAME_KERNEL_FILE

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/dtype.h"
#include "tile/rows.h"

/* A declaration that does not compile where the condition, a constant, is false. */
#if defined(__cplusplus)
#define TILE_ASSERT(condition, text) static_assert(condition, text)
#else
#define TILE_ASSERT(condition, text) _Static_assert(condition, text)
#endif

#if defined(TILE_EMULATOR)
#include "tile/tile_emu.h"
#elif defined(__CUDACC__)
#include "tile/tile_cuda.h"
#else
#include "tile/tile_cpu.h"
#endif
#include "tile/tile_math.h"

#endif
