/* The gradients of the keys, queries and gates of chunk_dplr with two writers. Shared memory has room for two
 * programs. */
#define TILE_PROGRAMS 2
#include "tile/tile.h"
#include "kernels/recurrences/chunk_dplr/chunk_dplr.h"
#include "kernels/recurrences/chunk_dplr/chunk_dplr_chunk.h"

#define WRITERS 2
#include "kernels/recurrences/chunk_dplr/chunk_dplr_dkeys.h"
