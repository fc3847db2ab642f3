/* The machine's rates of matrix products and of memory accesses, against which model FLOPs utilisation and rooflines
 * are measured. */
#ifndef FLAME_TRAINING_PEAK_H
#define FLAME_TRAINING_PEAK_H

#include <stdbool.h>

#include "core/device.h"

enum { PEAK_PRODUCT = 512 }; /* n for MFU: products at full speed, yet so short that some run undisturbed */

/* FLOP/s of the fastest of several products of n x n matrices of `type`, with this process's threads. If such a product
 * is too short to be timed, *n is increased. */
double peak_product_rate(const Device *device, DType type, int64_t *n);

/* `rate` as a fraction of *peak, both in FLOP/s over `ranks` ranks; at most 1. Other work on the machine may have
 * slowed down the products that *peak was measured with. So if `rate` is higher than *peak, products are measured again
 * on this rank, *peak is set to the highest of the three rates, and *again to true. */
double peak_utilisation(const Device *device, DType type, int ranks, double rate, double *peak, bool *again);

/* Bytes read plus bytes written per second, of the fastest of a few copies within device memory. */
double peak_memory_rate(const Device *device);

#endif
