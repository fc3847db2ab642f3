/* The machine's rates of matrix products and of memory: what model FLOPs utilisation and rooflines are measured
 * against. */
#ifndef FLAME_TRAINING_PEAK_H
#define FLAME_TRAINING_PEAK_H

#include "core/device.h"

/* FLOP/s of the best of a few products of n x n matrices of `type`, with this process's threads. Where such a product
 * takes no time to speak of, *n becomes larger. */
double peak_product_rate(const Device *device, DType type, int64_t *n);

/* Bytes per second, those read and those written, of the best of a few copies within the device's memory. */
double peak_memory_rate(const Device *device);

#endif
