/* Root-mean-square norm, then a gate; equations in gated_rms_norm.h. Statistics are fp32. `sigmoid` is a constant where
 * the groups are inlined, so the loops have no branches. */
#include "tile/tile.h"
#include "kernels/norms/gated_rms_norm/gated_rms_norm.h"
#include "tile/rows.h"

DEVICE float gate_value(float x, bool sigmoid) { return sigmoid ? sigmoid_f(x) : silu_f(x); }

DEVICE float gate_derivative(float x, bool sigmoid) { return sigmoid ? sigmoid_derivative_f(x) : silu_derivative_f(x); }

DEVICE void gated_rms_norm_group(const GatedRmsNormArguments a, int64_t row, int64_t group, bool sigmoid) {
    const element *weight = (const element *)a.weight;
    const element *x = (const element *)a.x + row * a.x_stride + group * a.cols;
    const element *gate = (const element *)a.gate + row * a.gate_stride + group * a.cols;
    element *y = (element *)a.y + row * a.y_stride + group * a.cols;
    float square = 0;
    SUM(square, i, a.cols, to_float(x[i]) * to_float(x[i]));
    const float rstd = 1.0f / sqrtf(square / (float)a.cols + a.eps);
    EACH (i, 1) a.rstd[row * a.groups + group] = rstd;
    EACH (i, a.cols)
        y[i] = to_element(to_float(weight[i]) * (to_float(x[i]) * rstd) * gate_value(to_float(gate[i]), sigmoid));
}

KERNEL(gated_rms_norm, GatedRmsNormArguments) {
    ROWS_OF_PROGRAM (row, a.rows, a.rows_per_program)
        for (int64_t group = 0; group < a.groups; group++) {
            if (a.sigmoid)
                gated_rms_norm_group(a, row, group, true);
            else
                gated_rms_norm_group(a, row, group, false);
        }
}

DEVICE void gated_rms_norm_backward_group(const GatedRmsNormBackwardArguments a, float *partial, int64_t row,
                                          int64_t group, bool sigmoid) {
    const element *weight = (const element *)a.weight;
    const element *x = (const element *)a.x + row * a.x_stride + group * a.cols;
    const element *gate = (const element *)a.gate + row * a.gate_stride + group * a.cols;
    const element *y = (const element *)a.y + row * a.y_stride + group * a.cols;
    const element *dy = (const element *)a.dy + row * a.y_stride + group * a.cols;
    element *dx = (element *)a.dx + row * a.x_stride + group * a.cols;
    element *dgate = (element *)a.dgate + row * a.gate_stride + group * a.cols;
    const float rstd = a.rstd[row * a.groups + group];
    float dot = 0;
    SUM(dot, i, a.cols, to_float(dy[i]) * to_float(y[i])); /* e . n, with less work */
    const float mean = dot / (float)a.cols;
    EACH (i, a.cols) {
        const float w = to_float(weight[i]), z = to_float(gate[i]), d = to_float(dy[i]);
        const float n = to_float(x[i]) * rstd, gated = d * gate_value(z, sigmoid);
        partial[i] += gated * n;
        dgate[i] = to_element(d * w * n * gate_derivative(z, sigmoid));
        dx[i] = to_element(rstd * (w * gated - n * mean));
    }
}

/* PARTIAL_ROWS rows per program. */
KERNEL(gated_rms_norm_backward, GatedRmsNormBackwardArguments) {
    float *partial = a.partial + program_x * a.cols;
    EACH (i, a.cols) partial[i] = 0;
    ROWS_OF_PROGRAM (row, a.rows, PARTIAL_ROWS)
        for (int64_t group = 0; group < a.groups; group++) {
            if (a.sigmoid)
                gated_rms_norm_backward_group(a, partial, row, group, true);
            else
                gated_rms_norm_backward_group(a, partial, row, group, false);
        }
}
