/* Rotary position embedding, halves of a head as pairs (arXiv 2104.09864). */
#include "tile/tile.h"
#include "kernels/positions/rotary/rotary.h"
#include "tile/rows.h"

/* Sine and cosine of an angle of up to 2^31, to 2 ulp: reduced to the quarter around 0 in fp64, then polynomials. */
DEVICE void sine_and_cosine(double angle, float *sine, float *cosine) {
    union {
        double value;
        uint64_t bits;
    } quarter;
    const double shift = 6755399441055744.0; /* 1.5 * 2^52: adding it rounds to an integer, which the low bits hold */
    quarter.value = angle * 0.63661977236758134308 + shift;
    const float r = (float)(angle - (quarter.value - shift) * 1.57079632679489661923), z = r * r;
    const float s = r + r * z * (-1.6666654611e-1f + z * (8.3321608736e-3f - z * 1.9515295891e-4f));
    const float c =
        1.0f - 0.5f * z + z * z * (4.166664568298827e-2f + z * (-1.388731625493765e-3f + z * 2.443315711809948e-5f));
    const uint32_t n = (uint32_t)quarter.bits;
    const float sine_size = n & 1u ? c : s, cosine_size = n & 1u ? s : c;
    *sine = n & 2u ? -sine_size : sine_size;
    *cosine = (n + 1u) & 2u ? -cosine_size : cosine_size;
}

/* ROTARY_POSITIONS positions per program. */
KERNEL(rotary_table, RotaryTableArguments) {
    const int64_t first = program_x * ROTARY_POSITIONS;
    EACH_ROW (p, first, end_of_program(first, a.positions, ROTARY_POSITIONS)) {
        float *cosines = a.table + p * 2 * a.half, *sines = cosines + a.half;
        WARP_EACH(i, a.half) sine_and_cosine((double)p * a.frequency[i], &sines[i], &cosines[i]);
    }
}

KERNEL(rotary, RotaryArguments) {
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    EACH_GROUP (row, head, first, end, a.heads, a.half) {
        const float *cosines = a.table + a.position[row] * 2 * a.half, *sines = cosines + a.half;
        const element *x = (const element *)a.x + row * a.x_stride + head * 2 * a.half;
        element *y = (element *)a.y + row * a.y_stride + head * 2 * a.half;
        VECTORS_OF(cosines, sines, x, x + a.half, y, y + a.half);
        WARP_VECTOR(i, a.half) {
            READ(x1, x + i);
            READ(x2, x + a.half + i);
            READ_F32(c, cosines + i);
            READ_F32(s, sines + i);
            float y1[VECTOR], y2[VECTOR];
            EACH_LANE(e) {
                const float sine = a.direction * s[e];
                y1[e] = x1[e] * c[e] - x2[e] * sine;
                y2[e] = x1[e] * sine + x2[e] * c[e];
            }
            WRITE(y + i, y1);
            WRITE(y + a.half + i, y2);
        }
    }
}
