/* AdamW on fp32 parameters and moments, a block per program. */
#include "tile/tile.h"
#include "kernels/optimizer/adamw/adamw.h"

KERNEL(adamw, AdamwArguments) {
    const int64_t first = program_x * ADAMW_BLOCK, left = a.count - first;
    float *p = a.p + first, *m = a.m + first, *s = a.s + first;
    const float *gradient = a.gradient + first;
    EACH_VECTOR(i, left < ADAMW_BLOCK ? left : ADAMW_BLOCK) {
        READ_F32(pi, p + i);
        READ_F32(mi, m + i);
        READ_F32(si, s + i);
        READ_F32(g, gradient + i);
        EACH_LANE(e) {
            g[e] *= a.gradient_scale;
            mi[e] += a.one_minus_beta1 * (g[e] - mi[e]);
            si[e] = a.beta2 * si[e] + a.one_minus_beta2 * g[e] * g[e];
            pi[e] = pi[e] * a.keep - a.step * mi[e] / (sqrtf(si[e]) / a.root_correction + a.eps);
        }
        WRITE_F32(m + i, mi);
        WRITE_F32(s + i, si);
        WRITE_F32(p + i, pi);
    }
}
