/* The kernels of selected_attention for heads of up to HEAD columns; selected_attention.tile.h includes this once per
 * HEAD. A row m is a token and a head (grouped_rows.h), s is a key.
 *
 * - x_ms = scale q_m k_s for the keys s that the token of m has selected, p_ms = e^(x_ms - lse_m), o_m = sum_s p_ms v_s
 * - dx_ms = p_ms (do_m v_s - delta_m), dv_s = sum_m p_ms do_m, dq_m = scale sum_s dx_ms k_s
 * - dk_s = scale sum_m dx_ms q_m
 *
 * A program goes over all keys that any of its tokens has selected. Neighbouring tokens select nearly the same keys, so
 * a tile of keys serves most of its rows. For rows that have not selected a key, p is 0 on a GPU; a CPU skips the band
 * of that token's rows. */

#define ROWS GROUPED_ROWS(ON_GPU)
#define BAND GROUPED_BAND(ON_GPU)

/* Program: rows, key head, sequence. */
SELECTED_KERNEL(selected_forward) {
    TILE(q, ROWS, HEAD);
    TILE(k, 2 * SELECTED_TILE, HEAD);
    TILE(v, 2 * SELECTED_TILE, HEAD);
    ROW_VALUES(maximum, ROWS);
    ROW_VALUES(sum, ROWS);
    ACCUMULATOR(p, BAND, SELECTED_TILE); /* first q k^T */
    ACCUMULATOR(out, ROWS, HEAD);

    const GroupedArguments g = a.grouped;
    const int64_t kv_head = program_y, sequence = program_z, programs = blocks_of(g.T * g.group, ROWS);
    const GroupedRows rows = grouped_rows(&g, sequence, kv_head, (programs - 1 - program_x) * ROWS);
    SelectedTiles next = selected_tiles(&a, sequence, kv_head, token_of_row(rows, rows.m0),
                                        token_of_row(rows, row_inside(rows, ROWS - 1)));
    const float exponent_scale = g.scale * LOG2_E;

    load_rows(q, g.q, g.head_dim, rows, rows.m0);
    LEFT_OPERANDS(q_bands, q, BAND);
    softmax_begin(maximum, sum);
    accumulator_zero(out);
    bool more = to_next_tile(&next, &a);
    if (more) load_selected(0, next);
    for (int stage = 0; more; stage = 1 - stage) {
        TILE_VIEW(k_now, k, stage * SELECTED_TILE, 0, SELECTED_TILE, HEAD);
        TILE_VIEW(v_now, v, stage * SELECTED_TILE, 0, SELECTED_TILE, HEAD);
        const SelectedTiles now = next;
        sync();
        more = to_next_tile(&next, &a);
        if (more) load_selected(1 - stage, next);
        RIGHT_OPERAND_T(k_turned, k_now);
        RIGHT_OPERAND(v_packed, v_now);
        EACH_BAND(b, BAND, rows_inside(rows, ROWS)) {
            const GroupedRows band = band_of_rows(rows, b * BAND);
            const int seen = keys_seen_by_band(&now, &a, band);
            if (seen <= 0) continue;
            LEFT_OPERAND(q_now, q_bands, b);
            ACCUMULATOR_BAND(out_now, out, b, BAND);
            ROW_VALUES_BAND(maximum_now, maximum, b, BAND);
            ROW_VALUES_BAND(sum_now, sum, b, BAND);
            accumulator_zero(p);
            operand_mma(p, q_now, k_turned);
            if (ON_GPU || seen < SELECTED_TILE) mask_selected(p, band, now);
            softmax_rescale(out_now, p, maximum_now, sum_now, exponent_scale);
            accumulator_operand_mma(out_now, p, v_packed);
        }
    }
    softmax_end(out, maximum, sum, g.log_sum_exp + sums_of_rows_at(&g, sequence, kv_head) + rows.m0,
                rows.end - rows.m0);
    store_rows(out, q, g.out, g.head_dim, rows);
}

