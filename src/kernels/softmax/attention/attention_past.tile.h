/* Softmax attention of single tokens to all tokens before them, for generation of one token at a time. Keys are read
 * from the newest to the oldest, so that the gates between a key and the token are summed along the way. */
#include "tile/tile.h"
#include "kernels/softmax/attention/attention_past.h"
#include "kernels/softmax/row_products.h"
#include "kernels/softmax/single_query.h"

/* The offset in the ring of a head of the token `back` tokens before the t-th new one of its sequence. */
DEVICE int64_t entry_in_ring(const AttentionPastArguments *a, PastRows ring, int64_t sequence, int64_t t, int64_t back,
                             int64_t head) {
    return (past_row(ring, sequence, a->tokens + t - back) * a->kv_heads + head) * a->head_dim;
}

/* The columns of a head in the row of that token. */
DEVICE const element *row_before(const AttentionPastArguments *a, Heads rows, PastRows ring, int64_t sequence,
                                 int64_t t, int64_t back, int64_t head) {
    if (back <= t)
        return (const element *)rows.data + entry_of_head(rows, a->head_dim, sequence * a->T + t - back, head, 0);
    return (const element *)ring.data + entry_in_ring(a, ring, sequence, t, back, head);
}

DEVICE float gate_before(const AttentionPastArguments *a, int64_t sequence, int64_t t, int64_t back, int64_t head) {
    if (back <= t) return a->g[(sequence * a->T + t - back) * a->g_stride + head];
    return ((const float *)a->past_g.data)[past_row(a->past_g, sequence, a->tokens + t - back) * a->heads + head];
}

/* scores[j] = the product of the query and the key k. */
#define SCORE(read, k)                                                                                                 \
    do {                                                                                                               \
        float score_;                                                                                                  \
        row_times_vector(score_, read, k, query, a.head_dim);                                                          \
        WARP_EACH(first_, 1) scores[j + first_] = score_;                                                              \
    } while (0)

KERNEL(attention_past, AttentionPastArguments) {
    VECTOR(query, PAST_HEAD);
    VECTOR(sums, PAST_HEAD);
    VECTOR(scores, PAST_KEYS);
    VECTOR(weights, PAST_KEYS);
    VECTOR(gates, PAST_KEYS);
    const int64_t sequence = program_x / a.T, t = program_x % a.T, kv_head = program_y / (a.heads / a.kv_heads);
    const int64_t in_document = a.position[program_x] + 1, there = a.past + t + 1;
    const int64_t in_window = in_document < a.window ? in_document : a.window;
    const int64_t own = a.strict ? 1 : 0, seen = (there < in_window ? there : in_window) - own;
    const element *const q = (const element *)a.q.data + entry_of_head(a.q, a.head_dim, program_x, program_y, 0);
    float largest = -1e30f, total = 0, decay = 0; /* decay: the gates after the block's newest key */
    EACH (i, a.head_dim) {
        query[i] = to_float(q[i]) * a.scale;
        sums[i] = 0;
    }
    sync();
    for (int64_t newest = 0; newest < seen; newest += PAST_KEYS) {
        const int64_t count = seen - newest < PAST_KEYS ? seen - newest : PAST_KEYS;
        if (a.keys_in_ring)
            EACH_SHORT_ROW (j, 0, count, a.head_dim) {
                const float *const k =
                    (const float *)a.past_k.data + entry_in_ring(&a, a.past_k, sequence, t, newest + j, kv_head);
                SCORE(READ_F32, k);
            }
        else
            EACH_SHORT_ROW (j, 0, count, a.head_dim) {
                const element *const k = row_before(&a, a.k, a.past_k, sequence, t, own + newest + j, kv_head);
                SCORE(READ, k);
            }
        EACH (j, a.g ? count : 0) gates[j] = a.gate_scale * gate_before(&a, sequence, t, newest + j, program_y);
        sync();
        if (a.g) {
            EACH (j, count) {
                float after = decay;
                for (int64_t between = 0; between < j; between++) after += gates[between];
                scores[j] += after;
            }
            SUM(decay, j, count, gates[j]);
            sync();
        }
        float kept;
        query_weights(weights, scores, count, 1.0f, largest, total, kept);
        EACH (i, a.head_dim) sums[i] *= kept;
        for (int64_t j = 0; j < count; j++) {
            const element *const v = row_before(&a, a.v, a.past_v, sequence, t, own + newest + j, kv_head);
            EACH (i, a.head_dim) sums[i] += weights[j] * to_float(v[i]);
        }
        sync();
    }
    element *const out = (element *)a.out.data + entry_of_head(a.out, a.head_dim, program_x, program_y, 0);
    const float factor = total > 0.0f ? 1.0f / total : 0.0f;
    if (a.from.data) {
        const element *const from =
            (const element *)a.from.data + entry_of_head(a.from, a.head_dim, program_x, program_y, 0);
        const float beta = to_float(((const element *)a.beta)[program_x * a.beta_stride + program_y]);
        EACH (i, a.head_dim) out[i] = to_element(to_float(from[i]) - beta * factor * sums[i]);
    } else {
        EACH (i, a.head_dim) out[i] = to_element(factor * sums[i]);
    }
}
