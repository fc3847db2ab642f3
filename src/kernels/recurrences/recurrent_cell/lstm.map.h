/* A token of the LSTM (Hochreiter & Schmidhuber 1997); equations in recurrent_cell.h. */
#include "tile/tile.h"
#include "kernels/recurrences/recurrent_cell/recurrent_cell_column.h"

enum { STATES = 2, I = 0, F, G, O };

KERNEL(lstm_step, RecurrentCellArguments) {
    const CellPlace at = cell_place(&a, program_x, program_y);
    const int64_t D = a.D;
    const element *x = (const element *)a.x + at.row * a.x_stride + at.first;
    const element *bias = (const element *)a.bias + at.first;
    const float *product = a.product + at.sequence * 4 * D + at.first, *c_before = state_before(&a, at, 1);
    element *saved = (element *)a.saved + at.row * SAVED * D + at.first;
    float *state = a.state + at.row * D + at.first;
    EACH (n, at.cols) {
        const float i = sigmoid_f(to_float(x[I * D + n]) + product[I * D + n] + to_float(bias[I * D + n]));
        const float f = sigmoid_f(to_float(x[F * D + n]) + product[F * D + n] + to_float(bias[F * D + n]));
        const float g = tanh_f(to_float(x[G * D + n]) + product[G * D + n] + to_float(bias[G * D + n]));
        const float o = sigmoid_f(to_float(x[O * D + n]) + product[O * D + n] + to_float(bias[O * D + n]));
        const float c = (at.begins ? 0.0f : f * c_before[n]) + i * g;
        saved[I * D + n] = to_element(i);
        saved[F * D + n] = to_element(f);
        saved[G * D + n] = to_element(g);
        saved[O * D + n] = to_element(o);
        state[n] = c;
        put_h(&a, at, n, o * tanh_f(c), STATES);
        if (at.last_row && a.final) a.final[(at.sequence * STATES + 1) * D + at.first + n] = c;
    }
}

KERNEL(lstm_step_backward, RecurrentCellArguments) {
    const CellPlace at = cell_place(&a, program_x, program_y);
    const int64_t D = a.D;
    const element *saved = (const element *)a.saved + at.row * SAVED * D + at.first;
    const float *state = a.state + at.row * D + at.first, *c_before = state_before(&a, at, 1);
    const float *dfinal = a.dfinal ? a.dfinal + (at.sequence * STATES + 1) * D + at.first : NULL;
    float *carried = a.carried + at.sequence * D + at.first;
    element *dx = (element *)a.dx + at.row * a.x_stride + at.first;
    EACH (n, at.cols) {
        const float i = to_float(saved[I * D + n]), f = to_float(saved[F * D + n]);
        const float g = to_float(saved[G * D + n]), o = to_float(saved[O * D + n]);
        const float bent = tanh_f(state[n]), dh = gradient_of_h(&a, at, n, false, STATES);
        const float after = at.last_row ? (dfinal ? dfinal[n] : 0.0f) : at.goes_on ? carried[n] : 0.0f;
        const float dc = after + dh * o * (1.0f - bent * bent), before = at.begins ? 0.0f : c_before[n];
        dx[I * D + n] = to_element(dc * g * i * (1.0f - i));
        dx[F * D + n] = to_element(dc * before * f * (1.0f - f));
        dx[G * D + n] = to_element(dc * i * (1.0f - g * g));
        dx[O * D + n] = to_element(dh * bent * o * (1.0f - o));
        carried[n] = dc * f;
    }
}
