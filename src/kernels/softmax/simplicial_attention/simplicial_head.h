/* The simplicial_attention kernels for heads of up to HEAD columns; simplicial_attention.tile.h includes this once per
 * HEAD. * is the elementwise product; k2 and v2 include their biases.
 *
 * - s_ijk = scale (q_i * k2_k) k1_j, p_ijk = e^(s_ijk - lse_i), o_i = sum_jk p_ijk v1_j * v2_k
 * - ds_ijk = p_ijk ((do_i * v2_k) v1_j - delta_i)
 * - dq_i = scale sum_k k2_k * sum_j ds_ijk k1_j, dk2_k = scale sum_i q_i * sum_j ds_ijk k1_j
 * - dv2_k = sum_i do_i * sum_j p_ijk v1_j
 * - dk1_j = scale sum_ik ds_ijk q_i * k2_k, dv1_j = sum_ik p_ijk do_i * v2_k
 *
 * At one offset o = i - k, the rows (q * k2)_i = q_i * k2_{i-o} and (do * v2)_i are the queries and the output's
 * gradients of an ordinary attention to k1 and v1. Programs go over the offsets of the second window. */

/* Columns of gradients that are summed at a time: COLS for one gradient, COLS_OF_TWO for each of two that also have
 * sums of one offset. On a GPU it is as many as there are registers for; fp32, which is only for comparing numbers, has
 * fewer. */
#define COLS        (!ON_GPU || HEAD < 128 || sizeof(element) == 2 ? HEAD : 64)
#define COLS_OF_TWO (!ON_GPU || HEAD < 64 ? HEAD : sizeof(element) == 2 ? 64 : 32)

/* Program: queries, head, sequence. */
SIMPLICIAL_KERNEL(simplicial_forward) {
    TILE(q, SIMPLICIAL_ROWS, HEAD);
    TILE(q_k2, SIMPLICIAL_ROWS, HEAD);
    TILE(k2, SIMPLICIAL_ROWS + SIMPLICIAL_OFFSETS, HEAD);
    TILE(v2, SIMPLICIAL_ROWS + SIMPLICIAL_OFFSETS, HEAD);
    TILE(k1, 2 * SIMPLICIAL_TILE, HEAD);
    TILE(v1, 2 * SIMPLICIAL_TILE, HEAD);
    ROW_VALUES(maximum, SIMPLICIAL_ROWS);
    ROW_VALUES(sum, SIMPLICIAL_ROWS);
    ROW_VALUES(rescale, SIMPLICIAL_ROWS);
    ROW_VALUES(out_maximum, SIMPLICIAL_ROWS);         /* the maximum at the previous offset, to which out is relative */
    ACCUMULATOR(p, SIMPLICIAL_ROWS, SIMPLICIAL_TILE); /* first (q * k2) k1^T */
    ACCUMULATOR(of_offset, SIMPLICIAL_ROWS, HEAD);
    ACCUMULATOR(out, SIMPLICIAL_ROWS, HEAD);

    const int64_t head = program_y, kv_head = head / (a.heads / a.kv_heads), sequence = program_z;
    const int t0 = ((int)blocks_of(a.T, SIMPLICIAL_ROWS) - 1 - (int)program_x) * SIMPLICIAL_ROWS;
    const int t1 = lesser_index(t0 + SIMPLICIAL_ROWS, a.T) - 1;
    const int32_t *position = a.position + sequence * a.T;
    const int first = first_key(&a, position, t0) / SIMPLICIAL_TILE * SIMPLICIAL_TILE;
    const int offsets = lesser_index(a.window2, t1 + 1);
    const float exponent_scale = a.scale * LOG2_E;

    load_tokens(q, a.q, head, t0);
    softmax_begin(maximum, sum);
    accumulator_zero(out);
    EACH_ROW_VALUE(maximum, r, i) out_maximum[r] = maximum[r];
    for (int o = 0; o < offsets; o++) {
        const int row_k2 = SIMPLICIAL_OFFSETS - o % SIMPLICIAL_OFFSETS; /* row of the first query's second key */
        load_second_keys(o);
        multiply_rows(q_k2, q, 0, k2, row_k2, a.k2_bias);
        walk_blocks(walk, k1, a.k1, a.v1, a.head_dim, sequence * a.T + first, kv_head, a.aligned);
        load_stage(k1, v1, 0, walk, a.T - first);
        accumulator_zero(of_offset);
        int stage = 0;
        for (int s0 = first; s0 <= t1; s0 += SIMPLICIAL_TILE) {
            TILE_VIEW(k1_now, k1, stage * SIMPLICIAL_TILE, 0, SIMPLICIAL_TILE, HEAD);
            TILE_VIEW(v1_now, v1, stage * SIMPLICIAL_TILE, 0, SIMPLICIAL_TILE, HEAD);
            stage = 1 - stage;
            sync();
            if (s0 + SIMPLICIAL_TILE <= t1) load_stage(k1, v1, stage, walk, a.T - s0 - SIMPLICIAL_TILE);
            accumulator_zero(p);
            mma_nt(p, q_k2, k1_now);
            mask_scores(p, t0, t1, o, s0);
            softmax_weights(p, maximum, sum, rescale, exponent_scale);
            rescale_sum(of_offset, rescale);
            accumulator_mma_nn(of_offset, p, v1_now);
        }
        EACH_ROW_VALUE(maximum, r, i) {
            rescale[r] = exp2_f(out_maximum[r] - maximum[r]);
            out_maximum[r] = maximum[r];
        }
        MAP(out, i, j, x, x = x * ROW_VALUE(rescale, i) + PEER(of_offset, i, j) * (AT(v2, i + row_k2, j) + a.v2_bias));
    }
    softmax_end(out, maximum, sum, a.log_sum_exp + (sequence * a.heads + head) * a.T + t0, t1 + 1 - t0);
    const Rows rows = {sequence * a.T + t0, a.T - t0};
    accumulator_store_block(out, a.out, a.head_dim, rows, head, 0);
}

