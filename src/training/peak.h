/* The machine's rate of matrix products: what model FLOPs utilisation is measured against. */
#ifndef FLAME_TRAINING_PEAK_H
#define FLAME_TRAINING_PEAK_H

#include "core/device.h"

/* FLOP/s of the best of a few products of n x n matrices of `type`, with this process's threads. Where such a product
 * takes no time to speak of, *n becomes larger. */
double peak_product_rate(const Device *device, DType type, int64_t *n);

#endif
