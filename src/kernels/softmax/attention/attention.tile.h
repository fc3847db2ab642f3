/* Causal softmax attention for heads of up to 32, 64, 128 and 256 columns. */
#define TILE_PRODUCTS_IN_FULL
#include "tile/tile.h"
#include "kernels/softmax/attention/attention.h"

/* Keys or queries that come at a time; the next are on their way in the other of two stages. */
enum { ATTENTION_TILE = ON_GPU ? 32 : 64 };

/* Tokens of one document have one segment number, and numbers never decrease: what query t sees is a range of keys. */
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

/* first_key and last_query of every token, once for all heads. Program: tokens, sequence. */
KERNEL(attention_ranges, AttentionArguments) {
    const int64_t sequence = program_y * a.T, t0 = program_x * ATTENTION_TOKENS;
    const int32_t *segment = a.segment + sequence;
    EACH (i, a.T - t0 < ATTENTION_TOKENS ? a.T - t0 : ATTENTION_TOKENS) {
        a.first_key[sequence + t0 + i] = (int32_t)first_key(segment, a.window, t0 + i);
        a.last_query[sequence + t0 + i] = (int32_t)last_query(segment, a.window, a.T, t0 + i);
    }
}

/* Where the log_sum_exp of query t of a head is, and ATTENTION_TILE further on its delta: tile after tile. */
DEVICE float *row_sums_of(const AttentionArguments *a, int64_t sequence, int64_t head, int64_t t) {
    return a->row_sums + (sequence * a->heads + head) * a->row_sums_of_head + t + t / ATTENTION_TILE * ATTENTION_TILE;
}

/* delta = sum over the head of out * its gradient: what the softmax's backward subtracts. Program: head, tokens,
 * sequence. */
KERNEL(attention_delta, AttentionArguments) {
    const int64_t sequence = program_z * a.T, head = program_x, t0 = program_y * ATTENTION_TOKENS;
    const float *log_sum_exp = a.log_sum_exp + (program_z * a.heads + head) * a.T;
    EACH_SHORT_ROW (t, t0, t0 + ATTENTION_TOKENS, a.head_dim) {
        float *to = row_sums_of(&a, program_z, head, t);
        const bool inside = t < a.T;
        const int64_t row = sequence + (inside ? t : a.T - 1);
        const element *const o = (const element *)a.out.data + entry_of_head(a.out, a.head_dim, row, head, 0);
        const element *const dO =
            (const element *)a.out_gradient.data + entry_of_head(a.out_gradient, a.head_dim, row, head, 0);
        VECTORS_OF(o, dO);
        float delta = 0;
        WARP_SUM_VECTOR(i, a.head_dim, delta) {
            READ(out, o + i);
            READ(gradient, dO + i);
            EACH_LANE(e) delta += out[e] * gradient[e];
        }
        WARP_TOTAL(delta);
        to[0] = inside ? log_sum_exp[t] : 0.0f;
        to[ATTENTION_TILE] = inside ? delta : 0.0f;
    }
}

/* The tokens t0 .. end - 1 of a sequence, which begins at row `sequence`: those of a program. */
typedef struct Block {
    int sequence, t0, end;
} Block;

DEVICE Block block_of(int T, int sequence, int t0, int tokens) {
    const Block block = {sequence * T, t0, t0 + tokens < T ? t0 + tokens : T};
    return block;
}

/* Token i of the block, or the last one past the end. */
DEVICE int token_of(Block block, int i) { return block.t0 + i < block.end ? block.t0 + i : block.end - 1; }

/* The rows of matrices from token t on. */
DEVICE Rows rows_from(Block block, int T, int t) {
    const Rows rows = {block.sequence + t, T - t};
    return rows;
}

/* Keys that some query of a block sees, from `start`, the first one of a tile; from `common` on every query sees those
 * up to itself. */
typedef struct KeyRange {
    int start, common;
} KeyRange;

