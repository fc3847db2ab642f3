/* The skip and the gate after Mamba's recurrence; equations in gated_skip.h. has_gate and by_column are constants where
 * rows and heads are inlined, so the loops have no branches. */
#include "tile/tile.h"
#include "kernels/gates/gated_skip/gated_skip.h"
#include "tile/rows.h"

DEVICE void gated_skip_row(const GatedSkipArguments a, int64_t row, bool has_gate, bool by_column) {
    for (int64_t head = 0; head < a.heads; head++) {
        const element *D = (const element *)a.D + head * (by_column ? a.cols : 1);
        const element *y = (const element *)a.y + row * a.y_stride + head * a.cols;
        const element *x = (const element *)a.x + row * a.x_stride + head * a.cols;
        const element *gate = (const element *)a.gate + (has_gate ? row * a.gate_stride + head * a.cols : 0);
        element *z = (element *)a.z + row * a.z_stride + head * a.cols;
        EACH (i, a.cols) {
            const float sum = to_float(y[i]) + to_float(D[by_column ? i : 0]) * to_float(x[i]);
            z[i] = to_element(has_gate ? sum * silu_f(to_float(gate[i])) : sum);
        }
    }
}

KERNEL(gated_skip, GatedSkipArguments) {
    ROWS_OF_PROGRAM (row, a.rows, a.rows_per_program) {
        if (a.gate && a.by_column)
            gated_skip_row(a, row, true, true);
        else if (a.gate)
            gated_skip_row(a, row, true, false);
        else if (a.by_column)
            gated_skip_row(a, row, false, true);
        else
            gated_skip_row(a, row, false, false);
    }
}

DEVICE void gated_skip_backward_head(const GatedSkipBackwardArguments a, float *partial, int64_t row, int64_t head,
                                     bool has_gate, bool by_column) {
    const element *D = (const element *)a.D + head * (by_column ? a.cols : 1);
    const element *y = (const element *)a.y + row * a.y_stride + head * a.cols;
    const element *x = (const element *)a.x + row * a.x_stride + head * a.cols;
    const element *gate = (const element *)a.gate + (has_gate ? row * a.gate_stride + head * a.cols : 0);
    const element *dz = (const element *)a.dz + row * a.dz_stride + head * a.cols;
    element *dy = (element *)a.dy + row * a.y_stride + head * a.cols;
    element *dx = (element *)a.dx + row * a.x_stride + head * a.cols;
    element *dgate = (element *)a.dgate + (has_gate ? row * a.gate_stride + head * a.cols : 0);
    if (!by_column) {
        float sum = 0;
        SUM(sum, i, a.cols, to_float(dz[i]) * (has_gate ? silu_f(to_float(gate[i])) : 1.0f) * to_float(x[i]));
        EACH (one, 1) partial[head] += sum;
    }
    EACH (i, a.cols) {
        const float factor = to_float(D[by_column ? i : 0]), value = to_float(x[i]), d = to_float(dz[i]);
        const float inner = has_gate ? d * silu_f(to_float(gate[i])) : d;
        if (by_column) partial[head * a.cols + i] += inner * value;
        if (has_gate)
            dgate[i] = to_element(d * (to_float(y[i]) + factor * value) * silu_derivative_f(to_float(gate[i])));
        dy[i] = to_element(inner);
        dx[i] = to_element(factor * inner);
    }
}

/* PARTIAL_ROWS rows per program. */
KERNEL(gated_skip_backward, GatedSkipBackwardArguments) {
    const int64_t entries = a.by_column ? a.heads * a.cols : a.heads;
    float *partial = a.partial + program_x * entries;
    EACH (i, entries) partial[i] = 0;
    sync();
    ROWS_OF_PROGRAM (row, a.rows, PARTIAL_ROWS) {
        for (int64_t head = 0; head < a.heads; head++) {
            if (a.gate && a.by_column)
                gated_skip_backward_head(a, partial, row, head, true, true);
            else if (a.gate)
                gated_skip_backward_head(a, partial, row, head, true, false);
            else if (a.by_column)
                gated_skip_backward_head(a, partial, row, head, false, true);
            else
                gated_skip_backward_head(a, partial, row, head, false, false);
        }
    }
}