/* On a GPU: dq of a program's rows. Program: as in the forward pass. */
SELECTED_KERNEL(selected_queries) {
    TILE(q, ROWS, HEAD);
    TILE(dout, ROWS, HEAD);
    TILE(k, 2 * SELECTED_TILE, HEAD);
    TILE(v, 2 * SELECTED_TILE, HEAD);
    ROW_VALUES(log_sum_exp, ROWS);
    ROW_VALUES(delta, ROWS);
    ACCUMULATOR(p, ROWS, SELECTED_TILE);
    ACCUMULATOR(ds, ROWS, SELECTED_TILE);
    ACCUMULATOR(dq, ROWS, HEAD);

    const GroupedArguments g = a.grouped;
    const int64_t kv_head = program_y, sequence = program_z, programs = blocks_of(g.T * g.group, ROWS);
    const GroupedRows rows = grouped_rows(&g, sequence, kv_head, (programs - 1 - program_x) * ROWS);
    SelectedTiles next = selected_tiles(&a, sequence, kv_head, token_of_row(rows, rows.m0),
                                        token_of_row(rows, row_inside(rows, ROWS - 1)));
    const int64_t sums = sums_of_rows_at(&g, sequence, kv_head);
    const float exponent_scale = g.scale * LOG2_E;

    load_rows(q, g.q, g.head_dim, rows, rows.m0);
    load_rows(dout, g.dout, g.head_dim, rows, rows.m0);
    EACH_ROW_VALUE(delta, r, i) {
        log_sum_exp[r] = g.log_sum_exp[sums + row_inside(rows, i)];
        delta[r] = g.delta[sums + row_inside(rows, i)];
    }
    accumulator_zero(dq);
    bool more = to_next_tile(&next, &a);
    if (more) load_selected(0, next);
    for (int stage = 0; more; stage = 1 - stage) {
        TILE_VIEW(k_now, k, stage * SELECTED_TILE, 0, SELECTED_TILE, HEAD);
        TILE_VIEW(v_now, v, stage * SELECTED_TILE, 0, SELECTED_TILE, HEAD);
        const SelectedTiles now = next;
        sync();
        more = to_next_tile(&next, &a);
        if (more) load_selected(1 - stage, next);
        accumulator_zero(p);
        mma_nt(p, q, k_now);
        mask_selected(p, rows, now);
        MAP(p, i, j, x, x = exp2_f(x * exponent_scale - ROW_VALUE(log_sum_exp, i)));
        accumulator_zero(ds);
        mma_nt(ds, dout, v_now);
        MAP(ds, i, j, x, x = (x - ROW_VALUE(delta, i)) * PEER(p, i, j));
        accumulator_mma_nn(dq, ds, k_now);
    }
    MAP(dq, i, j, x, x *= g.scale);
    store_rows(dq, q, g.dq, g.head_dim, rows);
}

/* Loads two times 16 rows of q, and of the matrices and sums that belong to them, to one of two stages. */
#define load_query_rows(stage, m)                                                                                      \
    do {                                                                                                               \
        for (int n_ = 0; n_ < 2; n_++) {                                                                               \
            const int m_ = n_ == 0 ? (m).first : (m).second, i_ = (stage)*SELECTED_TILE + n_ * ROWS_OF_TOKEN;          \
            MATRIX_VIEW(sums_, row_sums, (stage)*2, n_ *ROWS_OF_TOKEN, 1, ROWS_OF_TOKEN);                              \
            MATRIX_VIEW(deltas_, row_sums, (stage)*2 + 1, n_ * ROWS_OF_TOKEN, 1, ROWS_OF_TOKEN);                       \
            load_token(q, i_, g.q, g.head_dim, rows, m_);                                                              \
            load_token(dout, i_, g.dout, g.head_dim, rows, m_);                                                        \
            matrix_load(sums_, g.log_sum_exp + sums + (m_ < 0 ? 0 : m_), ROWS_OF_TOKEN, m_ < 0 ? 0 : 1,                \
                        ROWS_OF_TOKEN);                                                                                \
            matrix_load(deltas_, g.delta + sums + (m_ < 0 ? 0 : m_), ROWS_OF_TOKEN, m_ < 0 ? 0 : 1, ROWS_OF_TOKEN);    \
        }                                                                                                              \
    } while (0)

/* On a GPU: dk and dv of a tile of keys, from the queries that selected some of them. Rows are keys, columns are rows
 * of q. Program: tile, key head, sequence. */
