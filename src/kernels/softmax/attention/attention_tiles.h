/* Parts of kernels of softmax attention: blocks of queries by tiles of keys, or of keys by tiles of queries, their
 * masks, and the decay between tokens. Included after attention.h. */
#ifndef FLAME_KERNELS_SOFTMAX_ATTENTION_ATTENTION_TILES_H
#define FLAME_KERNELS_SOFTMAX_ATTENTION_ATTENTION_TILES_H

#include "kernels/softmax/online_softmax.h"

/* In a file that defines ATTENTION_STRICT as 1, queries do not see their own token. */
#ifndef ATTENTION_STRICT
#define ATTENTION_STRICT 0
#endif

/* Keys or queries that are loaded at a time. The next ones are loaded to the other of two stages meanwhile. */
enum { ATTENTION_TILE = ON_GPU ? 32 : 64 };

/* The tokens of a program: t0 .. end - 1 of a sequence that begins at row `sequence`. */
typedef struct Block {
    int sequence, t0, end;
} Block;

DEVICE Block block_of(int T, int sequence, int t0, int tokens) {
    const Block block = {sequence * T, t0, t0 + tokens < T ? t0 + tokens : T};
    return block;
}

/* The block's tokens from number b * rows on, at most `rows` of them. */
DEVICE Block band_of_block(Block block, int b, int rows) {
    const int t0 = block.t0 + b * rows;
    const Block band = {block.sequence, t0, t0 + rows < block.end ? t0 + rows : block.end};
    return band;
}

/* Token i of the block, or its last token if i is past the end. */
DEVICE int token_of(Block block, int i) { return block.t0 + i < block.end ? block.t0 + i : block.end - 1; }

/* The rows of matrices from token t to the end of the sequence. */
DEVICE Rows rows_from(Block block, int T, int t) {
    const Rows rows = {block.sequence + t, T - t};
    return rows;
}

/* The keys that the queries of a block see. No query sees a key before `start`, where a tile begins; from `common` on,
 * every query sees all keys up to itself. */
typedef struct KeyRange {
    int start, common;
} KeyRange;

DEVICE KeyRange keys_of(Block block, const int32_t *first_key) {
    const int start = first_key[block.sequence + block.t0];
    const KeyRange range = {start / ATTENTION_TILE * ATTENTION_TILE, first_key[block.sequence + block.end - 1]};
    return range;
}

/* Masks scores of the block by a tile of keys from s0 on: sets them to -infinity where a query does not see a key. */
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

/* The queries that see the keys of a block. No query after `last` sees any; up to `common`, a query sees every key that
 * is not after it. */
typedef struct QueryRange {
    int last, common;
} QueryRange;

DEVICE QueryRange queries_of(Block block, const int32_t *last_query) {
    const QueryRange range = {last_query[block.sequence + block.end - 1], last_query[block.sequence + block.t0]};
    return range;
}

/* Masks scores of the block by a tile of queries from first_query on: sets them to -infinity where a query does not see
 * a key. */
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

/* The address of the log_sum_exp of query t of a head. Its delta is ATTENTION_TILE entries further on, because both are
 * stored tile after tile. */
DEVICE float *row_sums_of(const AttentionArguments *a, int64_t sequence, int64_t head, int64_t t) {
    return a->row_sums + (sequence * a->heads + head) * a->row_sums_of_head + t + t / ATTENTION_TILE * ATTENTION_TILE;
}

/* The addresses of a part's sums for a head: of dq / scale, and of dc. */
DEVICE int64_t head_of_part(const AttentionArguments *a, int64_t part, int64_t sequence, int64_t head) {
    return (part * a->sequences + sequence) * a->heads + head;
}
DEVICE float *query_sums_of(const AttentionArguments *a, int64_t part, int64_t sequence, int64_t head) {
    return a->query_sums + head_of_part(a, part, sequence, head) * a->T * a->head_dim;
}
DEVICE float *gradient_of_query_of(const AttentionArguments *a, int64_t part, int64_t sequence, int64_t head) {
    return a->gradient_of_query + head_of_part(a, part, sequence, head) * a->tokens;
}

/* Where the running sums of a tile begin; see RunningSumsArguments. */
DEVICE const float *sums_of_tile(const float *sums, int t) {
    return sums + t / ATTENTION_TILE * (ATTENTION_TILE + SUMS_BEFORE);
}

/* What the log gates subtract from the scores of a head. With their running sum c_t, s_ij = scale q_i k_j + c_i - c_j,
 * and a softmax does not change if a constant is added for each query. So kernels take c relative to its value at the
 * start of their block, the reference. Near the reference, where scores matter, differences are small, and their error
 * does not grow with the length of the sequence. All numbers are in units of scores before scaling. */
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

/* c before a tile, and c_t, both relative to the reference. `tile` points to the tile's sums. */
DEVICE float decay_before(Decay decay, const float *tile) {
    return tile[ATTENTION_TILE] - decay.reference + (tile[ATTENTION_TILE + 1] - decay.rest);
}
DEVICE float decay_of_token(Decay decay, int t) {
    const float *const tile = sums_of_tile(decay.sums, t);
    return tile[t % ATTENTION_TILE] + decay_before(decay, tile);
}

/* Loads the sums of the tile of token t to one of the two stages of a MATRIX(name, 2, ATTENTION_TILE + SUMS_BEFORE). */
#define load_decay_stage(name, stage, sums, t)                                                                         \
    do {                                                                                                               \
        MATRIX_VIEW(decay_, name, stage, 0, 1, ATTENTION_TILE + SUMS_BEFORE);                                          \
        matrix_load_whole(decay_, sums_of_tile(sums, t));                                                              \
    } while (0)

/* Sets the row values `to` to the decay of the block's tokens. */
#define load_decay_of_keys(to, decay, block) EACH_ROW_VALUE(to, r, i) to[r] = decay_of_token(decay, token_of(block, i))

/* Add the sums of the rows of ds to row values, which a thread has only a share of, and store these to the block's
 * entries of `to`. `tile_value` is scratch: row values. */
#define add_row_sums(sums, tile_value, ds)                                                                             \
    do {                                                                                                               \
        row_values_share(tile_value, ds);                                                                              \
        EACH_ROW_VALUE(sums, r, i) sums[r] += tile_value[r];                                                           \
    } while (0)
#define store_row_sums(sums, to, block)                                                                                \
    do {                                                                                                               \
        row_values_total(sums);                                                                                        \
        EACH_ROW_VALUE(sums, r, i) if ((block).t0 + i < (block).end)(to)[(block).t0 + i] = sums[r];                    \
    } while (0)
/* On the CPU: adds the sums of the columns of ds to to[]. `parts` is scratch: a MATRIX for column_sums. */
#define add_column_sums(to, parts, ds)                                                                                 \
    do {                                                                                                               \
        column_sums(parts, ds);                                                                                        \
        EACH_PAIR(i, j, ds##_rows / 16, ds##_cols)(to)[j] += ENTRY(parts, i, j);                                       \
    } while (0)

#endif
