/* The gradient of each parameter, for reports. */
#ifndef FLAME_TRAINING_GRADIENTS_H
#define FLAME_TRAINING_GRADIENTS_H

#include "parallel/fsdp.h"

typedef struct ParameterGradient {
    const Unit *unit;
    const Parameter *parameter;
    double norm;       /* L2, of the finite values */
    double not_finite; /* how many values are not finite */
} ParameterGradient;

/* Reads the gradients of all trained parameters from the shards of all ranks, times `scale`. The caller frees the list.
 * Collective. */
ParameterGradient *gradients_read(Fsdp *fsdp, double scale, int64_t *count);

#endif
