/* On a CPU each program sums the gradients of keys and values over its part of the queries; this header has these sums
 * and their totals over the parts. The sums of gradient `of` and part `part` are [rows, cols], with the columns of all
 * key heads. Included by kernel files. */
#ifndef FLAME_KERNELS_SOFTMAX_KEY_SUMS_H
#define FLAME_KERNELS_SOFTMAX_KEY_SUMS_H

#include "tile/rows.h"

typedef struct KeySums {
    float *partial; /* [gradients, parts, rows, cols] */
    int64_t parts, rows, cols;
} KeySums;

DEVICE Heads part_of_sums(KeySums sums, int64_t of, int64_t part) {
    const Heads heads = {sums.partial + (of * sums.parts + part) * sums.rows * sums.cols, sums.cols};
    return heads;
}

/* Sets the sums of `count` rows of a key head to 0. */
DEVICE void zero_sums(Heads sums, int64_t head_dim, int64_t first, int64_t count, int64_t kv_head) {
    for (int64_t row = first; row < first + count; row++) {
        float *const to = (float *)sums.data + entry_of_head(sums, head_dim, row, kv_head, 0);
        EACH (i, head_dim) to[i] = 0;
    }
}

/* Sets row `row` of the gradient `to` to its total over the parts times `scale`. Does nothing if `to` has no data. */
DEVICE void total_of_parts(KeySums sums, int64_t of, int64_t row, float scale, Heads to) {
    const float *const from = (const float *)part_of_sums(sums, of, 0).data + row * sums.cols;
    element *const gradient = (element *)to.data + row * to.stride;
    if (!to.data) return;
    VECTORS_OF(from, sums.cols * sizeof(float), gradient);
    EACH_VECTOR(i, sums.cols) {
        float sum[VECTOR] = {0};
        for (int64_t part = 0; part < sums.parts; part++) {
            READ_F32(x, from + part * sums.rows * sums.cols + i);
            EACH_LANE(e) sum[e] += x[e];
        }
        EACH_LANE(e) sum[e] *= scale;
        WRITE(gradient + i, sum);
    }
}

#endif
