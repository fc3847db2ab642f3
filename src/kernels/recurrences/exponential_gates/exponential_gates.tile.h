/* The gates of mLSTM (arXiv 2405.04517), stabilised; equations in exponential_gates.h. The running maximum takes three
 * kernels: how each chunk of rows changes the m before it (totals), the m before each chunk (carry), and then the rows.
 * A thread goes down the column of a head. */
#include "tile/tile.h"
#include "kernels/recurrences/exponential_gates/exponential_gates.h"
#include "tile/rows.h"

enum {
    ROWS = EXPONENTIAL_GATES_ROWS,
    HEADS = EXPONENTIAL_GATES_HEADS,
    CARRY_ROWS = 32 /* chunks that the carry takes together */
};
#define LOWEST (-1e30f) /* below all sums of gates, and sums of it are finite */

DEVICE float capped(float x, float cap) { return cap > 0.0f ? soft_cap_f(x, cap) : x; }
DEVICE float capped_derivative(float x, float cap) {
    return cap > 0.0f ? 4.0f * sigmoid_derivative_f(2.0f * x / cap) : 1.0f;
}

DEVICE float input_gate(const ExponentialGatesArguments *a, int64_t row, int64_t head) {
    const float bias = to_float(((const element *)a->input_bias)[head]);
    return capped(to_float(((const element *)a->input)[row * a->input_stride + head]) + bias, a->cap);
}

DEVICE float forget_gate(const ExponentialGatesArguments *a, int64_t row, int64_t head) {
    const float bias = to_float(((const element *)a->forget_bias)[head]);
    return log_sigmoid_f(capped(to_float(((const element *)a->forget)[row * a->forget_stride + head]) + bias, a->cap));
}

/* Loads the gates of a chunk of `count` rows from `row` on: decays (0 past the end) and inputs (LOWEST past the end).
 * begins[i] is 1 if a document begins in row i, not counting the sequence's first row. */
#define LOAD_GATES(decays, inputs, begins)                                                                             \
    const int64_t start = program_y * a.T, row = start + program_x * ROWS;                                             \
    const int64_t count = a.T - program_x * ROWS < ROWS ? a.T - program_x * ROWS : ROWS;                               \
    const int64_t first = program_z * HEADS, heads = a.heads - first < HEADS ? a.heads - first : HEADS;                \
    EACH_PAIR(i, n, ROWS, HEADS) {                                                                                     \
        const bool inside = i < count && n < heads;                                                                    \
        ENTRY(decays, i, n) = inside ? forget_gate(&a, row + i, first + n) : 0.0f;                                     \
        ENTRY(inputs, i, n) = inside ? input_gate(&a, row + i, first + n) : LOWEST;                                    \
    }                                                                                                                  \
    EACH (i, ROWS) {                                                                                                   \
        const bool later = i < count && row + i > start;                                                               \
        begins[i] = later && a.segment[row + i] != a.segment[row + i - 1] ? 1.0f : 0.0f;                               \
    }                                                                                                                  \
    sync()

/* Programs: x over chunks, y over sequences, z over heads. */
KERNEL(exponential_gates_totals, ExponentialGatesArguments) {
    MATRIX(decays, ROWS, HEADS + 1); /* the odd length puts rows into different banks */
    MATRIX(inputs, ROWS, HEADS + 1);
    VECTOR(begins, ROWS);
    LOAD_GATES(decays, inputs, begins);
    const int64_t at = (program_y * a.chunks + program_x) * a.heads + first;
    BLOCK_WALK(
        x, walk == 0 ? 0.0f : LOWEST, walk, 2, n, HEADS, i, ROWS, const bool begin = begins[i] > 0.0f;
        const float f = ENTRY(decays, i, n);
        x = walk == 0 ? (begin ? LOWEST : x + f) : fmaxf(f + (begin ? 0.0f : x), ENTRY(inputs, i, n));
        if (i == ROWS - 1 && n < heads) {
            if (walk == 0)
                a.sum[at + n] = x;
            else
                a.largest[at + n] = x;
        });
}

/* Programs: x over sequences, y over heads. */
KERNEL(exponential_gates_carry, ExponentialGatesArguments) {
    MATRIX(sums, CARRY_ROWS, HEADS);
    MATRIX(largest, CARRY_ROWS, HEADS);
    VECTOR(carried, HEADS);
    const int64_t first = program_y * HEADS, heads = a.heads - first < HEADS ? a.heads - first : HEADS;
    const int64_t sequence = program_x * a.heads + first;
    EACH (n, HEADS) carried[n] = a.initial && n < heads ? a.initial[sequence + n] : 0.0f;
    for (int64_t index = 0; index < a.chunks; index += CARRY_ROWS) {
        const int64_t count = a.chunks - index < CARRY_ROWS ? a.chunks - index : CARRY_ROWS;
        const int64_t at = (program_x * a.chunks + index) * a.heads + first;
        matrix_load(sums, a.sum + at, a.heads, count, heads);
        matrix_load(largest, a.largest + at, a.heads, count, heads);
        sync();
        BLOCK_WALK(m, carried[n], b, 1, n, HEADS, i, count,
                   const float after = fmaxf(ENTRY(sums, i, n) + m, ENTRY(largest, i, n));
                   ENTRY(largest, i, n) = m; m = after; carried[n] = m);
        sync();
        matrix_store(largest, a.largest + at, a.heads, count, heads);
        sync();
    }
    EACH (n, a.final ? heads : 0) a.final[sequence + n] = carried[n];
}

