/* 2-simplicial attention for heads of up to 32, 64 and 128 columns. */
#define TILE_PRODUCTS_IN_FULL
#include "tile/tile.h"
#include "kernels/softmax/online_softmax.h"
#include "kernels/softmax/row_products.h"
#include "kernels/softmax/simplicial_attention/simplicial_attention.h"
#include "tile/rows.h"
#include "kernels/softmax/key_sums.h"

/* The first key that token t sees in the first window, which does not reach beyond its document. */
DEVICE int first_key(const SimplicialArguments *a, const int32_t *position, int t) {
    const int start = t - position[t], first = t - (int)a->window1 + 1;
    const int seen = first > start ? first : start;
    return seen > 0 ? seen : 0; /* seen < 0: the rows begin inside the document, and nobody needs this query */
}

/* Loads the rows of a matrix from token t on, with zeros before token 0 and past the end. t is a multiple of 32. */
#define load_tokens(tile, heads, head, t)                                                                              \
    do {                                                                                                               \
        for (int i_ = 0; i_ < tile##_rows; i_ += 32) {                                                                 \
            TILE_VIEW(tokens_tile_, tile, i_, 0, 32, tile##_cols);                                                     \
            const int64_t first_ = (t) + i_, count_ = first_ < 0 ? 0 : a.T - first_;                                   \
            const Rows tokens_ = {sequence * a.T + (count_ > 0 ? first_ : 0), count_};                                 \
            tile_load_block(tokens_tile_, heads, a.head_dim, tokens_, head, 0);                                        \
        }                                                                                                              \
    } while (0)

/* At every SIMPLICIAL_OFFSETS-th offset o, loads the second keys and values of the queries from t0 on for the next
 * SIMPLICIAL_OFFSETS offsets to k2 and v2. Begins with a sync(). */
#define load_second_keys(o)                                                                                            \
    do {                                                                                                               \
        sync();                                                                                                        \
        if ((o) % SIMPLICIAL_OFFSETS == 0) {                                                                           \
            load_tokens(k2, a.k2, kv_head, t0 - (o)-SIMPLICIAL_OFFSETS);                                               \
            load_tokens(v2, a.v2, kv_head, t0 - (o)-SIMPLICIAL_OFFSETS);                                               \
            sync();                                                                                                    \
        }                                                                                                              \
    } while (0)

/* to = from * (by + bias), elementwise, with the rows of `from` from from_row on and those of `by` from by_row on. */
#define multiply_rows(to, from, from_row, by, by_row, bias)                                                            \
    do {                                                                                                               \
        EACH_ROW_VECTOR(i_, j_, to##_rows, to##_cols) {                                                                \
            READ_TILE(x_, from, i_ + (from_row), j_);                                                                  \
            READ_TILE(y_, by, i_ + (by_row), j_);                                                                      \
            EACH_LANE(e) x_[e] *= y_[e] + (bias);                                                                      \
            WRITE_TILE(to, i_, j_, x_);                                                                                \
        }                                                                                                              \
    } while (0)

/* Masks scores of rows by a tile of k1 from key s0 on: sets them to -infinity where a row does not see the key, or sees
 * no second key at this offset. Row i is query t0 + i. The last query is t1; rows past it see nothing. */
#define mask_scores(scores, t0, t1, offset, s0)                                                                        \
    do {                                                                                                               \
        if ((s0) + scores##_cols > (t0) + 1 || (s0) < first_key(&a, position, t1) || (offset) > position[t0] ||        \
            (t0) + scores##_rows > (t1) + 1) {                                                                         \
            ROW_VALUES(first_, scores##_rows);                                                                         \
            EACH_ROW_VALUE(first_, r, i) {                                                                             \
                const int t_ = lesser_index((t0) + i, t1);                                                             \
                const bool none_ = (t0) + i > (t1) || (offset) > position[t_];                                         \
                first_[r] = none_ ? INFINITY : (float)(first_key(&a, position, t_) - (s0));                            \
            }                                                                                                          \
            const int shift_ = (s0) - (t0);                                                                            \
            MAP(scores, i, j, x, x = (j + shift_ <= i) & ((float)j >= ROW_VALUE(first_, i)) ? x : -INFINITY);          \
        }                                                                                                              \
    } while (0)

/* delta = the sum over the head's columns of out * its gradient. Program: tokens, head, sequence. */
KERNEL(simplicial_delta, SimplicialArguments) {
    const int64_t sequence = program_z, head = program_y, t0 = program_x * SIMPLICIAL_ROWS;
    float *deltas = a.delta + (sequence * a.heads + head) * a.T;
    EACH_SHORT_ROW (t, t0, end_of_program(t0, a.T, SIMPLICIAL_ROWS), a.head_dim) {
        const int64_t row = sequence * a.T + t;
        const element *const out = (const element *)a.out.data + entry_of_head(a.out, a.head_dim, row, head, 0);
        const element *const dout = (const element *)a.dout.data + entry_of_head(a.dout, a.head_dim, row, head, 0);
        float delta;
        row_times_row(delta, out, dout, a.head_dim);
        WARP_EACH(one, 1) deltas[t] = delta;
    }
}

/* On a CPU: the sums of each part for the gradients of keys and values, for all rows. Those of keys are not scaled
 * yet. */
enum { DK1, DV1, DK2, DV2, SUMS };
DEVICE KeySums sums_of_keys(const SimplicialArguments *a) {
    const KeySums sums = {a->partial, a->parts, a->B * a->T, a->kv_heads * a->head_dim};
    return sums;
}
/* Adds the gradients of the second keys of a block. The first row is token `first`, which is negative before the
 * sequence. */
DEVICE void add_to_sums(const SimplicialArguments *a, Heads sums, const float *from, int stride, int64_t sequence,
                        int64_t kv_head, int first) {
    const int rows = lesser_index(SIMPLICIAL_ROWS + SIMPLICIAL_OFFSETS, a->T - first);
    for (int i = first < 0 ? -first : 0; i < rows; i++) {
        float *const to =
            (float *)sums.data + entry_of_head(sums, a->head_dim, sequence * a->T + first + i, kv_head, 0);
        EACH (j, a->head_dim) to[j] += from[i * stride + j];
    }
}

/* Computes the gradients of keys and values from the sums of the parts. Program: row, gradient. */
KERNEL(simplicial_key_sums, SimplicialArguments) {
    const Heads to = program_y == DK1 ? a.dk1 : program_y == DV1 ? a.dv1 : program_y == DK2 ? a.dk2 : a.dv2;
    total_of_parts(sums_of_keys(&a), program_y, program_x, program_y == DK1 || program_y == DK2 ? a.scale : 1.0f, to);
}

#define SIMPLICIAL_KERNEL(name) SIZED_KERNEL(name, HEAD, SimplicialArguments)

#define HEAD 32
#include "kernels/softmax/simplicial_attention/simplicial_head.h"
#define HEAD 64
#include "kernels/softmax/simplicial_attention/simplicial_head.h"
#define HEAD 128
#include "kernels/softmax/simplicial_attention/simplicial_head.h"
