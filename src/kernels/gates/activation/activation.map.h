/* Functions of one element. Rows are inlined with a constant `kind`, so the loops have no branches. */
#include "tile/tile.h"
#include "kernels/gates/activation/activation.h"
#include "tile/rows.h"

/* The probability that a standard normal variable is below x, to 1e-7: erf by formula 7.1.26 of Abramowitz and
 * Stegun. */
DEVICE float normal_share(float x, float density) {
    const float z = (x < 0.0f ? -x : x) * 0.70710678f, t = divide_f(1.0f, 1.0f + 0.3275911f * z);
    const float series =
        t * (0.254829592f + t * (-0.284496736f + t * (1.421413741f + t * (-1.453152027f + t * 1.061405429f))));
    const float tail = 0.5f * series * density;
    return x < 0.0f ? tail : 1.0f - tail;
}

/* x share(x), and its derivative share(x) + x e^(-x^2 / 2) / sqrt(2 pi). */
DEVICE float gelu_f(float x) { return x * normal_share(x, exp_f(-0.5f * x * x)); }
DEVICE float gelu_derivative_f(float x) {
    const float density = exp_f(-0.5f * x * x);
    return normal_share(x, density) + x * density * 0.39894228f;
}

DEVICE float activation_value(float x, Activation kind) {
    if (kind == ACTIVATION_SILU) return silu_f(x);
    if (kind == ACTIVATION_RELU) return x > 0.0f ? x : 0.0f;
    if (kind == ACTIVATION_SIGMOID) return sigmoid_f(x);
    if (kind == ACTIVATION_TANH) return tanh_f(x);
    if (kind == ACTIVATION_SQUARED_RELU) return x > 0.0f ? x * x : 0.0f;
    if (kind == ACTIVATION_GELU) return gelu_f(x);
    if (kind == ACTIVATION_LOG_1P_RELU) return log1p_any_f(x > 0.0f ? x : 0.0f);
    if (kind == ACTIVATION_EXP_M1) return expm1_f(x);
    return (x > 0.0f ? x : 0.0f) + exp_f(x < 0.0f ? x : 0.0f);
}

DEVICE float activation_derivative(float x, Activation kind) {
    if (kind == ACTIVATION_SILU) return silu_derivative_f(x);
    if (kind == ACTIVATION_RELU) return x > 0.0f ? 1.0f : 0.0f;
    if (kind == ACTIVATION_SIGMOID) return sigmoid_derivative_f(x);
    if (kind == ACTIVATION_TANH) return 4.0f * sigmoid_derivative_f(2.0f * x);
    if (kind == ACTIVATION_SQUARED_RELU) return x > 0.0f ? 2.0f * x : 0.0f;
    if (kind == ACTIVATION_GELU) return gelu_derivative_f(x);
    if (kind == ACTIVATION_LOG_1P_RELU) return x > 0.0f ? divide_f(1.0f, 1.0f + x) : 0.0f;
    if (kind == ACTIVATION_EXP_M1) return exp_f(x);
    return exp_f(x < 0.0f ? x : 0.0f);
}

DEVICE void activation_rows(const ActivationArguments a, int64_t first, int64_t end, Activation kind) {
    EACH_ROW (row, first, end) {
        const element *x = (const element *)a.x + row * a.x_stride;
        element *y = (element *)a.y + row * a.y_stride;
        VECTORS_OF(x, y);
        WARP_VECTOR(i, a.cols) {
            READ(value, x + i);
            EACH_LANE(e) value[e] = activation_value(value[e], kind);
            WRITE(y + i, value);
        }
    }
}

DEVICE void activation_backward_rows(const ActivationBackwardArguments a, int64_t first, int64_t end, Activation kind) {
    EACH_ROW (row, first, end) {
        const element *x = (const element *)a.x + row * a.x_stride;
        const element *dy = (const element *)a.dy + row * a.dy_stride;
        element *dx = (element *)a.dx + row * a.x_stride;
        VECTORS_OF(x, dy, dx);
        WARP_VECTOR(i, a.cols) {
            READ(value, x + i);
            READ(d, dy + i);
            EACH_LANE(e) d[e] *= activation_derivative(value[e], kind);
            WRITE(dx + i, d);
        }
    }
}

