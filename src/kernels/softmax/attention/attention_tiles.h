/* What kernels of softmax attention are made of: blocks of queries by tiles of keys, or of keys by tiles of queries,
 * their masks, and the decay between tokens. Included after attention.h. */
#ifndef FLAME_KERNELS_SOFTMAX_ATTENTION_ATTENTION_TILES_H
#define FLAME_KERNELS_SOFTMAX_ATTENTION_ATTENTION_TILES_H

#include "kernels/softmax/online_softmax.h"

/* A file that defines ATTENTION_STRICT as 1 has queries that do not see their own token. */
#ifndef ATTENTION_STRICT
#define ATTENTION_STRICT 0
#endif

/* Keys or queries that come at a time; the next are on their way in the other of two stages. */
enum { ATTENTION_TILE = ON_GPU ? 32 : 64 };

/* The tokens t0 .. end - 1 of a sequence, which begins at row `sequence`: those of a program. */
typedef struct Block {
    int sequence, t0, end;
} Block;

DEVICE Block block_of(int T, int sequence, int t0, int tokens) {
    const Block block = {sequence * T, t0, t0 + tokens < T ? t0 + tokens : T};
    return block;
}

/* Its tokens from number b * rows on. */
DEVICE Block band_of_block(Block block, int b, int rows) {
    const int t0 = block.t0 + b * rows;
    const Block band = {block.sequence, t0, t0 + rows < block.end ? t0 + rows : block.end};
    return band;
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
        if ((s0) + ATTENTION_STRICT + scores##_cols > (block).t0 + 1 || (s0) < (keys).common) {                        \
            const int shift_ = (s0) + ATTENTION_STRICT - (block).t0;                                                   \
            ROW_VALUES(first_, scores##_rows);                                                                         \
            EACH_ROW_VALUE(first_, r, i)                                                                               \
            first_[r] = (float)((first_key)[(block).sequence + token_of(block, i)] - (s0));                            \
            MAP(scores, i, j, x, x = (j + shift_ <= i) & ((float)j >= ROW_VALUE(first_, i)) ? x : -INFINITY);          \
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
        if ((first_query) + 1 < (block).t0 + ATTENTION_STRICT + scores##_rows ||                                       \
            (first_query) + scores##_cols > (queries).common + 1) {                                                    \
            const int shift_ = (first_query)-ATTENTION_STRICT - (block).t0;                                            \
            ROW_VALUES(last_, scores##_rows);                                                                          \
            EACH_ROW_VALUE(last_, r, i)                                                                                \
            last_[r] = (float)((last_query)[(block).sequence + token_of(block, i)] - (first_query));                   \
            MAP(scores, i, j, x, x = (i <= j + shift_) & ((float)j <= ROW_VALUE(last_, i)) ? x : -INFINITY);           \
        }                                                                                                              \
    } while (0)

/* The next tiles of a walk, of which `rows` are left, become one of the two stages of x and y. */
#define load_stage(x, y, stage, walk, rows)                                                                            \
    do {                                                                                                               \
        TILE_VIEW(x_, x, (stage)*ATTENTION_TILE, 0, ATTENTION_TILE, x##_cols);                                         \
        TILE_VIEW(y_, y, (stage)*ATTENTION_TILE, 0, ATTENTION_TILE, y##_cols);                                         \
        walk_load(x_, y_, walk, rows);                                                                                 \
    } while (0)

/* Where the log_sum_exp of query t of a head is, and ATTENTION_TILE further on its delta: tile after tile. */
DEVICE float *row_sums_of(const AttentionArguments *a, int64_t sequence, int64_t head, int64_t t) {
    return a->row_sums + (sequence * a->heads + head) * a->row_sums_of_head + t + t / ATTENTION_TILE * ATTENTION_TILE;
}

/* Where a part's sums of dq / scale are for a head, and those of dc. */
DEVICE int64_t head_of_part(const AttentionArguments *a, int64_t part, int64_t sequence, int64_t head) {
    return (part * a->sequences + sequence) * a->heads + head;
}
DEVICE float *query_sums_of(const AttentionArguments *a, int64_t part, int64_t sequence, int64_t head) {
    return a->query_sums + head_of_part(a, part, sequence, head) * a->T * a->head_dim;
}
DEVICE float *gradient_of_query_of(const AttentionArguments *a, int64_t part, int64_t sequence, int64_t head) {
    return a->gradient_of_query + head_of_part(a, part, sequence, head) * a->tokens;
}

/* Where the running sums of a tile begin: RunningSumsArguments. */
DEVICE const float *sums_of_tile(const float *sums, int t) {
    return sums + t / ATTENTION_TILE * (ATTENTION_TILE + SUMS_BEFORE);
}

/* What the log gates take from the scores of a head. With the running sum c_t of them, s_ij = scale q_i k_j + c_i -
 * c_j, and a softmax needs c only up to a number for each query. Kernels therefore reckon from c at the start of the
 * block that is theirs, the reference: near to it, where scores count, differences are small, and their error does not
 * grow with the length of the sequence. All in units of scores before they are scaled. */
typedef struct Decay {
    const float *sums;
    float reference, rest;
} Decay;

DEVICE Decay decay_from(const AttentionArguments *a, int64_t sequence, int64_t head, int t0) {
    const float *const sums = a->decay + (sequence * a->heads + head) * a->decay_of_head;
    const float *const before = sums_of_tile(sums, t0) + ATTENTION_TILE;
    const Decay decay = {sums, before[0], before[1]};
    return decay;
}

/* c before a tile, and c_t, from the reference on; tile: the tile's sums. */
DEVICE float decay_before(Decay decay, const float *tile) {
    return tile[ATTENTION_TILE] - decay.reference + (tile[ATTENTION_TILE + 1] - decay.rest);
}
DEVICE float decay_of_token(Decay decay, int t) {
    const float *const tile = sums_of_tile(decay.sums, t);
    return tile[t % ATTENTION_TILE] + decay_before(decay, tile);
}

/* The sums of the tile of token t become one of the two stages of a MATRIX(name, 2, ATTENTION_TILE + SUMS_BEFORE). */
#define load_decay_stage(name, stage, sums, t)                                                                         \
    do {                                                                                                               \
        MATRIX_VIEW(decay_, name, stage, 0, 1, ATTENTION_TILE + SUMS_BEFORE);                                          \
        matrix_load_whole(decay_, sums_of_tile(sums, t));                                                              \
    } while (0)

#define ATTENTION_KERNEL(name) KERNEL(name, AttentionArguments) /* expands name first */

#endif
