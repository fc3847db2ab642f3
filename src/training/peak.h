/* The machine's rates of matrix products and of memory: what model FLOPs utilisation and rooflines are measured
 * against. */
#ifndef FLAME_TRAINING_PEAK_H
#define FLAME_TRAINING_PEAK_H

#include "core/device.h"

/* FLOP/s of the fastest of a few products of n x n matrices of `type`, with this process's threads. If such a product
 * is too short to time, *n is increased. */
double peak_product_rate(const Device *device, DType type, int64_t *n);

/* Bytes read plus bytes written per second, of the fastest of a few copies within device memory. */
double peak_memory_rate(const Device *device);

#endif
