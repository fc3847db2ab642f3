/* AdamW on fp32 parameters and moments, a block per program. */
#include "tile/tile.h"
#include "kernels/optimizer/adamw/adamw.h"

KERNEL(adamw, AdamwArguments) {
    const int64_t first = program_x * ADAMW_BLOCK, left = a.count - first;
    float *p = a.p + first, *m = a.m + first, *s = a.s + first;
    const float *gradient = a.gradient + first;
    EACH (i, left < ADAMW_BLOCK ? left : ADAMW_BLOCK) {
        const float g = gradient[i] * a.gradient_scale;
        const float mi = m[i] + a.one_minus_beta1 * (g - m[i]);
        const float si = a.beta2 * s[i] + a.one_minus_beta2 * g * g;
        m[i] = mi;
        s[i] = si;
        p[i] = p[i] * a.keep - a.step * mi / (sqrtf(si) / a.root_correction + a.eps);
    }
}
