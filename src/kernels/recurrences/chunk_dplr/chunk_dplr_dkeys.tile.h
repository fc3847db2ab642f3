/* The gradients of the keys, queries and gates of chunk_dplr; equations in chunk_dplr_chunk.h. */
#if defined(TILE_ELEMENT_F32) || (defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900)
#define TILE_PROGRAMS 2
#else
#define TILE_PROGRAMS 3
#endif
#include "tile/tile.h"
#include "kernels/recurrences/chunk_dplr/chunk_dplr.h"
#include "kernels/recurrences/chunk_dplr/chunk_dplr_chunk.h"

#define WRITERS 1
#include "kernels/recurrences/chunk_dplr/chunk_dplr_dkeys.h"
