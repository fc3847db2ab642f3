#include "training/spikes.h"

#include <math.h>

double spikes_limit(const Spikes *spikes, const Average *average, double deviations) {
    if (deviations <= 0 || spikes->steps < SPIKES_WINDOW) return INFINITY;
    return average->mean + deviations * sqrt(average->variance);
}

/* West, Updating mean and variance estimates, 1979, with a share that does not fall below 1 / SPIKES_WINDOW. */
static void add(Average *average, double value, double share) {
    const double difference = value - average->mean;
    average->mean += share * difference;
    average->variance = (1 - share) * (average->variance + share * difference * difference);
}

void spikes_add(Spikes *spikes, double loss, double norm) {
    spikes->steps++;
    const double share = 1 / (double)(spikes->steps < SPIKES_WINDOW ? spikes->steps : SPIKES_WINDOW);
    add(&spikes->loss, loss, share);
    add(&spikes->norm, norm, share);
}
