/* Values that correct each other; equations in delta_values.h. */
#define TILE_PRODUCTS_IN_FULL
#define ATTENTION_STRICT 1
#include "tile/tile.h"
#include "kernels/softmax/attention/attention.h"
#include "kernels/softmax/attention/attention_tiles.h"
#include "kernels/softmax/delta_values/delta_values.h"
#include "kernels/softmax/row_products.h"
#include "kernels/triangular_inverse.h"

DEVICE int64_t block_at(const DeltaValuesArguments *a, int64_t sequence, int64_t head, int64_t block) {
    return (sequence * a->heads + head) * a->blocks + block;
}

/* The address of the sums of a block of the part, for the head's columns. */
DEVICE float *far_at(const DeltaValuesArguments *a, int64_t sequence, int64_t block, int64_t head) {
    const int64_t blocks = a->end_block - a->first_block;
    return a->far + ((sequence * blocks + block - a->first_block) * DELTA_ROWS * a->heads + head) * a->head_dim;
}

DEVICE float beta_of(const DeltaValuesArguments *a, Block block, int i, int64_t head) {
    return to_float(((const element *)a->beta)[(block.sequence + token_of(block, i)) * a->beta_stride + head]);
}

/* A program has `cols` columns of a head. */
DEVICE int head_of_program(const DeltaValuesArguments *a, int cols, int64_t program) {
    return (int)(program / ((a->head_dim + cols - 1) / cols));
}
DEVICE int column_of_program(const DeltaValuesArguments *a, int cols, int64_t program) {
    return (int)(program % ((a->head_dim + cols - 1) / cols));
}

/* Loads a block's matrix of 64 x 64. */
#define load_square(tile, from, block)                                                                                 \
    tile_load(tile, (const element *)(from) + (block)*DELTA_ROWS * DELTA_ROWS, DELTA_ROWS, DELTA_ROWS, DELTA_ROWS)

/* Loads the rows of a head from token t on to one of two stages of x. load_pair does so for x and for y, of which it
 * takes the program's columns. */
#define load_rows(x, stage, from, head, column, block, t)                                                              \
    do {                                                                                                               \
        TILE_VIEW(x_, x, (stage)*ATTENTION_TILE, 0, ATTENTION_TILE, x##_cols);                                         \
        const Rows from_t_ = rows_from(block, T, t);                                                                   \
        tile_load_block(x_, from, a.head_dim, from_t_, head, column);                                                  \
    } while (0)
#define load_pair(x, x_from, y, y_from, stage, block, t)                                                               \
    do {                                                                                                               \
        load_rows(x, stage, x_from, head, 0, block, t);                                                                \
        load_rows(y, stage, y_from, head, column, block, t);                                                           \
    } while (0)

/* Computes beta', and stores log_sum_exp and delta = beta beta' for the backward of an attention that follows. Program:
 * head, block, sequence. */
KERNEL(delta_values_row_sums, DeltaValuesArguments) {
    const int64_t sequence = program_z * a.T, head = program_x, t0 = program_y * DELTA_ROWS;
    const float *const log_sum_exp = a.log_sum_exp + block_at(&a, program_z, head, program_y) * DELTA_ROWS;
    float *const row_sums = a.row_sums + (program_z * a.heads + head) * a.row_sums_of_head;
    EACH_SHORT_ROW (i, 0, DELTA_ROWS, a.head_dim) {
        const int64_t t = t0 + i;
        const bool inside = t < a.T;
        const int64_t row = sequence + (inside ? t : a.T - 1);
        const element *const y = (const element *)a.y.data + entry_of_head(a.y, a.head_dim, row, head, 0);
        const element *const dv = (const element *)a.dv.data + entry_of_head(a.dv, a.head_dim, row, head, 0);
        float product;
        row_times_row(product, y, dv, a.head_dim);
        const int64_t at = row * a.beta_stride + head;
        float *const to = row_sums + t + t / ATTENTION_TILE * ATTENTION_TILE;
        to[0] = inside ? log_sum_exp[i] : 0.0f;
        to[ATTENTION_TILE] = inside ? -to_float(((const element *)a.beta)[at]) * product : 0.0f;
        if (inside && a.dbeta) ((element *)a.dbeta)[at] = to_element(-product);
    }
}

#define DELTA_KERNEL(name) SIZED_KERNEL(name, HEAD, DeltaValuesArguments)

#define HEAD 32
#include "kernels/softmax/delta_values/delta_values_head.h"
#define HEAD 64
#include "kernels/softmax/delta_values/delta_values_head.h"
#define HEAD 128
#include "kernels/softmax/delta_values/delta_values_head.h"
#define HEAD 256
#include "kernels/softmax/delta_values/delta_values_head.h"
