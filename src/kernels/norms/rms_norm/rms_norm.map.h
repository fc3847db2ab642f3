/* Root-mean-square norm with optional residual (arXiv 1910.07467); equations in rms_norm.h. Statistics are fp32. */
#include "tile/tile.h"
#include "kernels/norms/rms_norm/rms_norm.h"
#include "tile/rows.h"

DEVICE float rms_norm_sum(const element *x, const element *residual, bool has_residual, int64_t i) {
    return has_residual ? to_float(x[i]) + to_float(residual[i]) : to_float(x[i]);
}

/* has_residual and has_sum are constants where this is inlined, so the loops have no branches. */
DEVICE void rms_norm_row(const RmsNormArguments a, int64_t row, bool has_residual, bool has_sum) {
    for (int64_t group = 0; group < a.groups; group++) {
        const int64_t column = group * a.cols;
        const element *weight = (const element *)a.weight + group % a.weight_groups * a.cols;
        const element *x = (const element *)a.x + row * a.x_stride + column;
        const element *residual = (const element *)a.residual + (has_residual ? row * a.residual_stride + column : 0);
        element *y = (element *)a.y + row * a.y_stride + column;
        element *sum = (element *)a.sum + (has_sum ? row * a.sum_stride + column : 0);
        float square = 0;
        SUM(square, i, a.cols, rms_norm_sum(x, residual, has_residual, i) * rms_norm_sum(x, residual, has_residual, i));
        const float rstd = 1.0f / sqrtf(square / (float)a.cols + a.eps);
        EACH (i, 1) a.rstd[row * a.groups + group] = rstd;
        EACH (i, a.cols) {
            const float s = rms_norm_sum(x, residual, has_residual, i);
            if (has_sum) sum[i] = to_element(s);
            y[i] = to_element(to_float(weight[i]) * (s * rstd));
        }
    }
}

KERNEL(rms_norm, RmsNormArguments) {
    ROWS_OF_PROGRAM (row, a.rows, a.rows_per_program) {
        if (a.sum)
            rms_norm_row(a, row, true, true);
        else if (a.residual)
            rms_norm_row(a, row, true, false);
        else
            rms_norm_row(a, row, false, false);
    }
}

DEVICE void rms_norm_backward_row(const RmsNormBackwardArguments a, int64_t row, float *partials, bool has_residual,
                                  bool has_dsum) {
    for (int64_t group = 0; group < a.groups; group++) {
        const int64_t column = group * a.cols;
        const int64_t weight_column = group % a.weight_groups * a.cols;
        const element *weight = (const element *)a.weight + weight_column;
        float *partial = partials + weight_column;
        const element *x = (const element *)a.x + row * a.x_stride + column;
        const element *residual = (const element *)a.residual + (has_residual ? row * a.residual_stride + column : 0);
        const element *dy = (const element *)a.dy + row * a.dy_stride + column;
        const element *dsum = (const element *)a.dsum + (has_dsum ? row * a.dsum_stride + column : 0);
        element *ds = (element *)a.ds + row * a.ds_stride + column;
        const float rstd = a.rstd[row * a.groups + group];
        float dot = 0;
        SUM(dot, i, a.cols,
            to_float(weight[i]) * to_float(dy[i]) * (rms_norm_sum(x, residual, has_residual, i) * rstd));
        const float mean = dot / (float)a.cols;
        EACH (i, a.cols) {
            const float n = rms_norm_sum(x, residual, has_residual, i) * rstd;
            const float d = rstd * (to_float(weight[i]) * to_float(dy[i]) - n * mean);
            partial[i] += to_float(dy[i]) * n;
            ds[i] = to_element(has_dsum ? d + to_float(dsum[i]) : d);
        }
    }
}

/* PARTIAL_ROWS rows per program. */
KERNEL(rms_norm_backward, RmsNormBackwardArguments) {
    float *partial = a.partial + program_x * a.weight_groups * a.cols;
    EACH (i, a.weight_groups * a.cols) partial[i] = 0;
    ROWS_OF_PROGRAM (row, a.rows, PARTIAL_ROWS) {
        if (a.residual)
            rms_norm_backward_row(a, row, partial, true, a.dsum != NULL);
        else if (a.dsum)
            rms_norm_backward_row(a, row, partial, false, true);
        else
            rms_norm_backward_row(a, row, partial, false, false);
    }
}
