/* simplicial_attention of single tokens; equations in simplicial_head.h. For each second key, the products q * k2 are
 * the query of an ordinary attention to the first keys. */
#include "tile/tile.h"
#include "kernels/softmax/simplicial_attention/simplicial_step.h"
#include "kernels/softmax/row_products.h"
#include "kernels/softmax/single_query.h"

enum { KEYS = SIMPLICIAL_STEP_KEYS, HEAD = SIMPLICIAL_STEP_HEAD };

/* The columns of a head in the row of the token `back` tokens before the new one. */
DEVICE const element *row_before(const SimplicialStepArguments *a, Heads rows, PastRows ring, int64_t sequence,
                                 int64_t back, int64_t head) {
    if (back == 0) return (const element *)rows.data + entry_of_head(rows, a->head_dim, sequence, head, 0);
    return (const element *)ring.data + (past_row(ring, sequence, a->tokens - back) * a->kv_heads + head) * a->head_dim;
}

/* Programs: x over sequences, y over heads. */
KERNEL(simplicial_step, SimplicialStepArguments) {
    VECTOR(query, HEAD);
    VECTOR(products, HEAD); /* q * k2 */
    VECTOR(of_second, HEAD);
    VECTOR(sums, HEAD);
    VECTOR(scores, KEYS);
    VECTOR(weights, KEYS);
    const int64_t sequence = program_x, kv_head = program_y / (a.heads / a.kv_heads), D = a.head_dim;
    const int64_t seen = lesser_index(a.position[sequence], a.past) + 1;
    const int64_t seen1 = lesser_index(seen, a.window1), seen2 = lesser_index(seen, a.window2);
    const element *const q = (const element *)a.q.data + entry_of_head(a.q, D, sequence, program_y, 0);
    float largest = -1e30f, total = 0;
    EACH (i, D) {
        query[i] = to_float(q[i]) * a.scale;
        sums[i] = 0;
    }
    for (int64_t second = 0; second < seen2; second++) {
        const element *const k2 = row_before(&a, a.k2, a.past_k2, sequence, second, kv_head);
        const element *const v2 = row_before(&a, a.v2, a.past_v2, sequence, second, kv_head);
        EACH (i, D) {
            products[i] = query[i] * (to_float(k2[i]) + a.k2_bias);
            of_second[i] = 0;
        }
        sync();
        for (int64_t first = 0; first < seen1; first += KEYS) {
            const int64_t count = lesser_index(seen1 - first, KEYS);
            EACH_SHORT_ROW (j, 0, count, D) {
                const element *const k1 = row_before(&a, a.k1, a.past_k1, sequence, first + j, kv_head);
                float score;
                row_times_vector(score, READ, k1, products, D);
                WARP_EACH(one, 1) scores[j + one] = score;
            }
            sync();
            float kept;
            query_weights(weights, scores, count, 1.0f, largest, total, kept);
            EACH (i, D) {
                sums[i] *= kept;
                of_second[i] *= kept;
            }
            for (int64_t j = 0; j < count; j++) {
                const element *const v1 = row_before(&a, a.v1, a.past_v1, sequence, first + j, kv_head);
                EACH (i, D) of_second[i] += weights[j] * to_float(v1[i]);
            }
            sync();
        }
        EACH (i, D) sums[i] += of_second[i] * (to_float(v2[i]) + a.v2_bias);
    }
    element *const out = (element *)a.out.data + entry_of_head(a.out, D, sequence, program_y, 0);
    EACH (i, D) out[i] = to_element(sums[i] / total);
}
