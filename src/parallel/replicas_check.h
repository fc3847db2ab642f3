/* Checks that the replicas compute with the same parameters. */
#ifndef FLAME_PARALLEL_REPLICAS_CHECK_H
#define FLAME_PARALLEL_REPLICAS_CHECK_H

#include "parallel/fsdp.h"

/* Compares the replicas' copies of all slices by their CRC-32, between the last micro-batch of a step and its update.
 * NUMERIC_STOP if a copy differs. Each rank whose copy is not that of the majority logs an error; without a majority
 * all ranks do. Collective. */
Status replicas_check(Fsdp *fsdp, int64_t step);

#endif
