/* The output of linear attention, divided by the sum of its weights; equations in normalise.h. */
#include "tile/tile.h"
#include "kernels/norms/normalise/normalise.h"
#include "tile/rows.h"

/* The factor 1 / d, and the lower bound e^-m of |z|. */
typedef struct Divisor {
    float reciprocal, least;
} Divisor;

DEVICE Divisor divisor_of(const NormaliseArguments *a, int64_t row, int64_t head, float z) {
    const float least = a->m ? exp_f(-a->m[row * a->m_stride + head]) : 0.0f;
    const Divisor divisor = {divide_f(1.0f, fmaxf(fabsf(z), least) + a->eps), least};
    return divisor;
}

KERNEL(normalise, NormaliseArguments) {
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    EACH_GROUP (row, head, first, end, a.heads, a.cols) {
        const element *x = (const element *)a.x + row * a.x_stride + head * a.cols;
        element *y = (element *)a.y + row * a.y_stride + head * a.cols;
        const Divisor divisor = divisor_of(&a, row, head, a.z[row * a.z_stride + head]);
        VECTORS_OF(x, y);
        WARP_VECTOR(i, a.cols) {
            READ(value, x + i);
            EACH_LANE(e) value[e] *= divisor.reciprocal;
            WRITE(y + i, value);
        }
    }
}

KERNEL(normalise_backward, NormaliseArguments) {
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    EACH_GROUP (row, head, first, end, a.heads, a.cols) {
        const element *x = (const element *)a.x + row * a.x_stride + head * a.cols;
        const element *dy = (const element *)a.dy + row * a.y_stride + head * a.cols;
        element *dx = (element *)a.dx + row * a.x_stride + head * a.cols;
        const float z = a.z[row * a.z_stride + head];
        const Divisor divisor = divisor_of(&a, row, head, z);
        VECTORS_OF(x, dy, dx);
        float dot = 0;
        WARP_SUM_VECTOR(i, a.cols, dot) {
            READ(value, x + i);
            READ(d, dy + i);
            EACH_LANE(e) dot += value[e] * d[e];
        }
        WARP_TOTAL(dot);
        const float gradient = -dot * divisor.reciprocal * divisor.reciprocal;
        const bool of_z = fabsf(z) > divisor.least;
        WARP_EACH(one, 1) {
            a.dz[row * a.z_stride + head] = of_z ? (z < 0.0f ? -gradient : gradient) : 0.0f;
            if (a.dm) a.dm[row * a.m_stride + head] = of_z ? 0.0f : -divisor.least * gradient;
        }
        WARP_VECTOR(i, a.cols) {
            READ(d, dy + i);
            EACH_LANE(e) d[e] *= divisor.reciprocal;
            WRITE(dx + i, d);
        }
    }
}
