/* The products of chunk_dplr with two written keys, whose accumulators take the registers of two programs. */
#include "tile/tile.h"
#include "kernels/recurrences/chunk_dplr/chunk_dplr.h"
#include "kernels/recurrences/chunk_dplr/chunk_dplr_chunk.h"

#define WRITTEN_KEYS 2
#include "kernels/recurrences/chunk_dplr/chunk_dplr_products.h"