/* On a GPU: dq of a program's queries, COLS columns at a time. Program: as in the forward pass. */
SIMPLICIAL_KERNEL(simplicial_queries) {
    TILE(q, SIMPLICIAL_ROWS, HEAD);
    TILE(q_k2, SIMPLICIAL_ROWS, HEAD);
    TILE(dout, SIMPLICIAL_ROWS, HEAD);
    TILE(dout_v2, SIMPLICIAL_ROWS, HEAD);
    TILE(k2, SIMPLICIAL_ROWS + SIMPLICIAL_OFFSETS, HEAD);
    TILE(v2, SIMPLICIAL_ROWS + SIMPLICIAL_OFFSETS, HEAD);
    TILE(k1, 2 * SIMPLICIAL_TILE, HEAD);
    TILE(v1, 2 * SIMPLICIAL_TILE, HEAD);
    ROW_VALUES(log_sum_exp, SIMPLICIAL_ROWS);
    ROW_VALUES(delta, SIMPLICIAL_ROWS);
    ACCUMULATOR(p, SIMPLICIAL_ROWS, SIMPLICIAL_TILE);
    ACCUMULATOR(ds, SIMPLICIAL_ROWS, SIMPLICIAL_TILE);
    ACCUMULATOR(of_offset, SIMPLICIAL_ROWS, COLS);
    ACCUMULATOR(dq, SIMPLICIAL_ROWS, COLS);

    const int64_t head = program_y, kv_head = head / (a.heads / a.kv_heads), sequence = program_z;
    const int t0 = ((int)blocks_of(a.T, SIMPLICIAL_ROWS) - 1 - (int)program_x) * SIMPLICIAL_ROWS;
    const int t1 = lesser_index(t0 + SIMPLICIAL_ROWS, a.T) - 1;
    const int32_t *position = a.position + sequence * a.T;
    const int first = first_key(&a, position, t0) / SIMPLICIAL_TILE * SIMPLICIAL_TILE;
    const int offsets = lesser_index(a.window2, t1 + 1);
    const int64_t sums = (sequence * a.heads + head) * a.T;
    const float exponent_scale = a.scale * LOG2_E;

    load_tokens(q, a.q, head, t0);
    load_tokens(dout, a.dout, head, t0);
    EACH_ROW_VALUE(delta, r, i) {
        log_sum_exp[r] = a.log_sum_exp[sums + lesser_index(t0 + i, t1)];
        delta[r] = a.delta[sums + lesser_index(t0 + i, t1)];
    }
    const Rows rows = {sequence * a.T + t0, a.T - t0};
    for (int c = 0; c < HEAD; c += COLS) {
        accumulator_zero(dq);
        for (int o = 0; o < offsets; o++) {
            const int row_k2 = SIMPLICIAL_OFFSETS - o % SIMPLICIAL_OFFSETS; /* row of the first query's second key */
            load_second_keys(o);
            multiply_rows(q_k2, q, 0, k2, row_k2, a.k2_bias);
            multiply_rows(dout_v2, dout, 0, v2, row_k2, a.v2_bias);
            walk_blocks(walk, k1, a.k1, a.v1, a.head_dim, sequence * a.T + first, kv_head, a.aligned);
            load_stage(k1, v1, 0, walk, a.T - first);
            accumulator_zero(of_offset);
            int stage = 0;
            for (int s0 = first; s0 <= t1; s0 += SIMPLICIAL_TILE) {
                TILE_VIEW(k1_now, k1, stage * SIMPLICIAL_TILE, 0, SIMPLICIAL_TILE, HEAD);
                TILE_VIEW(k1_columns, k1, stage * SIMPLICIAL_TILE, c, SIMPLICIAL_TILE, COLS);
                TILE_VIEW(v1_now, v1, stage * SIMPLICIAL_TILE, 0, SIMPLICIAL_TILE, HEAD);
                stage = 1 - stage;
                sync();
                if (s0 + SIMPLICIAL_TILE <= t1) load_stage(k1, v1, stage, walk, a.T - s0 - SIMPLICIAL_TILE);
                accumulator_zero(p);
                mma_nt(p, q_k2, k1_now);
                mask_scores(p, t0, t1, o, s0);
                MAP(p, i, j, x, x = exp2_f(x * exponent_scale - ROW_VALUE(log_sum_exp, i)));
                accumulator_zero(ds);
                mma_nt(ds, dout_v2, v1_now);
                MAP(ds, i, j, x, x = (x - ROW_VALUE(delta, i)) * PEER(p, i, j));
                accumulator_mma_nn(of_offset, ds, k1_columns);
            }
            MAP(dq, i, j, x, x += PEER(of_offset, i, j) * (AT(k2, i + row_k2, c + j) + a.k2_bias));
        }
        MAP(dq, i, j, x, x *= a.scale);
        accumulator_store_block(dq, a.dq, a.head_dim, rows, head, c / COLS);
    }
}

