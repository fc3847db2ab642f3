/* Softmax over the tokens so far, by three kernels: z of each chunk of rows alone (totals), z before each chunk
 * (carry), and then the rows. Equations in running_softmax.h. A thread goes down a column.
 *
 * z is kept as largest + log sum, because s - largest keeps digits that s - z would lose when s is large. With
 * e^z_{t-1} and e^s_t in units of the larger of e^largest and e^s_t, weight_t = e^s_t / (e^z_{t-1} + e^s_t) and g_t =
 * -log(1 + e^s_t / e^z_{t-1}). */
#include "tile/tile.h"
#include "kernels/recurrences/running_softmax/running_softmax.h"
#include "tile/rows.h"

enum {
    ROWS = RUNNING_SOFTMAX_ROWS,
    COLS = RUNNING_SOFTMAX_COLS,
    CARRY_ROWS = 32, /* chunks that the carry takes together */
    HALF = ROWS / 2  /* rows that backward has at a time */
};

/* A sum of e^x as sum e^largest, with sum >= 1. The code selects factors instead of branching, because gcc does not
 * vectorise branches. */
typedef struct LogSum {
    float largest, sum;
} LogSum;

DEVICE LogSum log_sum_join(LogSum z, LogSum y) {
    const float below = exp_f(-fabsf(y.largest - z.largest));
    const bool larger = y.largest > z.largest;
    const float z_factor = larger ? below : 1.0f, y_factor = larger ? 1.0f : below;
    const LogSum result = {larger ? y.largest : z.largest, z.sum * z_factor + y.sum * y_factor};
    return result;
}

DEVICE LogSum log_sum_add(LogSum z, float x) {
    const LogSum y = {x, 1};
    return log_sum_join(z, y);
}

/* y where a document begins, else z. */
DEVICE LogSum log_sum_or_begin(LogSum z, LogSum y, float begins) {
    const bool begin = begins > 0.0f;
    const LogSum result = {begin ? y.largest : z.largest, begin ? y.sum : z.sum};
    return result;
}

/* Whether a row begins a document. With an initial state, the first row of a sequence does not. */
DEVICE bool begins_document(const int32_t *segment, int64_t row, int64_t sequence_start, bool has_initial) {
    return row == sequence_start ? !has_initial : segment[row] != segment[row - 1];
}

DEVICE int64_t rows_of_chunk(int64_t T, int64_t index) { return T - index * ROWS < ROWS ? T - index * ROWS : ROWS; }

/* Programs: x over columns, y over chunks, z over sequences. */
KERNEL(running_softmax_totals, RunningSoftmaxArguments) {
    TILE(s, ROWS, COLS);
    VECTOR(begins, ROWS);
    VECTOR(largest, COLS);
    VECTOR(total, COLS);
    const int64_t first = program_x * COLS, cols = a.cols - first < COLS ? a.cols - first : COLS;
    const int64_t start = program_z * a.T, row = start + program_y * ROWS, count = rows_of_chunk(a.T, program_y);
    tile_load(s, (const element *)a.s + row * a.s_stride + first, a.s_stride, count, cols);
    EACH (i, count) begins[i] = i == 0 || begins_document(a.segment, row + i, start, false) ? 1.0f : 0.0f;
    EACH (j, COLS) largest[j] = 0;
    sync();
    BLOCK_WALK(sum, 1.0f, b, 1, j, COLS, i, count, const float x = AT(s, i, j);
               const LogSum before = {largest[j], sum}, begun = {x, 1};
               const LogSum z = log_sum_or_begin(log_sum_add(before, x), begun, begins[i]); sum = z.sum;
               largest[j] = z.largest; total[j] = sum);
    sync();
    const int64_t at = (program_z * a.chunks + program_y) * a.cols + first;
    EACH (j, cols) {
        a.largest[at + j] = largest[j];
        a.sum[at + j] = total[j];
    }
}

