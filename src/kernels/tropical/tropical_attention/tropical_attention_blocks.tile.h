/* Tropical attention on the CPU; equations in tropical_attention.h. Scores and differences are fp32. */
#include "tile/tile.h"
#include "kernels/tropical/choices.h"
#include "kernels/tropical/tropical_attention/tropical_attention.h"

/* score[s] = s_ts for the keys s of a tile, which are given as [columns, keys]. The extremes stay in registers, because
 * loops over them have a constant length. */
DEVICE void scores_of_tile(float *score, const float *q, const float *keys, int stride, int cols) {
    float largest[TROPICAL_TOKENS] __attribute__((aligned(64))), smallest[TROPICAL_TOKENS] __attribute__((aligned(64)));
    EACH (s, TROPICAL_TOKENS) {
        largest[s] = -INFINITY;
        smallest[s] = INFINITY;
    }
    for (int d = 0; d < cols; d++) {
        const float q_d = q[d];
        EACH (s, TROPICAL_TOKENS) {
            const float x = q_d - keys[d * stride + s];
            largest[s] = x > largest[s] ? x : largest[s];
            smallest[s] = x < smallest[s] ? x : smallest[s];
        }
    }
    EACH (s, TROPICAL_TOKENS) score[s] = smallest[s] - largest[s];
}

/* Loads each tile of keys and values, and transposes the keys, once for a block of queries. Program: TROPICAL_QUERIES
 * queries, head, sequence. */
KERNEL(tropical_attention_block, TropicalArguments) {
    MATRIX(keys, TROPICAL_COLS, TROPICAL_TOKENS);
    MATRIX(values, TROPICAL_TOKENS, TROPICAL_COLS);
    VECTOR(q, TROPICAL_COLS);
    VECTOR(score, TROPICAL_TOKENS);
    MATRIX(largest, TROPICAL_QUERIES, TROPICAL_COLS);
    int32_t choice[TROPICAL_QUERIES * TROPICAL_COLS];

    const int cols = (int)a.cols, width = width_of_choices(cols), blocks = (int)blocks_of(a.T, TROPICAL_QUERIES);
    const int t0 = (blocks - 1 - (int)program_x) * TROPICAL_QUERIES; /* the programs with the most keys run first */
    const int t1 = (int)end_of_program(t0, a.T, TROPICAL_QUERIES), end = (int)a.before + t1;
    const int32_t *const position = a.position + program_z * a.T;

    if (ON_GPU) return;
    for (int d = 0; d < cols; d++)
        EACH (s, TROPICAL_TOKENS) ENTRY(keys, d, s) = 0;
    for (int s = 0; s < TROPICAL_TOKENS; s++)
        EACH (d, width) ENTRY(values, s, d) = 0;
    for (int t = t0; t < t1; t++) {
        EACH (d, width) {
            ENTRY(largest, t - t0, d) = -INFINITY;
            choice[(t - t0) * TROPICAL_COLS + d] = (int32_t)a.before + t - position[t];
        }
    }
    for (int s0 = (int)a.before + t0 - position[t0]; s0 < end; s0 += TROPICAL_TOKENS) {
        const int s1 = (int)end_of_program(s0, end, TROPICAL_TOKENS);
        for (int s = s0; s < s1; s++) {
            const element *const k = KEY_ROW(a.k, s), *const v = KEY_ROW(a.v, s);
            for (int d = 0; d < cols; d++) ENTRY(keys, d, s - s0) = to_float(k[d]);
            EACH (d, cols) ENTRY(values, s - s0, d) = to_float(v[d]);
        }
        for (int t = t0; t < t1; t++) {
            const int last = (int)a.before + t, first = last - position[t];
            const int from = first > s0 ? first - s0 : 0, to = last < s1 ? last + 1 - s0 : s1 - s0;
            if (from >= to) continue;
            const element *const row = ROW(a.q, const element, t);
            EACH (d, cols) q[d] = to_float(row[d]);
            scores_of_tile(score, q, keys, keys_stride, cols);
            for (int d = 0; d < cols; d += CHOICE_WIDTH)
                choose_among(&ENTRY(largest, t - t0, d), choice + (t - t0) * TROPICAL_COLS + d, score, values + d,
                             values_stride, from, to, s0);
        }
    }
    for (int t = t0; t < t1; t++) {
        element *const out = ROW(a.out, element, t);
        int32_t *const chosen = ROW(a.choice, int32_t, t);
        EACH (d, cols) {
            out[d] = to_element(ENTRY(largest, t - t0, d));
            chosen[d] = choice[(t - t0) * TROPICAL_COLS + d];
        }
    }
}

/* The first of the largest entries of x, by number. */
DEVICE int first_largest(const float *x, int cols) {
    float largest = -INFINITY, entry = 1.0f - (float)cols;
    MAXIMUM(largest, d, cols, x[d]);
    MAXIMUM(entry, d, cols, x[d] == largest ? -(float)d : -INFINITY);
    return (int)-entry;
}

/* Computes all gradients: the gradient of each column of a query goes to one key. Program: head, sequence. */
KERNEL(tropical_gradients, TropicalArguments) {
    VECTOR(dq, TROPICAL_COLS);
    VECTOR(q_over_k, TROPICAL_COLS);
    VECTOR(k_over_q, TROPICAL_COLS);
    const int cols = (int)a.cols;
    const int64_t of_head = (program_z * a.heads + program_y) * a.T * cols;
    float *const dk = a.sums + of_head, *const dv = dk + a.B * a.heads * a.T * cols;

    if (ON_GPU) return;
    EACH (i, a.T * cols) dk[i] = dv[i] = 0;
    for (int64_t t = 0; t < a.T; t++) {
        const element *const q = ROW(a.q, const element, t), *const dout = ROW(a.dout, const element, t);
        const int32_t *const choice = ROW(a.choice, const int32_t, t);
        int up = 0, down = 0;
        EACH (d, cols) dq[d] = 0;
        for (int d = 0; d < cols; d++) {
            const int64_t j = choice[d];
            const float ds = to_float(dout[d]);
            if (d == 0 || j != choice[d - 1]) {
                const element *const k = ROW(a.k, const element, j);
                EACH (i, cols) {
                    q_over_k[i] = to_float(q[i]) - to_float(k[i]);
                    k_over_q[i] = -q_over_k[i];
                }
                up = first_largest(q_over_k, cols);
                down = first_largest(k_over_q, cols);
            }
            dq[down] += ds;
            dq[up] -= ds;
            dk[j * cols + up] += ds;
            dk[j * cols + down] -= ds;
            dv[j * cols + d] += ds;
        }
        if (!a.dq.data) continue;
        element *const to = ROW(a.dq, element, t);
        EACH (d, cols) to[d] = to_element(dq[d]);
    }
    for (int64_t j = 0; j < a.T; j++) {
        element *const to_k = ROW(a.dk, element, j), *const to_v = ROW(a.dv, element, j);
        EACH (d, cols) {
            if (a.dk.data) to_k[d] = to_element(dk[j * cols + d]);
            if (a.dv.data) to_v[d] = to_element(dv[j * cols + d]);
        }
    }
}
