/* Arguments of the adamw kernel, shared by host and device. */
#ifndef FLAME_KERNELS_OPTIMIZER_ADAMW_ADAMW_H
#define FLAME_KERNELS_OPTIMIZER_ADAMW_ADAMW_H

#include <stdint.h>

enum { ADAMW_BLOCK = 4096 }; /* elements per program */

/* One update of `count` parameters p; x is their gradient before it is scaled (see parallel/optimizer.h):
 *   g = x gradient_scale, p = p keep, m = m + (1 - beta1)(g - m), s = beta2 s + (1 - beta2) g^2
 *   p = p - step m / (sqrt(s) / root_correction + eps) */
typedef struct AdamwArguments {
    float *p, *m, *s;
    const float *gradient;
    int64_t count;
    float gradient_scale;
    float keep;            /* 1 - lr * weight decay */
    float step;            /* lr / (1 - beta1^t) */
    float root_correction; /* sqrt(1 - beta2^t) */
    float one_minus_beta1, beta2, one_minus_beta2, eps;
} AdamwArguments;

#endif
