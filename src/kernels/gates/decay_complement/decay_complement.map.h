/* The share of new input that belongs to a decay; equations in decay_complement.h. */
#include "tile/tile.h"
#include "kernels/gates/decay_complement/decay_complement.h"
#include "tile/rows.h"

/* 1 - e^g for g <= 0. Near 0, where the difference would cancel, it is a Taylor series. */
DEVICE float one_minus_exp(float g) {
    float series = 1.0f / 5040;
    series = series * g + 1.0f / 720;
    series = series * g + 1.0f / 120;
    series = series * g + 1.0f / 24;
    series = series * g + 1.0f / 6;
    series = series * g + 0.5f;
    series = series * g + 1.0f;
    return g > -0.25f ? -g * series : 1.0f - exp_f(g);
}

KERNEL(decay_complement, DecayComplementArguments) {
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    EACH_ROW (row, first, end) {
        const float *g = a.g + row * a.g_stride;
        element *s = (element *)a.s + row * a.s_stride;
        VECTORS_OF(g, s);
        WARP_VECTOR(i, a.cols) {
            READ_F32(value, g + i);
            EACH_LANE(e) value[e] = one_minus_exp(value[e]);
            WRITE(s + i, value);
        }
    }
}

KERNEL(decay_complement_backward, DecayComplementArguments) {
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    EACH_ROW (row, first, end) {
        const float *g = a.g + row * a.g_stride;
        const element *ds = (const element *)a.ds + row * a.s_stride;
        float *dg = a.dg + row * a.g_stride;
        VECTORS_OF(g, ds, dg);
        WARP_VECTOR(i, a.cols) {
            READ_F32(value, g + i);
            READ(d, ds + i);
            EACH_LANE(e) d[e] *= -exp_f(value[e]);
            WRITE_F32(dg + i, d);
        }
    }
}
