/* Comba's correction of the output, applied to the queries; equations in output_correction.h. */
#include "tile/tile.h"
#include "kernels/gates/output_correction/output_correction.h"
#include "tile/rows.h"

KERNEL(output_correction, OutputCorrectionArguments) {
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    EACH_GROUP (row, head, first, end, a.heads, a.cols) {
        const element *q = (const element *)a.q + row * a.q_stride + head * a.cols;
        const element *k = (const element *)a.k + row * a.k_stride + head * a.cols;
        element *z = (element *)a.z + row * a.z_stride + head * a.cols;
        const float D = to_float(((const element *)a.D)[head]), decay = to_float(((const element *)a.decay)[head]);
        const float factor = D * sigmoid_f(decay);
        VECTORS_OF(q, k, z);
        WARP_VECTOR(i, a.cols) {
            READ(x, q + i);
            READ(y, k + i);
            EACH_LANE(e) x[e] -= factor * y[e];
            WRITE(z + i, x);
        }
    }
}

KERNEL(output_correction_backward, OutputCorrectionArguments) {
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    EACH_GROUP (row, head, first, end, a.heads, a.cols) {
        const element *k = (const element *)a.k + row * a.k_stride + head * a.cols;
        const element *dz = (const element *)a.dz + row * a.z_stride + head * a.cols;
        element *dq = (element *)a.dq + row * a.q_stride + head * a.cols;
        element *dk = (element *)a.dk + row * a.k_stride + head * a.cols;
        const float D = to_float(((const element *)a.D)[head]), decay = to_float(((const element *)a.decay)[head]);
        const float factor = D * sigmoid_f(decay);
        VECTORS_OF(k, dz, dq, dk);
        float sum = 0;
        WARP_SUM_VECTOR(i, a.cols, sum) {
            READ(d, dz + i);
            READ(y, k + i);
            EACH_LANE(e) sum += d[e] * y[e];
        }
        WARP_TOTAL(sum);
        WARP_EACH(one, 1) {
            float *partial = a.partial + row * 2 * a.heads + head;
            partial[0] = -sigmoid_f(decay) * sum;
            partial[a.heads] = -D * sigmoid_derivative_f(decay) * sum;
        }
        WARP_VECTOR(i, a.cols) {
            READ(d, dz + i);
            WRITE(dq + i, d);
            EACH_LANE(e) d[e] *= -factor;
            WRITE(dk + i, d);
        }
    }
}