/* On a GPU: dk2 and dv2 of a program's keys, from the queries of every head that reads them: at offset o, the queries
 * of tokens o later. Takes COLS_OF_TWO columns of both gradients at a time. Program: keys, key head, sequence. */
SIMPLICIAL_KERNEL(simplicial_second_keys) {
    TILE(k2, SIMPLICIAL_ROWS, HEAD);
    TILE(v2, SIMPLICIAL_ROWS, HEAD);
    TILE(q, SIMPLICIAL_ROWS + SIMPLICIAL_OFFSETS, HEAD);
    TILE(q_k2, SIMPLICIAL_ROWS, HEAD);
    TILE(dout, SIMPLICIAL_ROWS + SIMPLICIAL_OFFSETS, HEAD);
    TILE(dout_v2, SIMPLICIAL_ROWS, HEAD);
    TILE(k1, 2 * SIMPLICIAL_TILE, HEAD);
    TILE(v1, 2 * SIMPLICIAL_TILE, HEAD);
    ROW_VALUES(log_sum_exp, SIMPLICIAL_ROWS);
    ROW_VALUES(delta, SIMPLICIAL_ROWS);
    ACCUMULATOR(p, SIMPLICIAL_ROWS, SIMPLICIAL_TILE);
    ACCUMULATOR(ds, SIMPLICIAL_ROWS, SIMPLICIAL_TILE);
    ACCUMULATOR(k_of_offset, SIMPLICIAL_ROWS, COLS_OF_TWO);
    ACCUMULATOR(v_of_offset, SIMPLICIAL_ROWS, COLS_OF_TWO);
    ACCUMULATOR(dk2, SIMPLICIAL_ROWS, COLS_OF_TWO);
    ACCUMULATOR(dv2, SIMPLICIAL_ROWS, COLS_OF_TWO);

    const int64_t kv_head = program_y, group = a.heads / a.kv_heads, sequence = program_z;
    const int k0 = (int)program_x * SIMPLICIAL_ROWS, last = (int)a.T - 1;
    const int32_t *position = a.position + sequence * a.T;
    const int offsets = lesser_index(a.window2, a.T - k0);
    const Rows rows = {sequence * a.T + k0, a.T - k0};
    const float exponent_scale = a.scale * LOG2_E;

    load_tokens(k2, a.k2, kv_head, k0);
    load_tokens(v2, a.v2, kv_head, k0);
    for (int c = 0; c < HEAD; c += COLS_OF_TWO) {
        accumulator_zero(dk2);
        accumulator_zero(dv2);
        for (int64_t head = kv_head * group; head < (kv_head + 1) * group; head++) {
            const int64_t sums = (sequence * a.heads + head) * a.T;
            for (int o = 0; o < offsets; o++) {
                const int row_q = o % SIMPLICIAL_OFFSETS, t0 = k0 + o; /* the first query's row in the tile; token */
                const int t1 = lesser_index(t0 + SIMPLICIAL_ROWS - 1, last);
                const int first = first_key(&a, position, t0) / SIMPLICIAL_TILE * SIMPLICIAL_TILE;
                sync();
                if (row_q == 0) {
                    load_tokens(q, a.q, head, t0);
                    load_tokens(dout, a.dout, head, t0);
                    sync();
                }
                multiply_rows(q_k2, q, row_q, k2, 0, a.k2_bias);
                multiply_rows(dout_v2, dout, row_q, v2, 0, a.v2_bias);
                EACH_ROW_VALUE(delta, r, i) {
                    log_sum_exp[r] = a.log_sum_exp[sums + lesser_index(t0 + i, t1)];
                    delta[r] = a.delta[sums + lesser_index(t0 + i, t1)];
                }
                walk_blocks(walk, k1, a.k1, a.v1, a.head_dim, sequence * a.T + first, kv_head, a.aligned);
                load_stage(k1, v1, 0, walk, a.T - first);
                accumulator_zero(k_of_offset);
                accumulator_zero(v_of_offset);
                int stage = 0;
                for (int s0 = first; s0 <= t1; s0 += SIMPLICIAL_TILE) {
                    TILE_VIEW(k1_now, k1, stage * SIMPLICIAL_TILE, 0, SIMPLICIAL_TILE, HEAD);
                    TILE_VIEW(v1_now, v1, stage * SIMPLICIAL_TILE, 0, SIMPLICIAL_TILE, HEAD);
                    TILE_VIEW(k1_columns, k1, stage * SIMPLICIAL_TILE, c, SIMPLICIAL_TILE, COLS_OF_TWO);
                    TILE_VIEW(v1_columns, v1, stage * SIMPLICIAL_TILE, c, SIMPLICIAL_TILE, COLS_OF_TWO);
                    stage = 1 - stage;
                    sync();
                    if (s0 + SIMPLICIAL_TILE <= t1) load_stage(k1, v1, stage, walk, a.T - s0 - SIMPLICIAL_TILE);
                    accumulator_zero(p);
                    mma_nt(p, q_k2, k1_now);
                    mask_scores(p, t0, t1, o, s0);
                    MAP(p, i, j, x, x = exp2_f(x * exponent_scale - ROW_VALUE(log_sum_exp, i)));
                    accumulator_zero(ds);
                    mma_nt(ds, dout_v2, v1_now);
                    MAP(ds, i, j, x, x = (x - ROW_VALUE(delta, i)) * PEER(p, i, j));
                    accumulator_mma_nn(v_of_offset, p, v1_columns);
                    accumulator_mma_nn(k_of_offset, ds, k1_columns);
                }
                MAP(dk2, i, j, x, x += PEER(k_of_offset, i, j) * AT(q, i + row_q, c + j));
                MAP(dv2, i, j, x, x += PEER(v_of_offset, i, j) * AT(dout, i + row_q, c + j));
            }
        }
        MAP(dk2, i, j, x, x *= a.scale);
        if (a.dk2.data) accumulator_store_block(dk2, a.dk2, a.head_dim, rows, kv_head, c / COLS_OF_TWO);
        if (a.dv2.data) accumulator_store_block(dv2, a.dv2, a.head_dim, rows, kv_head, c / COLS_OF_TWO);
    }
}

