/* Latencies of an H100 in cycles, as measured by microbenchmarks in the literature, and fitted constants
 * (docs/cuda.md). */
#ifndef TESTS_METER_LATENCY_H
#define TESTS_METER_LATENCY_H

#define MEMORY_LATENCY 500.0
#define L2_LATENCY     270.0
#define L2_BYTES       40e6
#define SHARED_LATENCY 30.0
#define MMA_LATENCY    33.0
#define MMA_CYCLES     4.0 /* between products of a warp */
#define SHUFFLE_CYCLES 25.0
#define BARRIER_CYCLES 30.0
#define CODE_BYTES     15.0 /* bytes of the host's instructions that correspond to one instruction of a GPU */
#define CODE_CYCLES    (2.5 / CODE_BYTES) /* cycles per byte for a warp that does not wait */
enum { CODE_USUAL = 30 };                 /* bytes between two accesses, assumed on other hosts */
enum { UNROLLED = 4 };                    /* iterations of a loop whose loads are in flight together */

#endif