/* Calls `rows` with the kind as a constant. */
#define KIND(rows, kind)                                                                                               \
    case kind:                                                                                                         \
        rows(a, first, end, kind);                                                                                     \
        break
#define WITH_KIND(rows)                                                                                                \
    switch (a.kind) {                                                                                                  \
        KIND(rows, ACTIVATION_SILU);                                                                                   \
        KIND(rows, ACTIVATION_RELU);                                                                                   \
        KIND(rows, ACTIVATION_SIGMOID);                                                                                \
        KIND(rows, ACTIVATION_ONE_PLUS_ELU);                                                                           \
        KIND(rows, ACTIVATION_TANH);                                                                                   \
        KIND(rows, ACTIVATION_SQUARED_RELU);                                                                           \
        KIND(rows, ACTIVATION_GELU);                                                                                   \
        KIND(rows, ACTIVATION_LOG_1P_RELU);                                                                            \
        KIND(rows, ACTIVATION_EXP_M1);                                                                                 \
    default:                                                                                                           \
        break;                                                                                                         \
    }

KERNEL(activation, ActivationArguments) {
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    WITH_KIND(activation_rows);
}

KERNEL(activation_backward, ActivationBackwardArguments) {
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    WITH_KIND(activation_backward_rows);
}

/* There are only a few columns, one for each head, so rows share a warp. */
KERNEL(sigmoid_gate, ActivationArguments) {
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    EACH_SHORT_ROW (row, first, end, a.cols) {
        const element *x = (const element *)a.x + row * a.x_stride;
        float *y = (float *)a.y + row * a.y_stride;
        VECTORS_OF(x, y);
        WARP_VECTOR(i, a.cols) {
            READ(value, x + i);
            EACH_LANE(e) value[e] = a.factor * sigmoid_f(value[e]);
            WRITE_F32(y + i, value);
        }
    }
}

KERNEL(sigmoid_gate_backward, ActivationBackwardArguments) {
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    EACH_SHORT_ROW (row, first, end, a.cols) {
        const element *x = (const element *)a.x + row * a.x_stride;
        const float *dy = (const float *)a.dy + row * a.dy_stride;
        element *dx = (element *)a.dx + row * a.x_stride;
        VECTORS_OF(x, dy, dx);
        WARP_VECTOR(i, a.cols) {
            READ(value, x + i);
            READ_F32(d, dy + i);
            EACH_LANE(e) d[e] = d[e] * a.factor * sigmoid_derivative_f(value[e]);
            WRITE(dx + i, d);
        }
    }
}

KERNEL(exponential_decay, ActivationArguments) {
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    EACH_ROW (row, first, end) {
        const element *x = (const element *)a.x + row * a.x_stride;
        float *y = (float *)a.y + row * a.y_stride;
        VECTORS_OF(x, y);
        WARP_VECTOR(i, a.cols) {
            READ(value, x + i);
            EACH_LANE(e) value[e] = -exp_f(value[e]);
            WRITE_F32(y + i, value);
        }
    }
}

KERNEL(exponential_decay_backward, ActivationBackwardArguments) {
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    EACH_ROW (row, first, end) {
        const element *x = (const element *)a.x + row * a.x_stride;
        const float *dy = (const float *)a.dy + row * a.dy_stride;
        element *dx = (element *)a.dx + row * a.x_stride;
        VECTORS_OF(x, dy, dx);
        WARP_VECTOR(i, a.cols) {
            READ(value, x + i);
            READ_F32(d, dy + i);
            EACH_LANE(e) d[e] *= -exp_f(value[e]);
            WRITE(dx + i, d);
        }
    }
}