/* Programs: as exponential_gates_totals. */
KERNEL(exponential_gates, ExponentialGatesArguments) {
    MATRIX(decays, ROWS, HEADS + 1);
    MATRIX(inputs, ROWS, HEADS + 1);
    MATRIX(maxima, ROWS, HEADS + 1);
    VECTOR(begins, ROWS);
    LOAD_GATES(decays, inputs, begins);
    const float *before = a.largest + (program_y * a.chunks + program_x) * a.heads + first;
    BLOCK_WALK(m, n < heads ? before[n] : 0.0f, b, 1, n, HEADS, i, ROWS,
               const float kept = ENTRY(decays, i, n) + (begins[i] > 0.0f ? 0.0f : m);
               m = fmaxf(kept, ENTRY(inputs, i, n)); ENTRY(decays, i, n) = kept - m; ENTRY(maxima, i, n) = m);
    sync();
    EACH_PAIR(i, n, ROWS, HEADS) {
        if (i < count && n < heads) {
            const int64_t at = (row + i) * a.stride + first + n;
            a.log_decay[at] = ENTRY(decays, i, n);
            a.log_scale[at] = ENTRY(inputs, i, n) - ENTRY(maxima, i, n);
            a.m[at] = ENTRY(maxima, i, n);
        }
    }
}

/* Computes one token of each sequence, after `initial`. Program: sequence. */
KERNEL(exponential_gates_step, ExponentialGatesArguments) {
    EACH (n, a.heads) {
        const float before = a.initial[program_x * a.heads + n], input = input_gate(&a, program_x, n);
        const float kept = forget_gate(&a, program_x, n) + before, m = fmaxf(kept, input);
        const int64_t at = program_x * a.stride + n;
        a.log_decay[at] = kept - m;
        a.log_scale[at] = input - m;
        a.m[at] = m;
        a.final[program_x * a.heads + n] = m;
    }
}

/* Program: some rows. */
KERNEL(exponential_gates_backward, ExponentialGatesBackwardArguments) {
    COLUMNS(input_sums, 1, WARP_COLS);
    COLUMNS(forget_sums, 1, WARP_COLS);
    const element *input_bias = (const element *)a.input_bias, *forget_bias = (const element *)a.forget_bias;
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    columns_zero(input_sums, WARP_COLS, a.heads);
    columns_zero(forget_sums, WARP_COLS, a.heads);
    EACH_SHORT_ROW (row, first, end, a.heads) {
        const element *input = (const element *)a.input + row * a.input_stride;
        const element *forget = (const element *)a.forget + row * a.forget_stride;
        element *dinput = (element *)a.dinput + row * a.input_stride;
        element *dforget = (element *)a.dforget + row * a.forget_stride;
        const float *dlog_decay = a.dlog_decay + row * a.stride, *dlog_scale = a.dlog_scale + row * a.stride;
        VECTORS_OF(input, forget, input_bias, forget_bias, dinput, dforget, dlog_decay, dlog_scale);
        WARP_VECTOR(i, a.heads) {
            READ(x, input + i);
            READ(x_bias, input_bias + i);
            READ(y, forget + i);
            READ(y_bias, forget_bias + i);
            READ_F32(scale, dlog_scale + i);
            READ_F32(decay, dlog_decay + i);
            EACH_LANE(e) {
                const float f = y[e] + y_bias[e];
                scale[e] *= capped_derivative(x[e] + x_bias[e], a.cap);
                decay[e] *= sigmoid_f(-capped(f, a.cap)) * capped_derivative(f, a.cap);
            }
            ADD_COLUMNS(input_sums, i, scale);
            ADD_COLUMNS(forget_sums, i, decay);
            WRITE(dinput + i, scale);
            WRITE(dforget + i, decay);
        }
    }
    sync();
    float *input_partial = a.partial + 2 * program_x * a.heads, *forget_partial = input_partial + a.heads;
    EACH_VECTOR(i, a.heads) {
        READ_TOTALS(input_total, input_sums, i, a.heads);
        READ_TOTALS(forget_total, forget_sums, i, a.heads);
        WRITE_F32(input_partial + i, input_total);
        WRITE_F32(forget_partial + i, forget_total);
    }
}