DEVICE KeyRange keys_of(Block block, const int32_t *first_key) {
    const int start = first_key[block.sequence + block.t0];
    const KeyRange range = {start / ATTENTION_TILE * ATTENTION_TILE, first_key[block.sequence + block.end - 1]};
    return range;
}

/* Scores of the block by a tile of keys from s0 on: -infinity where a query does not see a key. */
#define mask_keys(scores, block, keys, first_key, s0)                                                                  \
    do {                                                                                                               \
        if ((s0) + scores##_cols > (block).t0 + 1 || (s0) < (keys).common) {                                           \
            const int shift_ = (s0) - (block).t0;                                                                      \
            ROW_VALUES(first_, scores##_rows);                                                                         \
            EACH_ROW_VALUE(first_, r, i)                                                                               \
            first_[r] = (float)((first_key)[(block).sequence + token_of(block, i)] - (s0));                            \
            MAP(scores, i, j, x, x = j + shift_ <= i && (float)j >= ROW_VALUE(first_, i) ? x : -INFINITY);             \
        }                                                                                                              \
    } while (0)

/* Queries that see some key of a block are those up to `last`; up to `common` a query sees every key that is not after
 * it. */
typedef struct QueryRange {
    int last, common;
} QueryRange;

DEVICE QueryRange queries_of(Block block, const int32_t *last_query) {
    const QueryRange range = {last_query[block.sequence + block.end - 1], last_query[block.sequence + block.t0]};
    return range;
}

/* Scores of the block by a tile of queries from t0 on: -infinity where a query does not see a key. */
#define mask_queries(scores, block, queries, last_query, first_query)                                                  \
    do {                                                                                                               \
        if ((first_query) + 1 < (block).t0 + scores##_rows || (first_query) + scores##_cols > (queries).common + 1) {  \
            const int shift_ = (first_query) - (block).t0;                                                             \
            ROW_VALUES(last_, scores##_rows);                                                                          \
            EACH_ROW_VALUE(last_, r, i)                                                                                \
            last_[r] = (float)((last_query)[(block).sequence + token_of(block, i)] - (first_query));                   \
            MAP(scores, i, j, x, x = i <= j + shift_ && (float)j <= ROW_VALUE(last_, i) ? x : -INFINITY);              \
        }                                                                                                              \
    } while (0)

/* The next tiles of a walk, of which `rows` are left, become one of the two stages of x and y. */
#define load_stage(x, y, stage, walk, rows)                                                                            \
    do {                                                                                                               \
        TILE_VIEW(x_, x, (stage)*ATTENTION_TILE, 0, ATTENTION_TILE, x##_cols);                                         \
        TILE_VIEW(y_, y, (stage)*ATTENTION_TILE, 0, ATTENTION_TILE, y##_cols);                                         \
        walk_load(x_, y_, walk, rows);                                                                                 \
    } while (0)

DEVICE float larger(float x, float y) { return x > y ? x : y; }

#define LOG2_E 1.44269504f

#define ATTENTION_KERNEL(name) KERNEL(name, AttentionArguments) /* expands name first */

#define HEAD              32
#define attention_forward attention_forward_32
#define attention_queries attention_queries_32
#define attention_keys    attention_keys_32
#include "kernels/softmax/attention/attention_head.h"
#define HEAD              64
#define attention_forward attention_forward_64
#define attention_queries attention_queries_64
#define attention_keys    attention_keys_64
#include "kernels/softmax/attention/attention_head.h"
#define HEAD              128
#define attention_forward attention_forward_128
#define attention_queries attention_queries_128
#define attention_keys    attention_keys_128
#include "kernels/softmax/attention/attention_head.h"
#define HEAD              256
#define attention_forward attention_forward_256
#define attention_queries attention_queries_256
#define attention_keys    attention_keys_256
#include "kernels/softmax/attention/attention_head.h"
