/* Milliseconds on an H100 from what the meter counts. docs/cuda.md explains the formula. */
#ifndef TESTS_METER_ESTIMATE_H
#define TESTS_METER_ESTIMATE_H

#include "core/device.h"
#include "meter/meter.h"

enum { MULTIPROCESSORS = 132 };

#define CLOCK          1.755e9 /* cycles per second */
#define MEMORY_RATE    3.35e12 /* bytes per second */
#define L2_RATE        5.5e12
#define PRODUCT_RATE   989e12 /* FLOP/s */
#define LAUNCH_SECONDS 2e-6   /* from the end of a kernel in a graph to the first instruction of the next kernel */

/* The number of programs that run on a multiprocessor at the same time. */
int estimate_programs_per_sm(int registers, double shared_bytes);
double estimate_waves(const Meter *m, int programs_per_sm);
/* Seconds of one launch. */
double estimate_launch(const Meter *m, int programs_per_sm);
double estimate_product(const Gemm *gemm);
/* Seconds of a fill (which only writes) or a copy. */
double estimate_transfer(double bytes_moved);

#endif
