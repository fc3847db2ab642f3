/* The language kernels are written in. A kernel is one C function; the including file says for whom it is compiled:
 *
 *   tile_cpu.h   gcc/clang: a program is plain loops on one core, the grid is an OpenMP loop
 *   tile_cuda.h  nvcc: a program is one block of 128 threads
 *   tile_emu.h   gcc: the CUDA form, with fibers for threads, in an adversarial order; no GPU needed
 *
 * Kernel files (*.tile.h, *.map.h) are in the part of C that is also CUDA C++. */
#ifndef FLAME_TILE_TILE_H
#define FLAME_TILE_TILE_H

#define FLAME_KERNEL_FILE

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/dtype.h"
#include "tile/rows.h"

#if defined(TILE_EMULATOR)
#include "tile/tile_emu.h"
#elif defined(__CUDACC__)
#include "tile/tile_cuda.h"
#else
#include "tile/tile_cpu.h"
#endif
#include "tile/tile_math.h"

#endif
