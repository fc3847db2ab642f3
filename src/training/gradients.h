/* The gradient of each parameter, for reports. */
#ifndef FLAME_TRAINING_GRADIENTS_H
#define FLAME_TRAINING_GRADIENTS_H

#include "parallel/fsdp.h"

typedef struct ParameterGradient {
    const Unit *unit;
    const Parameter *parameter;
    double norm;       /* L2, of the finite values */
    double not_finite; /* how many values are not */
} ParameterGradient;

/* Reads the gradient shards times `scale` of all parameters that are trained, over all ranks. The caller frees the
 * list. Collective. */
ParameterGradient *gradients_read(Fsdp *fsdp, double scale, int64_t *count);

#endif