/* Programs: x over columns, y over sequences. */
KERNEL(running_softmax_carry, RunningSoftmaxArguments) {
    MATRIX(tops, CARRY_ROWS, COLS);
    MATRIX(sums, CARRY_ROWS, COLS);
    VECTOR(begins, CARRY_ROWS); /* whether the chunk's last document begins in the chunk */
    VECTOR(largest, COLS);
    VECTOR(total, COLS);
    const int64_t first = program_x * COLS, cols = a.cols - first < COLS ? a.cols - first : COLS;
    const int64_t start = program_y * a.T;
    EACH (j, COLS) {
        largest[j] = a.initial && j < cols ? a.initial[program_y * a.initial_stride + first + j] : 0.0f;
        total[j] = 1;
    }
    for (int64_t index = 0; index < a.chunks; index += CARRY_ROWS) {
        const int64_t count = a.chunks - index < CARRY_ROWS ? a.chunks - index : CARRY_ROWS;
        const int64_t at = (program_y * a.chunks + index) * a.cols + first;
        matrix_load(tops, a.largest + at, a.cols, count, cols);
        matrix_load(sums, a.sum + at, a.cols, count, cols);
        EACH (i, count) {
            const int64_t row = start + (index + i) * ROWS, last = row + rows_of_chunk(a.T, index + i) - 1;
            const int32_t before = a.segment[row > start ? row - 1 : row];
            begins[i] = (row > start || a.initial) && before == a.segment[last] ? 0.0f : 1.0f;
        }
        sync();
        BLOCK_WALK(sum, total[j], b, 1, j, COLS, i, count, const LogSum before = {largest[j], sum},
                   chunk = {ENTRY(tops, i, j), ENTRY(sums, i, j)};
                   const LogSum z = log_sum_or_begin(log_sum_join(before, chunk), chunk, begins[i]);
                   ENTRY(tops, i, j) = before.largest; ENTRY(sums, i, j) = sum; sum = z.sum; largest[j] = z.largest;
                   total[j] = sum);
        sync();
        matrix_store(tops, a.largest + at, a.cols, count, cols);
        matrix_store(sums, a.sum + at, a.cols, count, cols);
        sync();
    }
    if (a.final)
        EACH (j, cols) a.final[program_y * a.cols + first + j] = largest[j] + log_f(total[j]);
}

/* e^z before a token (old) and e^s of the token itself (own), in units of the larger of e^largest and e^s. `old` is a
 * divisor and never 0: if s is too far above for the exponential, the rest of the distance is in `beyond`. */
typedef struct Token {
    float old, own, beyond;
} Token;

DEVICE Token token_after(LogSum z, float x) {
    const float farthest = 80.0f, distance = x - z.largest;
    const bool larger = x > z.largest, far = distance > farthest;
    const float below = exp_f(-fabsf(far ? farthest : distance));
    const Token token = {larger ? z.sum * below : z.sum, larger ? 1.0f : below, far ? distance - farthest : 0.0f};
    return token;
}

/* Programs: as running_softmax_totals. */
KERNEL(running_softmax, RunningSoftmaxArguments) {
    TILE(s, ROWS, COLS);
    VECTOR(begins, ROWS);
    VECTOR(largest, COLS);
    const int64_t first = program_x * COLS;
    const int cols = a.cols - first < COLS ? (int)(a.cols - first) : COLS;
    const int64_t start = program_z * a.T, row = start + program_y * ROWS, count = rows_of_chunk(a.T, program_y);
    const int64_t at = (program_z * a.chunks + program_y) * a.cols + first;
    element *weights = (element *)a.weight + row * a.weight_stride + first;
    float *gates = a.g + row * a.g_stride + first;
    tile_load(s, (const element *)a.s + row * a.s_stride + first, a.s_stride, count, cols);
    EACH (i, count) begins[i] = begins_document(a.segment, row + i, start, a.initial != NULL) ? 1.0f : 0.0f;
    EACH (j, COLS) largest[j] = j < cols ? a.largest[at + j] : 0.0f;
    sync();
    BLOCK_WALK(
        sum, j < cols ? a.sum[at + j] : 1.0f, b, 1, j, COLS, i, count, const float x = AT(s, i, j);
        const LogSum before = {largest[j], sum}, begun = {x, 1}; const Token token = token_after(before, x);
        const LogSum after = {x > before.largest ? x : before.largest, token.old + token.own};
        const LogSum z = log_sum_or_begin(after, begun, begins[i]);
        const float goes_on = before.largest > RUNNING_SOFTMAX_NOTHING ? 1.0f - begins[i] : 0.0f;
        const float weight = 1.0f - goes_on + goes_on * divide_f(token.own, after.sum);
        const float gate = -goes_on * (log1p_any_f(divide_f(token.own, token.old)) + token.beyond); sum = z.sum;
        largest[j] = z.largest; if (j < cols) {
            weights[i * a.weight_stride + j] = to_element(weight);
            gates[i * a.g_stride + j] = gate;
        });
}

/* Loads the rows [from, from + count) of the chunk that begins at `row`. stays[i] is 0 where a document begins, else
 * 1. */
#define LOAD_HALF(from, count)                                                                                         \
    do {                                                                                                               \
        const int64_t row_ = row + (from);                                                                             \
        tile_load(weight, (const element *)a.weight + row_ * a.weight_stride + first, a.weight_stride, count, cols);   \
        tile_load(dweight, (const element *)a.dweight + row_ * a.weight_stride + first, a.weight_stride, count, cols); \
        matrix_load(g, a.g + row_ * a.g_stride + first, a.g_stride, count, cols);                                      \
        matrix_load(dg, a.dg + row_ * a.g_stride + first, a.g_stride, count, cols);                                    \
        EACH (i, count) stays[i] = begins_document(a.segment, row_ + i, start, a.has_initial) ? 0.0f : 1.0f;           \
    } while (0)

