/* The products of chunk_dplr with two writers. They are not in chunk_dplr_forward.tile.h because their
 * accumulators need more registers than its TILE_PROGRAMS leaves. */
#include "tile/tile.h"
#include "kernels/recurrences/chunk_dplr/chunk_dplr.h"
#include "kernels/recurrences/chunk_dplr/chunk_dplr_chunk.h"

#define WRITERS 2
#include "kernels/recurrences/chunk_dplr/chunk_dplr_products.h"
