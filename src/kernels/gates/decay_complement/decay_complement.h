/* Arguments of the decay_complement kernels, shared by host and device; strides in elements. */
#ifndef FLAME_KERNELS_GATES_DECAY_COMPLEMENT_DECAY_COMPLEMENT_H
#define FLAME_KERNELS_GATES_DECAY_COMPLEMENT_DECAY_COMPLEMENT_H

#include <stdint.h>

/* s = 1 - e^g; backward: dg = -e^g ds. A gradient has the stride of its tensor. */
typedef struct DecayComplementArguments {
    const float *g;
    const void *ds;
    void *s;
    float *dg;
    int64_t rows, cols, rows_per_program, g_stride, s_stride;
} DecayComplementArguments;

#endif
