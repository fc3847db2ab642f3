/* One token of the recurrences with a state of outer products; equations in recurrent_step.h. A thread has a column of
 * the state, or (of_rows) a warp has a row. */
#include "tile/tile.h"
#include "kernels/recurrences/recurrent_step/recurrent_step.h"
#include "tile/rows.h"

/* The entries of a head in the row of its sequence. */
DEVICE const element *head_at(Heads heads, int64_t sequence, int64_t head, int64_t width) {
    return (const element *)heads.data + entry_of_head(heads, width, sequence, head, 0);
}

DEVICE float log_decay_at(const RecurrentStepArguments *a, int64_t sequence, int64_t head, int64_t channel) {
    if (!a->g) return a->log_decay[head];
    return a->g[sequence * a->g_stride + (a->of_channels ? head * a->K + channel : head)];
}

/* Programs: x over columns, y over states, z over sequences. */
KERNEL(recurrent_step, RecurrentStepArguments) {
    enum { COLS_K = RECURRENT_STEP_K, COLS = RECURRENT_STEP_COLS };
    VECTOR(decay, COLS_K);
    VECTOR(query, COLS_K);
    VECTOR(key, COLS_K);
    VECTOR(reader, COLS_K);
    VECTOR(eraser, COLS_K);
    VECTOR(read, COLS);
    VECTOR(written, COLS);
    VECTOR(sum, COLS);
    const int64_t head = program_y, sequence = program_z, first = program_x * COLS;
    const int64_t cols = a.V - first < COLS ? a.V - first : COLS, query_head = head / a.q_group * a.queries;
    const int64_t at = (sequence * a.heads + head) * a.K * a.V + first;
    const element *const q = head_at(a.q, sequence, query_head, a.K);
    const bool by_key = a.erases != ERASES_NOTHING;
    for (int64_t step = 0; step < a.steps; step++) {
        const int64_t row = sequence * a.steps + step;
        const float *const state = step == 0 ? a.state : a.final;
        const element *const k = head_at(a.k, row, head / a.k_group, a.K);
        const element *const v = head_at(a.v, row, head / a.v_group, a.V) + first;
        const element *const reads = a.a.data ? head_at(a.a, row, head / a.k_group, a.K) : k;
        const element *const erases = a.b.data ? head_at(a.b, row, head / a.k_group, a.K) : k;
        const float beta = a.beta ? a.beta[row * a.beta_stride + head] : 1.0f;
        const float factor = a.s ? exp_f(a.s[row * a.s_stride + head]) : 1.0f;
        if (step > 0) sync();
        EACH (i, a.K) {
            decay[i] = step == 0 ? exp_f(log_decay_at(&a, sequence, head, i)) : 1.0f;
            query[i] = a.scale * to_float(q[i]);
            key[i] = to_float(k[i]);
            reader[i] = a.erases == ERASES_DECAYED ? decay[i] * key[i] : to_float(reads[i]);
            eraser[i] = a.b.data ? to_float(erases[i]) : 0.0f;
        }
        EACH (j, cols) {
            read[j] = 0;
            sum[j] = 0;
        }
        sync();
        if (by_key || a.a.data)
            for (int64_t i = 0; i < a.K; i++) {
                EACH (j, cols) read[j] += reader[i] * state[at + i * a.V + j];
            }
        EACH (j, cols) written[j] = by_key ? beta * (to_float(v[j]) - read[j]) : factor * to_float(v[j]);
        for (int64_t i = 0; i < a.K; i++) {
            EACH (j, cols) {
                const float s = decay[i] * state[at + i * a.V + j] + eraser[i] * read[j] + key[i] * written[j];
                a.final[at + i * a.V + j] = s;
                sum[j] += query[i] * s;
            }
        }
    }
    const element *const v = head_at(a.v, sequence, head / a.v_group, a.V) + first;
    const float skip = a.skip ? to_float(((const element *)a.skip)[head]) : 0.0f;
    for (int64_t n = 0; n < a.queries; n++) {
        element *const o = (element *)a.o.data + entry_of_head(a.o, a.V, sequence, head * a.queries + n, first);
        EACH (j, cols) {
            o[j] = to_element(sum[j] + (a.skip ? skip * to_float(v[j]) : 0.0f));
            sum[j] = 0;
        }
        if (n + 1 == a.queries) break;
        sync();
        EACH (i, a.K) query[i] = a.scale * to_float(head_at(a.q, sequence, query_head + n + 1, a.K)[i]);
        sync();
        for (int64_t i = 0; i < a.K; i++) {
            EACH (j, cols) sum[j] += query[i] * a.final[at + i * a.V + j];
        }
    }
}

/* Programs: x over rows, y over states, z over sequences. */
KERNEL(recurrent_step_rows, RecurrentStepArguments) {
    const int64_t head = program_y, sequence = program_z, first = program_x * RECURRENT_STEP_ROWS;
    const element *const k = a.k.data ? head_at(a.k, sequence, head / a.k_group, a.K) : NULL;
    const element *const v = head_at(a.v, sequence, head / a.v_group, a.V);
    const float factor = a.s ? exp_f(a.s[sequence * a.s_stride + head]) : 1.0f;
    EACH_SHORT_ROW (i, first, end_of_program(first, a.K, RECURRENT_STEP_ROWS), a.V) {
        const int64_t at = ((sequence * a.heads + head) * a.K + i) * a.V;
        const float *const state = a.state + at;
        float *const final = a.final + at;
        const float decay = exp_f(log_decay_at(&a, sequence, head, i)), key = k ? factor * to_float(k[i]) : factor;
        for (int64_t n = 0; n < a.queries; n++) {
            const int64_t query_head = head / a.q_group * a.queries + n;
            const element *const q = head_at(a.q, sequence, query_head, a.V);
            float sum = 0;
            VECTORS_OF(q, v, state);
            WARP_SUM_VECTOR(j, a.V, sum) {
                READ(x, q + j);
                READ(y, v + j);
                READ_F32(s, state + j);
                EACH_LANE(e) sum += x[e] * (decay * s[e] + key * y[e]);
            }
            WARP_TOTAL(sum);
            const int64_t to = entry_of_head(a.o, a.K, sequence, head * a.queries + n, i);
            WARP_EACH(one, 1) {
                if (a.o_f32)
                    ((float *)a.o.data)[to + one] = a.scale * sum;
                else
                    ((element *)a.o.data)[to + one] = to_element(a.scale * sum);
            }
        }
        VECTORS_OF(v, state, final);
        WARP_VECTOR(j, a.V) {
            READ(y, v + j);
            READ_F32(s, state + j);
            EACH_LANE(e) s[e] = decay * s[e] + key * y[e];
            WRITE_F32(final + j, s);
        }
    }
}
