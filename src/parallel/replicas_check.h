/* Whether the replicas compute with the same parameters. */
#ifndef FLAME_PARALLEL_REPLICAS_CHECK_H
#define FLAME_PARALLEL_REPLICAS_CHECK_H

#include "parallel/fsdp.h"

/* Compares the replicas' copies of all slices by their CRC-32, between the last micro-batch of a step and its update.
 * NUMERIC_STOP, after an error of each rank whose copy is not that of most others, or of all if most have none in
 * common. Collective. */
Status replicas_check(Fsdp *fsdp, int64_t step);

#endif