/* z' for the token before, from z' for this token. */
DEVICE float gradient_before(float dz, float decay, float weight, float dweight, float dg, float stays) {
    return stays * (decay * dz + weight * (dg - decay * dweight));
}

/* Programs: as running_softmax_totals. */
KERNEL(running_softmax_backward_totals, RunningSoftmaxBackwardArguments) {
    TILE(weight, HALF, COLS);
    TILE(dweight, HALF, COLS);
    MATRIX(g, HALF, COLS);
    MATRIX(dg, HALF, COLS);
    VECTOR(stays, HALF);
    VECTOR(factor, COLS);
    VECTOR(term, COLS);
    const int64_t first = program_x * COLS, cols = a.cols - first < COLS ? a.cols - first : COLS;
    const int64_t start = program_z * a.T, row = start + program_y * ROWS, rows = rows_of_chunk(a.T, program_y);
    EACH (j, COLS) {
        factor[j] = 1;
        term[j] = 0;
    }
    for (int64_t from = rows > HALF ? HALF : 0; from >= 0; from -= HALF) {
        const int64_t count = rows - from < HALF ? rows - from : HALF;
        LOAD_HALF(from, count);
        sync();
        BLOCK_WALK(dz, term[j], b, 1, j, COLS, up, count, const int64_t i = count - 1 - up;
                   const float decay = exp_f(ENTRY(g, i, j));
                   dz = gradient_before(dz, decay, AT(weight, i, j), AT(dweight, i, j), ENTRY(dg, i, j), stays[i]);
                   factor[j] *= stays[i] * decay; term[j] = dz);
        sync();
    }
    const int64_t at = (program_z * a.chunks + program_y) * a.cols + first;
    EACH (j, cols) {
        a.factor[at + j] = factor[j];
        a.term[at + j] = term[j];
    }
}

/* Programs: x over columns, y over sequences. */
KERNEL(running_softmax_backward_carry, RunningSoftmaxBackwardArguments) {
    MATRIX(factors, CARRY_ROWS, COLS);
    MATRIX(terms, CARRY_ROWS, COLS);
    VECTOR(carried, COLS);
    const int64_t first = program_x * COLS, cols = a.cols - first < COLS ? a.cols - first : COLS;
    EACH (j, COLS) carried[j] = a.dfinal && j < cols ? a.dfinal[program_y * a.cols + first + j] : 0.0f;
    for (int64_t end = a.chunks; end > 0; end -= CARRY_ROWS) {
        const int64_t index = end > CARRY_ROWS ? end - CARRY_ROWS : 0, count = end - index;
        const int64_t at = (program_y * a.chunks + index) * a.cols + first;
        matrix_load(factors, a.factor + at, a.cols, count, cols);
        matrix_load(terms, a.term + at, a.cols, count, cols);
        sync();
        BLOCK_WALK(dz, carried[j], b, 1, j, COLS, up, count, const int64_t i = count - 1 - up;
                   const float before = ENTRY(factors, i, j) * dz + ENTRY(terms, i, j); ENTRY(terms, i, j) = dz;
                   dz = before; carried[j] = dz);
        sync();
        matrix_store(terms, a.term + at, a.cols, count, cols);
        sync();
    }
    if (a.dinitial)
        EACH (j, cols) a.dinitial[program_y * a.initial_stride + first + j] = carried[j];
}

/* Programs: as running_softmax_totals. */
KERNEL(running_softmax_backward, RunningSoftmaxBackwardArguments) {
    TILE(weight, HALF, COLS);
    TILE(dweight, HALF, COLS);
    MATRIX(g, HALF, COLS);
    MATRIX(dg, HALF, COLS);
    VECTOR(stays, HALF);
    VECTOR(carried, COLS);
    const int64_t first = program_x * COLS, cols = a.cols - first < COLS ? a.cols - first : COLS;
    const int64_t start = program_z * a.T, row = start + program_y * ROWS, rows = rows_of_chunk(a.T, program_y);
    const int64_t at = (program_z * a.chunks + program_y) * a.cols + first;
    EACH (j, COLS) carried[j] = j < cols ? a.term[at + j] : 0.0f;
    for (int64_t from = rows > HALF ? HALF : 0; from >= 0; from -= HALF) {
        const int64_t count = rows - from < HALF ? rows - from : HALF;
        element *ds = (element *)a.ds + (row + from) * a.s_stride + first;
        LOAD_HALF(from, count);
        sync();
        BLOCK_WALK(dz, carried[j], b, 1, j, COLS, up, count, const int64_t i = count - 1 - up;
                   const float decay = exp_f(ENTRY(g, i, j)), w = AT(weight, i, j), dw = AT(dweight, i, j);
                   const float own = w * (dz + stays[i] * (decay * dw - ENTRY(dg, i, j)));
                   dz = gradient_before(dz, decay, w, dw, ENTRY(dg, i, j), stays[i]); carried[j] = dz;
                   if (j < cols) ds[i * a.s_stride + j] = to_element(own));
        sync();
    }
}