/* On a GPU: dk1 and dv1 of a program's keys, from the queries of every head that reads them. Rows are keys, columns are
 * queries. Takes COLS columns of both gradients at a time. Program: as for the second keys. */
SIMPLICIAL_KERNEL(simplicial_first_keys) {
    TILE(k1, SIMPLICIAL_ROWS, HEAD);
    TILE(v1, SIMPLICIAL_ROWS, HEAD);
    TILE(k2, SIMPLICIAL_TILE + SIMPLICIAL_OFFSETS, HEAD);
    TILE(v2, SIMPLICIAL_TILE + SIMPLICIAL_OFFSETS, HEAD);
    TILE(q, SIMPLICIAL_TILE, HEAD);
    TILE(q_k2, SIMPLICIAL_TILE, HEAD);
    TILE(dout, SIMPLICIAL_TILE, HEAD);
    TILE(dout_v2, SIMPLICIAL_TILE, HEAD);
    MATRIX(columns, 4, SIMPLICIAL_TILE); /* log_sum_exp, delta, first key and position of a query */
    ACCUMULATOR(p, SIMPLICIAL_ROWS, SIMPLICIAL_TILE);
    ACCUMULATOR(ds, SIMPLICIAL_ROWS, SIMPLICIAL_TILE);
    ACCUMULATOR(dk1, SIMPLICIAL_ROWS, COLS);
    ACCUMULATOR(dv1, SIMPLICIAL_ROWS, COLS);

    const int64_t kv_head = program_y, group = a.heads / a.kv_heads, sequence = program_z;
    const int s0 = (int)program_x * SIMPLICIAL_ROWS;
    const int end = lesser_index(s0 + SIMPLICIAL_ROWS - 1 + a.window1, a.T); /* the end of the queries */
    const int32_t *position = a.position + sequence * a.T;
    const Rows rows = {sequence * a.T + s0, a.T - s0};
    const float exponent_scale = a.scale * LOG2_E;

    load_tokens(k1, a.k1, kv_head, s0);
    load_tokens(v1, a.v1, kv_head, s0);
    for (int c = 0; c < HEAD; c += COLS) {
        TILE_VIEW(q_columns, q_k2, 0, c, SIMPLICIAL_TILE, COLS);
        TILE_VIEW(dout_columns, dout_v2, 0, c, SIMPLICIAL_TILE, COLS);
        accumulator_zero(dk1);
        accumulator_zero(dv1);
        for (int64_t head = kv_head * group; head < (kv_head + 1) * group; head++) {
            const int64_t sums = (sequence * a.heads + head) * a.T;
            for (int t0 = s0; t0 < end && t0 - position[t0] < s0 + SIMPLICIAL_ROWS; t0 += SIMPLICIAL_TILE) {
                const int offsets = lesser_index(a.window2, t0 + SIMPLICIAL_TILE), shift = t0 - s0;
                sync();
                load_tokens(q, a.q, head, t0);
                load_tokens(dout, a.dout, head, t0);
                EACH (j, SIMPLICIAL_TILE) {
                    const int t = lesser_index(t0 + j, a.T - 1);
                    ENTRY(columns, 0, j) = a.log_sum_exp[sums + t];
                    ENTRY(columns, 1, j) = a.delta[sums + t];
                    ENTRY(columns, 2, j) = (float)(first_key(&a, position, t) - s0);
                    ENTRY(columns, 3, j) = t0 + j < a.T ? (float)position[t] : -1.0f;
                }
                for (int o = 0; o < offsets; o++) {
                    const int row_k2 =
                        SIMPLICIAL_OFFSETS - o % SIMPLICIAL_OFFSETS; /* the row of the first query's second key */
                    load_second_keys(o);
                    multiply_rows(q_k2, q, 0, k2, row_k2, a.k2_bias);
                    multiply_rows(dout_v2, dout, 0, v2, row_k2, a.v2_bias);
                    sync();
                    accumulator_zero(p);
                    mma_nt(p, k1, q_k2);
                    MAP(p, i, j, x,
                        x = (i <= j + shift) & ((float)i >= ENTRY(columns, 2, j)) & ((float)o <= ENTRY(columns, 3, j))
                                ? exp2_f(x * exponent_scale - ENTRY(columns, 0, j))
                                : 0.0f);
                    accumulator_zero(ds);
                    mma_nt(ds, v1, dout_v2);
                    MAP(ds, i, j, x, x = (x - ENTRY(columns, 1, j)) * PEER(p, i, j));
                    accumulator_mma_nn(dv1, p, dout_columns);
                    accumulator_mma_nn(dk1, ds, q_columns);
                }
            }
        }
        MAP(dk1, i, j, x, x *= a.scale);
        if (a.dk1.data) accumulator_store_block(dk1, a.dk1, a.head_dim, rows, kv_head, c / COLS);
        if (a.dv1.data) accumulator_store_block(dv1, a.dv1, a.head_dim, rows, kv_head, c / COLS);
    }
}

#include "kernels/softmax/simplicial_attention/simplicial_gradients_head.h"

#undef HEAD
#undef COLS
#undef COLS_OF_TWO
