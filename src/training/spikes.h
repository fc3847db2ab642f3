/* Losses and gradient norms that lie far above those of the steps before. */
#ifndef FLAME_TRAINING_SPIKES_H
#define FLAME_TRAINING_SPIKES_H

#include <stdint.h>

enum { SPIKES_WINDOW = 100 };

/* Exponential averages over about SPIKES_WINDOW steps. Over the first steps they are plain averages. */
typedef struct Average {
    double mean, variance;
} Average;

/* What a run remembers of the steps that changed its weights. It starts all zero and is saved with checkpoints, so that
 * a resumed run skips the same steps. */
typedef struct Spikes {
    int64_t steps;
    Average loss, norm;
} Spikes;

/* The largest value that is no spike: `deviations` standard deviations above the mean. INFINITY while fewer than
 * SPIKES_WINDOW steps have been seen, or if `deviations` is 0. */
double spikes_limit(const Spikes *spikes, const Average *average, double deviations);
/* Adds the loss and the gradient norm of a step that has changed the weights. */
void spikes_add(Spikes *spikes, double loss, double norm);

#endif
