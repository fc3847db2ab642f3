/* Softmax attention where a group of query heads reads one key head, and all heads of a token see the same keys. In a
 * product, row number t * group + head belongs to token t and to one of the `group` query heads of the key head.
 * `group` is a multiple of 16, so that every 16 rows of a tile belong to one token. */
#ifndef FLAME_KERNELS_SOFTMAX_GROUPED_ROWS_H
#define FLAME_KERNELS_SOFTMAX_GROUPED_ROWS_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/heads.h"
#include "kernels/softmax/online_softmax.h"
#include "kernels/softmax/row_products.h"
#include "tile/rows.h"

enum { ROWS_OF_TOKEN = 16 }; /* at least this many rows belong to a token */
/* Rows of a program. On a CPU they are those of up to eight tokens, for which a tile of keys is brought into the order
 * of products once. The program takes them in bands of at most one token, so that a token visits no keys that only its
 * neighbours see. */
#define GROUPED_ROWS(gpu) ((gpu) ? 64 : 8 * ROWS_OF_TOKEN)
#define GROUPED_BAND(gpu) ((gpu) ? GROUPED_ROWS(gpu) : ROWS_OF_TOKEN)
/* Keys, or rows of queries, that are loaded at a time. */
enum { GROUPED_TILE = 32 };
enum { GROUPED_DELTA_TOKENS = 64 }; /* tokens of a program that computes delta */

typedef struct GroupedArguments {
    Heads q, k, v, out, dout;
    Heads dq, dk, dv;
    float *log_sum_exp; /* [B, kv_heads, T * group], to base 2; 0 for a row that sees no key */
    float *delta;       /* [B, kv_heads, T * group] */
    const int32_t *position;
    int64_t T, head_dim, group, kv_heads;
    int64_t before; /* tokens of each sequence before those of this call */
    float scale;
    bool aligned; /* heads of k and v begin and end at multiples of 16 bytes */
} GroupedArguments;

#ifdef FLAME_KERNEL_FILE
/* The rows of a program: those of a key head from m0 on. The tokens of the sequence begin at row `sequence` of the
 * matrices. */
typedef struct GroupedRows {
    int m0, end; /* end: T * group */
    int group, sequence, kv_head;
} GroupedRows;

DEVICE GroupedRows grouped_rows(const GroupedArguments *a, int64_t sequence, int64_t kv_head, int64_t m0) {
    const GroupedRows rows = {(int)m0, (int)(a->T * a->group), (int)a->group, (int)(sequence * a->T), (int)kv_head};
    return rows;
}
/* Row i of the program, or the last row of the sequence if i is past the end; and the token of a row. */
DEVICE int row_inside(GroupedRows rows, int i) { return rows.m0 + i < rows.end ? rows.m0 + i : rows.end - 1; }
DEVICE int token_of_row(GroupedRows rows, int m) { return m / rows.group; }
/* How many of `count` rows from the program's first on exist. */
DEVICE int rows_inside(GroupedRows rows, int count) { return rows.end - rows.m0 < count ? rows.end - rows.m0 : count; }
/* The program's rows from row i on. */
DEVICE GroupedRows band_of_rows(GroupedRows rows, int i) {
    rows.m0 += i;
    return rows;
}
/* The offset of row m in a matrix, in entries from its start. */
DEVICE int64_t entry_of_row(GroupedRows rows, Heads heads, int64_t width, int m) {
    const int t = token_of_row(rows, m);
    return (rows.sequence + t) * heads.stride + ((int64_t)rows.kv_head * rows.group + m - t * rows.group) * width;
}
/* The offset of the numbers of a key head's rows in log_sum_exp and delta. */
DEVICE int64_t sums_of_rows_at(const GroupedArguments *a, int64_t sequence, int64_t kv_head) {
    return (sequence * a->kv_heads + kv_head) * a->T * a->group;
}

/* Loads rows m .. m + 15 of a matrix to the rows of a tile from row i on, or zeros if there are no such rows. */
#define load_token(tile, i, heads, width, rows, m)                                                                     \
    do {                                                                                                               \
        TILE_VIEW(token_rows_, tile, i, 0, ROWS_OF_TOKEN, tile##_cols);                                                \
        const bool inside_ = (m) >= 0 && (m) < (rows).end;                                                             \
        tile_load(token_rows_, (const element *)(heads).data + entry_of_row(rows, heads, width, inside_ ? (m) : 0),    \
                  width, inside_ ? ROWS_OF_TOKEN : 0, width);                                                          \
    } while (0)
/* Loads all rows of a tile, from row m of the matrix on. */
#define load_rows(tile, heads, width, rows, m)                                                                         \
    do {                                                                                                               \
        for (int i_ = 0; i_ < tile##_rows; i_ += ROWS_OF_TOKEN) load_token(tile, i_, heads, width, rows, (m) + i_);    \
    } while (0)
/* Stores an accumulator to the program's rows of a matrix, by way of a tile that is no longer needed. */
#define store_rows(accumulator, tile, heads, width, rows)                                                              \
    do {                                                                                                               \
        sync();                                                                                                        \
        tile_cast(tile, accumulator);                                                                                  \
        sync();                                                                                                        \
        for (int i_ = 0; i_ < tile##_rows; i_ += ROWS_OF_TOKEN) {                                                      \
            TILE_VIEW(token_rows_, tile, i_, 0, ROWS_OF_TOKEN, tile##_cols);                                           \
            if ((rows).m0 + i_ < (rows).end)                                                                           \
                tile_store(token_rows_, (element *)(heads).data + entry_of_row(rows, heads, width, (rows).m0 + i_),    \
                           width, ROWS_OF_TOKEN, width);                                                               \
        }                                                                                                              \
    } while (0)

/* delta = the sum over the head's columns of out * its gradient, for a program's tokens of a sequence, from t0 on. */
DEVICE void grouped_delta(const GroupedArguments *a, int64_t sequence, int64_t kv_head, int64_t t0) {
    const GroupedRows rows = grouped_rows(a, sequence, kv_head, t0 * a->group);
    const int64_t end = end_of_program(rows.m0, rows.end, GROUPED_DELTA_TOKENS * a->group);
    float *deltas = a->delta + sums_of_rows_at(a, sequence, kv_head);
    EACH_SHORT_ROW (m, rows.m0, end, a->head_dim) {
        const element *const out = (const element *)a->out.data + entry_of_row(rows, a->out, a->head_dim, (int)m);
        const element *const dout = (const element *)a->dout.data + entry_of_row(rows, a->dout, a->head_dim, (int)m);
        float delta;
        row_times_row(delta, out, dout, a->head_dim);
        WARP_EACH(one, 1) deltas[m] = delta;
    }
}
#else
#include "core/tape.h"

/* The arguments for kernels of a node whose first inputs are q, k and v and whose first saved tensor is log_sum_exp. */
GroupedArguments grouped_arguments(const Node *node, int64_t heads, int64_t kv_heads);

/* The number of parts of the queries whose gradients of k and v are summed separately on the CPU. It is enough for many
 * threads, but does not depend on their number, which must not change results. */
int64_t grouped_parts(const Node *node, const GroupedArguments *a);
#endif

#endif
