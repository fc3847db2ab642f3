/* Causal softmax attention for heads of up to 32, 64, 128 and 256 columns. */
#define TILE_PRODUCTS_IN_FULL
#include "tile/tile.h"
#include "kernels/softmax/attention/attention.h"
#include "kernels/softmax/attention/attention_tiles.h"
#include "kernels/softmax/row_products.h"

/* The first key that query t sees. All tokens of a document have the same segment number, and the numbers never
 * decrease, so what a query sees is a range of keys. */
DEVICE int64_t first_key(const int32_t *segment, int64_t window, int64_t t) {
    int64_t low = t - window + 1 > 0 ? t - window + 1 : 0, high = t;
    while (segment[low] != segment[t]) {
        const int64_t middle = (low + high) / 2;
        if (segment[middle] == segment[t])
            high = middle;
        else
            low = middle;
        if (low + 1 >= high) low = high;
    }
    return low;
}

/* The last query that sees key t. */
DEVICE int64_t last_query(const int32_t *segment, int64_t window, int64_t T, int64_t t) {
    int64_t low = t, high = t + window < T ? t + window - 1 : T - 1;
    while (segment[high] != segment[t]) {
        const int64_t middle = (low + high) / 2;
        if (segment[middle] == segment[t])
            low = middle;
        else
            high = middle;
        if (low + 1 >= high) high = low;
    }
    return high;
}

/* Computes first_key and last_query of every token, for all heads. Program: tokens, sequence. */
KERNEL(attention_ranges, AttentionArguments) {
    const int64_t sequence = program_y * a.T, t0 = program_x * ATTENTION_TOKENS;
    const int32_t *segment = a.segment + sequence;
    EACH (i, a.T - t0 < ATTENTION_TOKENS ? a.T - t0 : ATTENTION_TOKENS) {
        a.first_key[sequence + t0 + i] = (int32_t)first_key(segment, a.window, t0 + i);
        a.last_query[sequence + t0 + i] = (int32_t)last_query(segment, a.window, a.T, t0 + i);
    }
}

/* delta = the sum over the head's columns of out * its gradient, which the softmax's backward subtracts. It is stored
 * with log_sum_exp; with gates, with log_sum_exp - c_t, where c counts from the start of the tile. Program: head,
 * tokens, sequence. */
KERNEL(attention_delta, AttentionArguments) {
    const int64_t sequence = program_z * a.T, head = program_x, t0 = program_y * ATTENTION_TOKENS;
    const float *log_sum_exp = a.log_sum_exp + (program_z * a.heads + head) * a.T;
    EACH_SHORT_ROW (t, t0, t0 + ATTENTION_TOKENS, a.head_dim) {
        float *to = row_sums_of(&a, program_z, head, t);
        const bool inside = t < a.T;
        const int64_t row = sequence + (inside ? t : a.T - 1);
        const element *const out = (const element *)a.out.data + entry_of_head(a.out, a.head_dim, row, head, 0);
        const element *const dout = (const element *)a.dout.data + entry_of_head(a.dout, a.head_dim, row, head, 0);
        float delta;
        row_times_row(delta, out, dout, a.head_dim);
        const float *const decay = sums_of_tile(a.decay + (program_z * a.heads + head) * a.decay_of_head, (int)t);
        const float row_sum = inside ? log_sum_exp[t] : 0.0f;
        to[0] = a.decay ? row_sum - decay[t % ATTENTION_TILE] * (a.scale * LOG2_E) : row_sum;
        to[ATTENTION_TILE] = inside ? delta : 0.0f;
    }
}

/* Adds up dq, and with gates gradient_of_query, over the parts of the keys. Program: tokens, head, sequence. */
KERNEL(attention_query_sums, AttentionArguments) {
    const int64_t t0 = program_x * ATTENTION_TOKENS, rest = a.T - t0;
    const int64_t tokens = rest < ATTENTION_TOKENS ? rest : ATTENTION_TOKENS;
    const int64_t of_part = a.sequences * a.heads * a.T * a.head_dim;
    const float *const sums = query_sums_of(&a, 0, program_z, program_y) + t0 * a.head_dim;
    EACH_SHORT_ROW (t, 0, a.dq.data ? tokens : 0, a.head_dim) {
        const int64_t row = program_z * a.T + t0 + t;
        element *const to = (element *)a.dq.data + entry_of_head(a.dq, a.head_dim, row, program_y, 0);
        VECTORS_OF(sums, to, a.head_dim * sizeof(element));
        WARP_VECTOR(i, a.head_dim) {
            float dq[VECTOR] = {0};
            for (int64_t part = 0; part < a.parts; part++) {
                READ_F32(of_these, sums + part * of_part + t * a.head_dim + i);
                EACH_LANE(e) dq[e] += of_these[e];
            }
            EACH_LANE(e) dq[e] *= a.scale;
            WRITE(to + i, dq);
        }
    }
    EACH (i, a.gradient_of_query ? tokens : 0) {
        float *const dc = gradient_of_query_of(&a, 0, program_z, program_y) + t0 + i;
        for (int64_t part = 1; part < a.parts; part++) *dc += dc[part * a.sequences * a.heads * a.tokens];
    }
}

#define GATES                  0
#define ATTENTION_KERNEL(name) SIZED_KERNEL(name, HEAD, AttentionArguments)

#define HEAD 32
#include "kernels/softmax/attention/attention_head.h"
#define HEAD 64
#include "kernels/softmax/attention/attention_head.h"
#define HEAD 128
#include "kernels/softmax/attention/attention_head.h"
#define HEAD 256
#include "kernels/softmax/attention/attention_head.h"
