/* All gradients of attention in one walk, for the CPU; part of attention_head.h.
 *
 * Rows are keys and columns are queries, as in attention_keys. A program takes several blocks of keys at a time, for
 * which it loads and packs each tile of queries once, and then the next such blocks of its part of the keys. It has p
 * and ds of all of their pairs, so it can also add their contributions to dq, in sums that stay in the processor's
 * cache. This takes 5 products for each pair of tiles and one exponential for each pair of tokens; two walks would take
 * 7 and two. */
#undef TILE_PROGRAMS
#define TILE_PROGRAMS 1
ATTENTION_KERNEL(attention_gradients) {
    enum { ALL_ROWS = ATTENTION_BLOCKS(ON_GPU, HEAD) * KEY_ROWS };
    TILE(k, ALL_ROWS, HEAD);
    TILE(v, ALL_ROWS, HEAD);
    TILE(q, ATTENTION_TILE, HEAD);
    TILE(dout, ATTENTION_TILE, HEAD);
    MATRIX(row_sums, 2, ATTENTION_TILE); /* log_sum_exp, delta */
    ACCUMULATOR(p, KEY_ROWS, ATTENTION_TILE);
    ACCUMULATOR(ds, KEY_ROWS, ATTENTION_TILE);
    ACCUMULATOR(dk, ALL_ROWS, HEAD);
    ACCUMULATOR(dv, ALL_ROWS, HEAD);
    ACCUMULATOR(dq, ATTENTION_TILE, HEAD);
    WITH_GATES(ROW_VALUES(decay_of_key, KEY_ROWS);)
    WITH_GATES(ROW_VALUES(dc, ALL_ROWS);)
    WITH_GATES(ROW_VALUES(tile_value, KEY_ROWS);)
    WITH_GATES(MATRIX(dc_of_query, KEY_ROWS / 16, ATTENTION_TILE);)

    const int T = (int)a.T, kv_head = (int)program_y, group = (int)(a.heads / a.kv_heads);
    const int first_head = kv_head * group;
    const float exponent_scale = a.scale * LOG2_E;

    if (ON_GPU) return;
    float *const sums_of_part = query_sums_of(&a, program_x, program_z, first_head);
    EACH (i, group * a.T * a.head_dim) sums_of_part[i] = 0;
    WITH_GATES(float *const dc_of_part = gradient_of_query_of(&a, program_x, program_z, first_head);)
    WITH_GATES(EACH (i, group * a.tokens) dc_of_part[i] = 0;)
    for (int n = (int)program_x; n * ALL_ROWS < T; n += (int)a.parts) {
        const Block keys = block_of(T, (int)program_z, n * ALL_ROWS, ALL_ROWS);
        const int last_query = queries_of(keys, a.last_query).last;
        const Rows rows = rows_from(keys, T, keys.t0);
        tile_load_block(k, a.k, a.head_dim, rows, kv_head, 0);
        tile_load_block(v, a.v, a.head_dim, rows, kv_head, 0);
        LEFT_OPERANDS(k_left, k, KEY_ROWS);
        LEFT_OPERANDS(v_left, v, KEY_ROWS);
        RIGHT_OPERANDS(k_right, k, KEY_ROWS);
        accumulator_zero(dk);
        accumulator_zero(dv);
        for (int head = first_head; head < first_head + group; head++) {
            float *const query_sums = query_sums_of(&a, program_x, program_z, head);
            WITH_GATES(float *const dc_sums = gradient_of_query_of(&a, program_x, program_z, head);)
            WITH_GATES(EACH_ROW_VALUE(dc, r, i) dc[r] = 0;)
            walk_blocks(walk, q, a.q, a.dout, a.head_dim, rows.first, head, a.aligned);
            for (int t0 = keys.t0; t0 <= last_query; t0 += ATTENTION_TILE) {
                walk_load(q, dout, walk, T - t0);
                matrix_load_whole(row_sums, row_sums_of(&a, program_z, head, t0));
                RIGHT_OPERAND_T(q_turned, q);
                RIGHT_OPERAND(q_packed, q);
                RIGHT_OPERAND_T(dout_turned, dout);
                RIGHT_OPERAND(dout_packed, dout);
                accumulator_load(dq, query_sums + t0 * a.head_dim, a.head_dim, T - t0, a.head_dim);
                EACH_BAND(b, KEY_ROWS, keys.end - keys.t0) {
                    const Block block = band_of_block(keys, b, KEY_ROWS);
                    const QueryRange seen = queries_of(block, a.last_query);
                    if (t0 + ATTENTION_TILE <= block.t0 || t0 > seen.last) continue;
                    LEFT_OPERAND(k_now, k_left, b);
                    LEFT_OPERAND(v_now, v_left, b);
                    RIGHT_OPERAND_OF(k_packed, k_right, b);
                    ACCUMULATOR_BAND(dk_now, dk, b, KEY_ROWS);
                    ACCUMULATOR_BAND(dv_now, dv, b, KEY_ROWS);
                    accumulator_zero(p);
                    operand_mma(p, k_now, q_turned);
                    WITH_GATES(const Decay decay = decay_from(&a, program_z, head, block.t0);)
                    WITH_GATES(const float before = decay_before(decay, sums_of_tile(decay.sums, t0));)
                    WITH_GATES(load_decay_of_keys(decay_of_key, decay, block);)
                    WITH_GATES(MAP(p, i, j, x, x += before - ROW_VALUE(decay_of_key, i));)
                    mask_queries(p, block, seen, a.last_query, t0);
                    MAP(p, i, j, x, x = exp2_f(x * exponent_scale - ENTRY(row_sums, 0, j)));
                    accumulator_zero(ds);
                    operand_mma(ds, v_now, dout_turned);
                    MAP(ds, i, j, x, x = (x - ENTRY(row_sums, 1, j)) * PEER(p, i, j));
                    WITH_GATES(ROW_VALUES_BAND(dc_now, dc, b, KEY_ROWS);)
                    WITH_GATES(add_row_sums(dc_now, tile_value, ds);)
                    WITH_GATES(add_column_sums(dc_sums + t0, dc_of_query, ds);)
                    if (a.dv.data) accumulator_operand_mma(dv_now, p, dout_packed);
                    accumulator_operand_mma(dk_now, ds, q_packed);
                    accumulator_operand_mma_tn(dq, ds, k_packed);
                }
                accumulator_store_f32(dq, query_sums + t0 * a.head_dim, a.head_dim, T - t0, a.head_dim);
            }
            WITH_GATES(store_row_sums(dc, a.gradient_of_key + (program_z * a.heads + head) * a.tokens, keys);)
        }
        MAP(dk, i, j, x, x *= a.scale);
        if (a.dk.data) accumulator_store_block(dk, a.dk, a.head_dim, rows, kv_head, 0);
        if (a.dv.data) accumulator_store_block(dv, a.dv, a.head_dim, rows, kv_head, 0);
    }
}