SELECTED_KERNEL(selected_keys) {
    TILE(k, SELECTED_KEYS, HEAD);
    TILE(v, SELECTED_KEYS, HEAD);
    TILE(q, 2 * SELECTED_TILE, HEAD);
    TILE(dout, 2 * SELECTED_TILE, HEAD);
    MATRIX(row_sums, 2 * 2, SELECTED_TILE); /* log_sum_exp, delta */
    ROW_VALUES(start, SELECTED_KEYS);       /* the start of the key's document, and below the key's block in it */
    ROW_VALUES(block, SELECTED_KEYS);
    ROW_VALUES(seen_by_first, SELECTED_KEYS);
    ROW_VALUES(seen_by_second, SELECTED_KEYS);
    ACCUMULATOR(p, SELECTED_KEYS, SELECTED_TILE);
    ACCUMULATOR(ds, SELECTED_KEYS, SELECTED_TILE);
    ACCUMULATOR(dk, SELECTED_KEYS, HEAD);
    ACCUMULATOR(dv, SELECTED_KEYS, HEAD);

    const GroupedArguments g = a.grouped;
    const int64_t kv_head = program_y, sequence = program_z, T = g.T, s0 = program_x * SELECTED_KEYS;
    const int64_t tiles = blocks_of(T, SELECTED_KEYS), words = blocks_of(T, BITS_OF_WORD);
    const GroupedRows rows = grouped_rows(&g, sequence, kv_head, 0);
    const Rows keys = {sequence * T + s0, T - s0};
    const int64_t sums = sums_of_rows_at(&g, sequence, kv_head);
    const float exponent_scale = g.scale * LOG2_E;
    QueryRows at = {a.queries + ((sequence * g.kv_heads + kv_head) * tiles + program_x) * words,
                    (int)words,
                    (int)s0 / BITS_OF_WORD - 1,
                    0,
                    0,
                    (int)g.group,
                    0};

    tile_load_block(k, g.k, g.head_dim, keys, kv_head, 0);
    tile_load_block(v, g.v, g.head_dim, keys, kv_head, 0);
    EACH_ROW_VALUE(start, r, i) {
        const int key = s0 + i < T ? (int)s0 + i : (int)T - 1, position = g.position[sequence * T + key];
        start[r] = (float)(key - position);
        block[r] = (float)(position / (int)a.block);
    }
    accumulator_zero(dk);
    accumulator_zero(dv);
    TwoRows next = next_two_rows(&at);
    load_query_rows(0, next);
    for (int stage = 0; next.first >= 0; stage = 1 - stage) {
        TILE_VIEW(q_now, q, stage * SELECTED_TILE, 0, SELECTED_TILE, HEAD);
        TILE_VIEW(dout_now, dout, stage * SELECTED_TILE, 0, SELECTED_TILE, HEAD);
        MATRIX_VIEW(row_sums_now, row_sums, stage * 2, 0, 2, SELECTED_TILE);
        const TwoRows now = next;
        sync();
        next = next_two_rows(&at);
        if (next.first >= 0) load_query_rows(1 - stage, next);
        EACH_ROW_VALUE(seen_by_first, r, i) {
            const KeyPlace place = {(int)s0 + i, (int)start[r], (int)block[r]};
            seen_by_first[r] = is_read_by(&a, sequence * T, kv_head, place, now.first) ? 1.0f : 0.0f;
            seen_by_second[r] = is_read_by(&a, sequence * T, kv_head, place, now.second) ? 1.0f : 0.0f;
        }
        accumulator_zero(p);
        mma_nt(p, k, q_now);
        MAP(p, i, j, x,
            x = ((j < ROWS_OF_TOKEN) & (ROW_VALUE(seen_by_first, i) > 0)) |
                        ((j >= ROWS_OF_TOKEN) & (ROW_VALUE(seen_by_second, i) > 0))
                    ? exp2_f(x * exponent_scale - ENTRY(row_sums_now, 0, j))
                    : 0.0f);
        accumulator_zero(ds);
        mma_nt(ds, v, dout_now);
        MAP(ds, i, j, x, x = (x - ENTRY(row_sums_now, 1, j)) * PEER(p, i, j));
        accumulator_mma_nn(dv, p, dout_now);
        accumulator_mma_nn(dk, ds, q_now);
    }
    MAP(dk, i, j, x, x *= g.scale);
    if (g.dk.data) accumulator_store_block(dk, g.dk, g.head_dim, keys, kv_head, 0);
    if (g.dv.data) accumulator_store_block(dv, g.dv, g.head_dim, keys, kv_head, 0);
}

#include "kernels/softmax/selected_attention/selected_gradients_head.h"

#undef HEAD
#undef ROWS
#undef BAND
#undef load_query_rows
