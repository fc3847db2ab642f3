/* Arguments of the cast kernel, shared by host and device. */
#ifndef FLAME_KERNELS_BASIC_CAST_CAST_H
#define FLAME_KERNELS_BASIC_CAST_CAST_H

#include <stdint.h>

enum { CAST_BLOCK = 16384 }; /* elements per program */

/* to[i] = from[i], fp32 to the element type, i < count. */
typedef struct CastArguments {
    const float *from;
    void *to;
    int64_t count;
} CastArguments;

#endif
