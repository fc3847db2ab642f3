/* Compares two computations of a step, to find a machine that computes wrongly: the same samples and weights must give
 * the same bits. */
#ifndef FLAME_TRAINING_REPEAT_H
#define FLAME_TRAINING_REPEAT_H

#include "parallel/fsdp.h"

/* What a rank has computed in a step: the sum of its losses, and the CRC-32 of its gradient shard of each unit. */
typedef struct Computed {
    double loss_sum;
    uint32_t *gradient; /* [units] */
} Computed;

/* Reads the gradient shards; waits for the device. Free with computed_free. */
Computed computed_read(Fsdp *fsdp, double loss_sum);
void computed_free(Computed *computed);
/* NUMERIC_STOP, with an error that names the rank and what differs, if any rank's two results differ. Collective. */
Status computed_compare(Fsdp *fsdp, int64_t step, const Computed *first, const Computed *second);

#endif
