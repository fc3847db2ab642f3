/* All gradients of grouped rows in one walk over tiles of keys, on a CPU. A program takes one part of the queries, one
 * block of ROWS rows after another, and for each goes over the tiles as the forward pass does. It has p and ds of all
 * pairs, so it can also add their shares to dk and dv, in sums for its part that stay in the processor's cache. This
 * takes 5 products for each pair of tiles and one exponential for each pair of a row and a key; two walks would take 7
 * and two.
 *
 * Kernel files include this after grouped_rows.h. The macros are for kernels that declare GROUPED_GRADIENT_TILES, have
 * arguments `a` (grouped, partial, parts, B, rows) and `g` for a.grouped, and a program for each part, key head and
 * sequence. */
#ifndef FLAME_KERNELS_SOFTMAX_GROUPED_GRADIENTS_H
#define FLAME_KERNELS_SOFTMAX_GROUPED_GRADIENTS_H

#include "kernels/softmax/key_sums.h"

#define GROUPED_GRADIENT_TILES(keys)                                                                                   \
    TILE(q, ROWS, HEAD);                                                                                               \
    TILE(dout, ROWS, HEAD);                                                                                            \
    TILE(k, keys, HEAD);                                                                                               \
    TILE(v, keys, HEAD);                                                                                               \
    ROW_VALUES(log_sum_exp, ROWS);                                                                                     \
    ROW_VALUES(delta, ROWS);                                                                                           \
    ACCUMULATOR(p, BAND, keys);                                                                                        \
    ACCUMULATOR(ds, BAND, keys);                                                                                       \
    ACCUMULATOR(dq, ROWS, HEAD);                                                                                       \
    ACCUMULATOR(dk, keys, HEAD);                                                                                       \
    ACCUMULATOR(dv, keys, HEAD)

/* The two sums: of dk, before it is scaled, and of dv. */
enum { DK, DV };
DEVICE KeySums sums_of_keys(const GroupedArguments *a, float *partial, int64_t parts, int64_t rows) {
    const KeySums sums = {partial, parts, rows, a->kv_heads * a->head_dim};
    return sums;
}

/* Loads the rows of a block of queries and declares their operands. */
#define load_gradient_rows(rows, row_sums)                                                                             \
    load_rows(q, g.q, g.head_dim, rows, (rows).m0);                                                                    \
    load_rows(dout, g.dout, g.head_dim, rows, (rows).m0);                                                              \
    LEFT_OPERANDS(q_left, q, BAND);                                                                                    \
    LEFT_OPERANDS(dout_left, dout, BAND);                                                                              \
    RIGHT_OPERANDS(q_right, q, BAND);                                                                                  \
    RIGHT_OPERANDS(dout_right, dout, BAND);                                                                            \
    EACH_ROW_VALUE(delta, r, i) {                                                                                      \
        log_sum_exp[r] = g.log_sum_exp[(row_sums) + row_inside(rows, i)];                                              \
        delta[r] = g.delta[(row_sums) + row_inside(rows, i)];                                                          \
    }                                                                                                                  \
    accumulator_zero(dq)

/* Loads a tile of keys and the sums of its gradients so far, and declares its operands. */
#define load_gradient_keys(keys, dk_sums, dv_sums)                                                                     \
    tile_load_block(k, g.k, g.head_dim, keys, kv_head, 0);                                                             \
    tile_load_block(v, g.v, g.head_dim, keys, kv_head, 0);                                                             \
    accumulator_load_block_f32(dk, dk_sums, g.head_dim, keys, kv_head, 0);                                             \
    accumulator_load_block_f32(dv, dv_sums, g.head_dim, keys, kv_head, 0);                                             \
    RIGHT_OPERAND_T(k_turned, k);                                                                                      \
    RIGHT_OPERAND_T(v_turned, v);                                                                                      \
    RIGHT_OPERAND(k_packed, k)
#define store_gradient_keys(keys, dk_sums, dv_sums)                                                                    \
    do {                                                                                                               \
        accumulator_store_block_f32(dk, dk_sums, g.head_dim, keys, kv_head, 0);                                        \
        accumulator_store_block_f32(dv, dv_sums, g.head_dim, keys, kv_head, 0);                                        \
    } while (0)

/* Adds the gradients from the pairs of band b and the tile of keys. The statements mask p. */
#define add_band_gradients(b, exponent_scale, ...)                                                                     \
    do {                                                                                                               \
        LEFT_OPERAND(q_now_, q_left, b);                                                                               \
        LEFT_OPERAND(dout_now_, dout_left, b);                                                                         \
        RIGHT_OPERAND_OF(q_packed_, q_right, b);                                                                       \
        RIGHT_OPERAND_OF(dout_packed_, dout_right, b);                                                                 \
        ACCUMULATOR_BAND(dq_now_, dq, b, BAND);                                                                        \
        ROW_VALUES_BAND(log_sum_exp_now_, log_sum_exp, b, BAND);                                                       \
        ROW_VALUES_BAND(delta_now_, delta, b, BAND);                                                                   \
        accumulator_zero(p);                                                                                           \
        operand_mma(p, q_now_, k_turned);                                                                              \
        __VA_ARGS__;                                                                                                   \
        MAP(p, i, j, x, x = exp2_f(x * (exponent_scale)-ROW_VALUE(log_sum_exp_now_, i)));                              \
        accumulator_zero(ds);                                                                                          \
        operand_mma(ds, dout_now_, v_turned);                                                                          \
        MAP(ds, i, j, x, x = (x - ROW_VALUE(delta_now_, i)) * PEER(p, i, j));                                          \
        accumulator_operand_mma(dq_now_, ds, k_packed);                                                                \
        accumulator_operand_mma_tn(dv, p, dout_packed_);                                                               \
        accumulator_operand_mma_tn(dk, ds, q_packed_);                                                                 \
    } while (0)

/* Computes row `row` of dk or dv from the sums of the parts. */
DEVICE void grouped_key_sums(const GroupedArguments *a, KeySums sums, int64_t row, int64_t of) {
    total_of_parts(sums, of, row, of == DK ? a->scale : 1.0f, of == DK ? a->dk : a->dv);
}

#endif
