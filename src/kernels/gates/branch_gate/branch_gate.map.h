/* A gated sum of three branches and its gradients; equations in branch_gate.h. */
#include "tile/tile.h"
#include "kernels/gates/branch_gate/branch_gate.h"
#include "tile/rows.h"

KERNEL(branch_gate, BranchGateArguments) {
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    EACH_GROUP (row, head, first, end, a.heads, a.cols) {
        const element *gate = (const element *)a.gate + row * a.gate_stride + head * BRANCHES;
        const float s0 = sigmoid_f(to_float(gate[0])), s1 = sigmoid_f(to_float(gate[1]));
        const float s2 = sigmoid_f(to_float(gate[2]));
        const element *x0 = (const element *)a.x[0] + row * a.x_stride[0] + head * a.cols;
        const element *x1 = (const element *)a.x[1] + row * a.x_stride[1] + head * a.cols;
        const element *x2 = (const element *)a.x[2] + row * a.x_stride[2] + head * a.cols;
        element *y = (element *)a.y + row * a.y_stride + head * a.cols;
        VECTORS_OF(x0, x1, x2, y);
        WARP_VECTOR(i, a.cols) {
            READ(sum, x0 + i);
            READ(second, x1 + i);
            READ(third, x2 + i);
            EACH_LANE(e) sum[e] = s0 * sum[e] + s1 * second[e] + s2 * third[e];
            WRITE(y + i, sum);
        }
    }
}

KERNEL(branch_gate_backward, BranchGateArguments) {
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    for (int b = 0; b < BRANCHES; b++) {
        EACH_GROUP (row, head, first, end, a.heads, a.cols) {
            const float gate = to_float(((const element *)a.gate)[row * a.gate_stride + head * BRANCHES + b]);
            const float s = sigmoid_f(gate);
            const element *x = (const element *)a.x[b] + row * a.x_stride[b] + head * a.cols;
            const element *dy = (const element *)a.dy + row * a.y_stride + head * a.cols;
            element *dx = (element *)a.dx[b] + row * a.x_stride[b] + head * a.cols;
            VECTORS_OF(x, dy, dx);
            float dot = 0;
            WARP_SUM_VECTOR(i, a.cols, dot) {
                READ(value, x + i);
                READ(d, dy + i);
                EACH_LANE(e) dot += d[e] * value[e];
            }
            WARP_TOTAL(dot);
            WARP_VECTOR(i, a.cols) {
                READ(d, dy + i);
                EACH_LANE(e) d[e] *= s;
                WRITE(dx + i, d);
            }
            WARP_EACH(one, 1)
            ((element *)a.dgate)[row * a.gate_stride + head * BRANCHES + b] =
                to_element(sigmoid_derivative_f(gate) * dot);
        }
    }
}
