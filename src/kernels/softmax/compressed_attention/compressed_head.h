/* The kernels of compressed_attention for heads of up to HEAD columns; compressed_attention.tile.h includes this once
 * per HEAD. A row m is a token and a head (grouped_rows.h), r is a row of k and v.
 *
 * - s_mr = scale q_m k_r for the rows r that the token of m sees, p_mr = e^(s_mr - lse_m), o_m = sum_r p_mr v_r
 * - importance of r for a token and key head: the sum of p_mr over the heads m
 * - ds_mr = p_mr (do_m v_r - delta_m), dv_r = sum_m p_mr do_m, dq_m = scale sum_r ds_mr k_r
 * - dk_r = scale sum_m ds_mr q_m
 *
 * The selection has no gradient. */

#define ROWS GROUPED_ROWS(ON_GPU)
#define BAND GROUPED_BAND(ON_GPU)

/* Masks scores of a band by a tile of k from row r0 on: sets them to -infinity where a row's token does not see the row
 * of k. On a CPU all rows of the band belong to one token, which sees the rows `seen`. */
#define mask_blocks(scores, band, seen, r0)                                                                            \
    do {                                                                                                               \
        if (ON_GPU || !sees_whole_tile(seen, r0)) {                                                                    \
            ROW_VALUES(first_, scores##_rows);                                                                         \
            ROW_VALUES(end_, scores##_rows);                                                                           \
            EACH_ROW_VALUE(first_, r, i) {                                                                             \
                const SeenRows of_row_ =                                                                               \
                    ON_GPU ? seen_rows(&a, sequence, token_of_row(band, row_inside(band, i))) : seen;                  \
                first_[r] = (float)(of_row_.first - (r0));                                                             \
                end_[r] = (float)(of_row_.end - (r0));                                                                 \
            }                                                                                                          \
            MAP(scores, i, j, x,                                                                                       \
                x = ((float)j >= ROW_VALUE(first_, i)) & ((float)j < ROW_VALUE(end_, i)) ? x : -INFINITY);             \
        }                                                                                                              \
    } while (0)

/* Program: rows, key head, sequence. */
COMPRESSED_KERNEL(compressed_forward) {
    TILE(q, ROWS, HEAD);
    TILE(k, 2 * GROUPED_TILE, HEAD);
    TILE(v, 2 * GROUPED_TILE, HEAD);
    ROW_VALUES(maximum, ROWS);
    ROW_VALUES(sum, ROWS);
    ACCUMULATOR(p, BAND, GROUPED_TILE); /* first q k^T */
    ACCUMULATOR(out, ROWS, HEAD);

    const GroupedArguments g = a.grouped;
    const int64_t kv_head = program_y, sequence = program_z, last_program = (g.T * g.group - 1) / ROWS;
    const GroupedRows rows = grouped_rows(&g, sequence, kv_head, (last_program - program_x) * ROWS);
    const SeenRows seen =
        rows_between(&a, sequence, token_of_row(rows, rows.m0), token_of_row(rows, row_inside(rows, ROWS - 1)));
    const float exponent_scale = g.scale * LOG2_E;

    walk_blocks(walk, k, g.k, g.v, g.head_dim, sequence * a.rows + seen.first, kv_head, g.aligned);
    load_rows(q, g.q, g.head_dim, rows, rows.m0);
    LEFT_OPERANDS(q_bands, q, BAND);
    load_stage(k, v, 0, walk, a.rows - seen.first);
    softmax_begin(maximum, sum);
    accumulator_zero(out);
    int stage = 0;
    for (int r0 = seen.first; r0 < seen.end; r0 += GROUPED_TILE) {
        TILE_VIEW(k_now, k, stage * GROUPED_TILE, 0, GROUPED_TILE, HEAD);
        TILE_VIEW(v_now, v, stage * GROUPED_TILE, 0, GROUPED_TILE, HEAD);
        stage = 1 - stage;
        sync();
        if (r0 + GROUPED_TILE < seen.end) load_stage(k, v, stage, walk, a.rows - r0 - GROUPED_TILE);
        RIGHT_OPERAND_T(k_turned, k_now);
        RIGHT_OPERAND(v_packed, v_now);
        EACH_BAND(b, BAND, rows_inside(rows, ROWS)) {
            const GroupedRows band = band_of_rows(rows, b * BAND);
            const SeenRows seen_now = ON_GPU ? seen : seen_by_band(&a, sequence, band);
            if (!ON_GPU && !sees_of_tile(seen_now, r0)) continue;
            LEFT_OPERAND(q_now, q_bands, b);
            ACCUMULATOR_BAND(out_now, out, b, BAND);
            ROW_VALUES_BAND(maximum_now, maximum, b, BAND);
            ROW_VALUES_BAND(sum_now, sum, b, BAND);
            accumulator_zero(p);
            operand_mma(p, q_now, k_turned);
            mask_blocks(p, band, seen_now, r0);
            softmax_rescale(out_now, p, maximum_now, sum_now, exponent_scale);
            accumulator_operand_mma(out_now, p, v_packed);
        }
    }
    softmax_end(out, maximum, sum, g.log_sum_exp + sums_of_rows_at(&g, sequence, kv_head) + rows.m0,
                rows.end - rows.m0);
    store_rows(out, q, g.out, g.head_dim, rows);
}

/* Computes the importance of every block that a token sees, and selects blocks by it. Program: tokens, key head,
 * sequence. */
COMPRESSED_KERNEL(compressed_select) {
    TILE(q, BAND, HEAD);
    TILE(k, GROUPED_TILE, HEAD);
    MATRIX(group_sums, BAND / ROWS_OF_TOKEN, GROUPED_TILE); /* sums over 16 rows each */
    MATRIX(importance, SELECT_TOKENS, GROUPED_TILE);
    ROW_VALUES(log_sum_exp, BAND);
    ACCUMULATOR(p, BAND, GROUPED_TILE);

    const GroupedArguments g = a.grouped;
    const int64_t kv_head = program_y, sequence = program_z;
    const int last_program = (int)(g.T - 1) / SELECT_TOKENS;
    const int t0 = (last_program - (int)program_x) * SELECT_TOKENS, group = (int)g.group;
    const int tokens = (int)(end_of_program(t0, g.T, SELECT_TOKENS) - t0);
    const SeenRows seen = rows_between(&a, sequence, t0, t0 + tokens - 1);
    const float *row_sums = g.log_sum_exp + sums_of_rows_at(&g, sequence, kv_head);
    float *to = a.importance + ((sequence * g.kv_heads + kv_head) * g.T + t0) * a.rows;
    const float exponent_scale = g.scale * LOG2_E;

    for (int r0 = seen.first; r0 < seen.end; r0 += GROUPED_TILE) {
        sync();
        load_block_rows(k, g.k, r0);
        RIGHT_OPERAND_T(k_turned, k);
        EACH_ENTRY(importance, i, j, x, x = 0);
        for (int m0 = t0 * group; m0 < (t0 + tokens) * group; m0 += BAND) {
            const GroupedRows band = grouped_rows(&g, sequence, kv_head, m0);
            const SeenRows seen_now = ON_GPU ? seen : seen_by_band(&a, sequence, band);
            load_rows(q, g.q, g.head_dim, band, m0);
            LEFT_OPERANDS(q_bands, q, BAND);
            LEFT_OPERAND(q_now, q_bands, 0);
            EACH_ROW_VALUE(log_sum_exp, r, i) log_sum_exp[r] = row_sums[row_inside(band, i)];
            sync();
            accumulator_zero(p);
            operand_mma(p, q_now, k_turned);
            mask_blocks(p, band, seen_now, r0);
            MAP(p, i, j, x, x = exp2_f(x * exponent_scale - ROW_VALUE(log_sum_exp, i)));
            column_sums(group_sums, p);
            sync();
            EACH (j, GROUPED_TILE) {
                for (int n = 0; n < BAND / ROWS_OF_TOKEN; n++)
                    ENTRY(importance, token_of_row(band, m0 + n * ROWS_OF_TOKEN) - t0, j) += ENTRY(group_sums, n, j);
            }
            sync();
        }
        matrix_store(importance, to + r0, a.rows, tokens, a.rows - r0);
    }
    sync();
    EACH_ROW (t, t0, t0 + tokens) {
        const float *of_token = to + (t - t0) * a.rows + seen_rows(&a, sequence, (int)t).first;
        select_blocks(TEAM_HERE, &a, sequence * g.T + t, kv_head, of_token);
    }
}

/* On a GPU: dq of a program's rows. Program: as in the forward pass. */
COMPRESSED_KERNEL(compressed_queries) {
    TILE(q, ROWS, HEAD);
    TILE(dout, ROWS, HEAD);
    TILE(k, 2 * GROUPED_TILE, HEAD);
    TILE(v, 2 * GROUPED_TILE, HEAD);
    ROW_VALUES(log_sum_exp, ROWS);
    ROW_VALUES(delta, ROWS);
    ACCUMULATOR(p, ROWS, GROUPED_TILE);
    ACCUMULATOR(ds, ROWS, GROUPED_TILE);
    ACCUMULATOR(dq, ROWS, HEAD);

    const GroupedArguments g = a.grouped;
    const int64_t kv_head = program_y, sequence = program_z;
    const GroupedRows rows = grouped_rows(&g, sequence, kv_head, program_x * ROWS);
    const SeenRows seen =
        rows_between(&a, sequence, token_of_row(rows, rows.m0), token_of_row(rows, row_inside(rows, ROWS - 1)));
    const int64_t sums = sums_of_rows_at(&g, sequence, kv_head);
    const float exponent_scale = g.scale * LOG2_E;

    walk_blocks(walk, k, g.k, g.v, g.head_dim, sequence * a.rows + seen.first, kv_head, g.aligned);
    load_rows(q, g.q, g.head_dim, rows, rows.m0);
    load_rows(dout, g.dout, g.head_dim, rows, rows.m0);
    load_stage(k, v, 0, walk, a.rows - seen.first);
    EACH_ROW_VALUE(delta, r, i) {
        log_sum_exp[r] = g.log_sum_exp[sums + row_inside(rows, i)];
        delta[r] = g.delta[sums + row_inside(rows, i)];
    }
    accumulator_zero(dq);
    int stage = 0;
    for (int r0 = seen.first; r0 < seen.end; r0 += GROUPED_TILE) {
        TILE_VIEW(k_now, k, stage * GROUPED_TILE, 0, GROUPED_TILE, HEAD);
        TILE_VIEW(v_now, v, stage * GROUPED_TILE, 0, GROUPED_TILE, HEAD);
        stage = 1 - stage;
        sync();
        if (r0 + GROUPED_TILE < seen.end) load_stage(k, v, stage, walk, a.rows - r0 - GROUPED_TILE);
        accumulator_zero(p);
        mma_nt(p, q, k_now);
        mask_blocks(p, rows, seen, r0);
        MAP(p, i, j, x, x = exp2_f(x * exponent_scale - ROW_VALUE(log_sum_exp, i)));
        accumulator_zero(ds);
        mma_nt(ds, dout, v_now);
        MAP(ds, i, j, x, x = (x - ROW_VALUE(delta, i)) * PEER(p, i, j));
        accumulator_mma_nn(dq, ds, k_now);
    }
    MAP(dq, i, j, x, x *= g.scale);
    store_rows(dq, q, g.dq, g.head_dim, rows);
}

/* On a GPU: dk and dv of a tile of rows of k, from the queries of a part of the sequence. Rows are those of k, columns
 * those of q. Program: rows of k, key head, sequence and part. */
COMPRESSED_KERNEL(compressed_keys) {
    TILE(k, COMPRESSED_KEYS, HEAD);
    TILE(v, COMPRESSED_KEYS, HEAD);
    TILE(q, GROUPED_TILE, HEAD);
    TILE(dout, GROUPED_TILE, HEAD);
    MATRIX(columns, 4, GROUPED_TILE); /* log_sum_exp, delta, and the rows that the query sees: first and end */
    ACCUMULATOR(p, COMPRESSED_KEYS, GROUPED_TILE);
    ACCUMULATOR(ds, COMPRESSED_KEYS, GROUPED_TILE);
    ACCUMULATOR(dk, COMPRESSED_KEYS, HEAD);
    ACCUMULATOR(dv, COMPRESSED_KEYS, HEAD);

    const GroupedArguments g = a.grouped;
    const int64_t kv_head = program_y, sequence = program_z / a.parts, part = program_z % a.parts;
    const int first_row = (int)program_x * COMPRESSED_KEYS, group = (int)g.group;
    const int64_t part_first = part * COMPRESSED_PART, seen_first = first_row * a.block + a.block - 1;
    const int64_t t_first = part_first > seen_first ? part_first : seen_first;
    const int64_t t_end = end_of_program(part_first, g.T, COMPRESSED_PART);
    const GroupedRows rows = grouped_rows(&g, sequence, kv_head, t_first * group);
    const int64_t sums = sums_of_rows_at(&g, sequence, kv_head), cols = g.kv_heads * g.head_dim;
    const float exponent_scale = g.scale * LOG2_E;

    load_block_rows(k, g.k, first_row);
    load_block_rows(v, g.v, first_row);
    accumulator_zero(dk);
    accumulator_zero(dv);
    sync();
    for (int64_t m0 = t_first * group; m0 < t_end * group; m0 += GROUPED_TILE) {
        if (seen_rows(&a, sequence, (int)(m0 / group)).first >= first_row + COMPRESSED_KEYS) break;
        sync();
        load_rows(q, g.q, g.head_dim, rows, (int)m0);
        load_rows(dout, g.dout, g.head_dim, rows, (int)m0);
        EACH (j, GROUPED_TILE) {
            const bool inside = m0 + j < t_end * group;
            const int64_t m = inside ? m0 + j : m0;
            const SeenRows seen = seen_rows(&a, sequence, (int)(m / group));
            ENTRY(columns, 0, j) = g.log_sum_exp[sums + m];
            ENTRY(columns, 1, j) = g.delta[sums + m];
            ENTRY(columns, 2, j) = (float)(seen.first - first_row);
            ENTRY(columns, 3, j) = inside ? (float)(seen.end - first_row) : 0.0f;
        }
        sync();
        accumulator_zero(p);
        mma_nt(p, k, q);
        MAP(p, i, j, x,
            x = ((float)i >= ENTRY(columns, 2, j)) & ((float)i < ENTRY(columns, 3, j))
                    ? exp2_f(x * exponent_scale - ENTRY(columns, 0, j))
                    : 0.0f);
        accumulator_zero(ds);
        mma_nt(ds, v, dout);
        MAP(ds, i, j, x, x = (x - ENTRY(columns, 1, j)) * PEER(p, i, j));
        accumulator_mma_nn(dv, p, dout);
        accumulator_mma_nn(dk, ds, q);
    }
    const int64_t matrix = a.B * a.rows * cols;
    const Heads k_partial = {a.partial + part * matrix, cols},
                v_partial = {a.partial + (a.parts + part) * matrix, cols};
    const Rows to = {sequence * a.rows + first_row, a.rows - first_row};
    accumulator_store_block_f32(dk, k_partial, g.head_dim, to, kv_head, 0);
    accumulator_store_block_f32(dv, v_partial, g.head_dim, to, kv_head, 0);
}

#include "kernels/softmax/compressed_attention/compressed_gradients_head.h"

#undef HEAD
#undef ROWS
#undef BAND
#undef mask_blocks
