/* The machine's rates of matrix products and of memory: what model FLOPs utilisation and rooflines are measured
 * against. */
#ifndef FLAME_TRAINING_PEAK_H
#define FLAME_TRAINING_PEAK_H

#include <stdbool.h>

#include "core/device.h"

enum { PEAK_PRODUCT = 512 }; /* n for MFU: large enough for full speed, and short, so that some meet no other work */

/* FLOP/s of the fastest of several products of n x n matrices of `type`, with this process's threads. If such a product
 * is too short to time, *n is increased. */
double peak_product_rate(const Device *device, DType type, int64_t *n);

/* `rate` as a fraction of *peak, both in FLOP/s over `ranks` ranks; at most 1. Other work on the machine may have
 * slowed down the products that *peak was measured with: if `rate` is higher, they are measured again on this rank,
 * *peak is set to the highest of the three, and *again to true. */
double peak_utilisation(const Device *device, DType type, int ranks, double rate, double *peak, bool *again);

/* Bytes read plus bytes written per second, of the fastest of a few copies within device memory. */
double peak_memory_rate(const Device *device);

#endif
