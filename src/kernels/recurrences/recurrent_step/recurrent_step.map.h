/* One token of the recurrences with a state of outer products; equations in recurrent_step.h. A thread has a column of
 * the state. */
#include "tile/tile.h"
#include "kernels/recurrences/recurrent_step/recurrent_step.h"
#include "tile/rows.h"

/* Where a head's entries begin in the row of its sequence. */
DEVICE const element *head_at(Heads heads, int64_t sequence, int64_t head, int64_t width) {
    return (const element *)heads.data + entry_of_head(heads, width, sequence, head, 0);
}

DEVICE float log_decay_at(const RecurrentStepArguments *a, int64_t sequence, int64_t head, int64_t channel) {
    if (!a->g) return a->log_decay[head];
    return a->g[sequence * a->g_stride + (a->of_channels ? head * a->K + channel : head)];
}

/* Programs: x over columns, y over heads, z over sequences. */
KERNEL(recurrent_step, RecurrentStepArguments) {
    enum { KEYS = RECURRENT_STEP_KEYS, COLS = RECURRENT_STEP_COLS };
    VECTOR(decay, KEYS);
    VECTOR(query, KEYS);
    VECTOR(key, KEYS);
    VECTOR(reader, KEYS);
    VECTOR(eraser, KEYS);
    VECTOR(read, COLS);
    VECTOR(written, COLS);
    VECTOR(sum, COLS);
    const int64_t head = program_y, sequence = program_z, first = program_x * COLS;
    const int64_t cols = a.V - first < COLS ? a.V - first : COLS;
    const int64_t at = (sequence * a.heads + head) * a.K * a.V + first;
    const element *const q = head_at(a.q, sequence, head / a.q_group, a.K);
    const element *const k = head_at(a.k, sequence, head / a.k_group, a.K);
    const element *const v = head_at(a.v, sequence, head / a.v_group, a.V) + first;
    const element *const reads = a.a.data ? head_at(a.a, sequence, head / a.k_group, a.K) : k;
    const element *const erases = a.b.data ? head_at(a.b, sequence, head / a.k_group, a.K) : k;
    const float beta = a.beta ? a.beta[sequence * a.beta_stride + head] : 1.0f;
    const float factor = a.s ? exp_f(a.s[sequence * a.s_stride + head]) : 1.0f;
    const bool by_key = a.erases != ERASES_NOTHING;
    EACH (i, a.K) {
        decay[i] = exp_f(log_decay_at(&a, sequence, head, i));
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
            EACH (j, cols) read[j] += reader[i] * a.state[at + i * a.V + j];
        }
    EACH (j, cols) written[j] = by_key ? beta * (to_float(v[j]) - read[j]) : factor * to_float(v[j]);
    for (int64_t i = 0; i < a.K; i++) {
        EACH (j, cols) {
            const float s = decay[i] * a.state[at + i * a.V + j] + eraser[i] * read[j] + key[i] * written[j];
            a.final[at + i * a.V + j] = s;
            sum[j] += query[i] * s;
        }
    }
    const float skip = a.skip ? to_float(((const element *)a.skip)[head]) : 0.0f;
    element *const o = (element *)a.o.data + entry_of_head(a.o, a.V, sequence, head, first);
    EACH (j, cols) o[j] = to_element(sum[j] + skip * to_float(v[j]));
}
