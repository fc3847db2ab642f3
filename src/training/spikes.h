/* Losses and gradient norms that lie far above those of the steps before. */
#ifndef FLAME_TRAINING_SPIKES_H
#define FLAME_TRAINING_SPIKES_H

#include <stdint.h>

enum { SPIKES_WINDOW = 100 };

/* Exponential averages over about SPIKES_WINDOW steps; over the first ones plain averages. */
typedef struct Average {
    double mean, variance;
} Average;

/* What a run remembers of the steps that changed its weights. Starts all zero; saved with a checkpoint, so that a
 * resumed run skips the same steps. */
typedef struct Spikes {
    int64_t steps;
    Average loss, norm;
} Spikes;

/* The largest value that is no spike: `deviations` standard deviations above the mean. INFINITY while fewer than
 * SPIKES_WINDOW steps have been seen, or if `deviations` is 0. */
double spikes_limit(const Spikes *spikes, const Average *average, double deviations);
/* A step has changed the weights. */
void spikes_add(Spikes *spikes, double loss, double norm);

#endif
