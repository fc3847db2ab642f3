/* A token of the gated recurrent unit (Cho et al. 2014, arXiv 1406.1078), with the reset gate after the product;
 * equations in recurrent_cell.h. */
#include "tile/tile.h"
#include "kernels/recurrences/recurrent_cell/recurrent_cell_column.h"

enum { STATES = 1, R = 0, Z, N, P };

KERNEL(gru_step, RecurrentCellArguments) {
    const CellPlace at = cell_place(&a, program_x, program_y);
    const int64_t D = a.D;
    const element *x = (const element *)a.x + at.row * a.x_stride + at.first;
    const element *bias = (const element *)a.bias + at.first;
    const float *product = a.product + at.sequence * 3 * D + at.first, *h_before = state_before(&a, at, 0);
    element *saved = (element *)a.saved + at.row * SAVED * D + at.first;
    float *state = a.state + at.row * D + at.first;
    EACH (i, at.cols) {
        const float r = sigmoid_f(to_float(x[R * D + i]) + product[R * D + i] + to_float(bias[R * D + i]));
        const float z = sigmoid_f(to_float(x[Z * D + i]) + product[Z * D + i] + to_float(bias[Z * D + i]));
        const float p = product[N * D + i] + to_float(bias[N * D + i]), n = tanh_f(to_float(x[N * D + i]) + r * p);
        const float h = (1.0f - z) * n + (at.begins ? 0.0f : z * h_before[i]);
        saved[R * D + i] = to_element(r);
        saved[Z * D + i] = to_element(z);
        saved[N * D + i] = to_element(n);
        saved[P * D + i] = to_element(p);
        state[i] = h;
        put_h(&a, at, i, h, STATES);
    }
}

KERNEL(gru_step_backward, RecurrentCellArguments) {
    const CellPlace at = cell_place(&a, program_x, program_y);
    const int64_t D = a.D;
    const element *saved = (const element *)a.saved + at.row * SAVED * D + at.first;
    const float *h_before = state_before(&a, at, 0);
    float *carried = a.carried + at.sequence * D + at.first;
    element *dx = (element *)a.dx + at.row * a.x_stride + at.first;
    element *dp = (element *)a.dp + at.row * 3 * D + at.first;
    EACH (i, at.cols) {
        const float r = to_float(saved[R * D + i]), z = to_float(saved[Z * D + i]);
        const float n = to_float(saved[N * D + i]), p = to_float(saved[P * D + i]);
        const float dh = gradient_of_h(&a, at, i, true, STATES), before = at.begins ? 0.0f : h_before[i];
        const float dn = dh * (1.0f - z) * (1.0f - n * n), dz = dh * (before - n) * z * (1.0f - z);
        const float dr = dn * p * r * (1.0f - r);
        dx[R * D + i] = to_element(dr);
        dx[Z * D + i] = to_element(dz);
        dx[N * D + i] = to_element(dn);
        dp[R * D + i] = to_element(dr);
        dp[Z * D + i] = to_element(dz);
        dp[N * D + i] = to_element(dn * r);
        carried[i] = dh * z;
    }
}
