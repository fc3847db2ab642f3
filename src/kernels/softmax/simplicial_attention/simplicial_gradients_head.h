/* All gradients of simplicial_attention in one walk, for the CPU; part of simplicial_head.h.
 *
 * A program has one part of the pairs of a block of queries and a head that reads its key head. For each tile of first
 * keys it goes over the offsets of the second window. It has p and ds of all pairs, so it adds their contributions to
 * the gradients of keys and values in sums of its own. This takes 6 products for each offset and pair of tiles, and one
 * exponential for each triple of tokens; three walks would take 11 and three. Program: part, key head, sequence. */

/* On a GPU, where this kernel does nothing, it should take little memory. */
#define WIDTH (ON_GPU ? 32 : HEAD)

SIMPLICIAL_KERNEL(simplicial_gradients) {
    TILE(q, SIMPLICIAL_ROWS, WIDTH);
    TILE(q_k2, SIMPLICIAL_ROWS, WIDTH);
    TILE(dout, SIMPLICIAL_ROWS, WIDTH);
    TILE(dout_v2, SIMPLICIAL_ROWS, WIDTH);
    TILE(k1, SIMPLICIAL_ROWS, WIDTH);
    TILE(v1, SIMPLICIAL_ROWS, WIDTH);
    TILE(k2, SIMPLICIAL_ROWS + SIMPLICIAL_OFFSETS, WIDTH);
    TILE(v2, SIMPLICIAL_ROWS + SIMPLICIAL_OFFSETS, WIDTH);
    MATRIX(dk2, SIMPLICIAL_ROWS + SIMPLICIAL_OFFSETS, WIDTH);
    MATRIX(dv2, SIMPLICIAL_ROWS + SIMPLICIAL_OFFSETS, WIDTH);
    ROW_VALUES(log_sum_exp, SIMPLICIAL_ROWS);
    ROW_VALUES(delta, SIMPLICIAL_ROWS);
    ACCUMULATOR(p, SIMPLICIAL_ROWS, SIMPLICIAL_ROWS);
    ACCUMULATOR(ds, SIMPLICIAL_ROWS, SIMPLICIAL_ROWS);
    ACCUMULATOR(ds_k1, SIMPLICIAL_ROWS, WIDTH);
    ACCUMULATOR(p_v1, SIMPLICIAL_ROWS, WIDTH);
    ACCUMULATOR(dk1, SIMPLICIAL_ROWS, WIDTH);
    ACCUMULATOR(dv1, SIMPLICIAL_ROWS, WIDTH);
    ACCUMULATOR(dq, SIMPLICIAL_ROWS, WIDTH);

    const int64_t kv_head = program_y, group = a.heads / a.kv_heads, sequence = program_z;
    const int32_t *position = a.position + sequence * a.T;
    const float exponent_scale = a.scale * LOG2_E;
    const KeySums sums_of_all = sums_of_keys(&a);
    const Heads dk1_sums = part_of_sums(sums_of_all, DK1, program_x),
                dv1_sums = part_of_sums(sums_of_all, DV1, program_x);
    const Heads dk2_sums = part_of_sums(sums_of_all, DK2, program_x),
                dv2_sums = part_of_sums(sums_of_all, DV2, program_x);

    if (ON_GPU) return;
    for (int of = DK1; of <= DV2; of++)
        zero_sums(part_of_sums(sums_of_all, of, program_x), a.head_dim, sequence * a.T, a.T, kv_head);
    for (int64_t n = program_x; n < group * blocks_of(a.T, SIMPLICIAL_ROWS); n += a.parts) {
        const int64_t head = kv_head * group + n % group;
        const int t0 = (int)(n / group) * SIMPLICIAL_ROWS, t1 = lesser_index(t0 + SIMPLICIAL_ROWS, a.T) - 1;
        const int first = first_key(&a, position, t0) / SIMPLICIAL_ROWS * SIMPLICIAL_ROWS;
        const int offsets = lesser_index(a.window2, t1 + 1);
        const int64_t sums = (sequence * a.heads + head) * a.T;
        load_tokens(q, a.q, head, t0);
        load_tokens(dout, a.dout, head, t0);
        EACH_ROW_VALUE(delta, r, i) {
            log_sum_exp[r] = a.log_sum_exp[sums + lesser_index(t0 + i, t1)];
            delta[r] = a.delta[sums + lesser_index(t0 + i, t1)];
        }
        accumulator_zero(dq);
        for (int o0 = 0; o0 < offsets; o0 += SIMPLICIAL_OFFSETS) {
            const int o1 = lesser_index(o0 + SIMPLICIAL_OFFSETS, offsets);
            const int first_k2 = t0 - o0 - SIMPLICIAL_OFFSETS; /* the token in the first row of k2 */
            load_tokens(k2, a.k2, kv_head, first_k2);
            load_tokens(v2, a.v2, kv_head, first_k2);
            EACH_ENTRY(dk2, i, j, x, x = 0);
            EACH_ENTRY(dv2, i, j, x, x = 0);
            for (int s0 = first; s0 <= t1; s0 += SIMPLICIAL_ROWS) {
                const Rows keys = {sequence * a.T + s0, a.T - s0};
                load_tokens(k1, a.k1, kv_head, s0);
                load_tokens(v1, a.v1, kv_head, s0);
                accumulator_load_block_f32(dk1, dk1_sums, a.head_dim, keys, kv_head, 0);
                accumulator_load_block_f32(dv1, dv1_sums, a.head_dim, keys, kv_head, 0);
                RIGHT_OPERAND_T(k1_turned, k1);
                RIGHT_OPERAND_T(v1_turned, v1);
                RIGHT_OPERAND(k1_packed, k1);
                RIGHT_OPERAND(v1_packed, v1);
                for (int o = o0; o < o1; o++) {
                    const int row_k2 = t0 - o - first_k2; /* the row of the first query's second key */
                    multiply_rows(q_k2, q, 0, k2, row_k2, a.k2_bias);
                    multiply_rows(dout_v2, dout, 0, v2, row_k2, a.v2_bias);
                    LEFT_OPERANDS(q_k2_left, q_k2, SIMPLICIAL_ROWS);
                    LEFT_OPERANDS(dout_left, dout_v2, SIMPLICIAL_ROWS);
                    LEFT_OPERAND(q_k2_now, q_k2_left, 0);
                    LEFT_OPERAND(dout_now, dout_left, 0);
                    RIGHT_OPERAND(q_k2_packed, q_k2);
                    RIGHT_OPERAND(dout_packed, dout_v2);
                    accumulator_zero(p);
                    operand_mma(p, q_k2_now, k1_turned);
                    mask_scores(p, t0, t1, o, s0);
                    MAP(p, i, j, x, x = exp2_f(x * exponent_scale - ROW_VALUE(log_sum_exp, i)));
                    accumulator_zero(ds);
                    operand_mma(ds, dout_now, v1_turned);
                    MAP(ds, i, j, x, x = (x - ROW_VALUE(delta, i)) * PEER(p, i, j));
                    accumulator_zero(ds_k1);
                    accumulator_zero(p_v1);
                    accumulator_operand_mma(ds_k1, ds, k1_packed);
                    accumulator_operand_mma(p_v1, p, v1_packed);
                    accumulator_operand_mma_tn(dk1, ds, q_k2_packed);
                    accumulator_operand_mma_tn(dv1, p, dout_packed);
                    MAP(dq, i, j, x, x += PEER(ds_k1, i, j) * (AT(k2, i + row_k2, j) + a.k2_bias));
                    MAP(ds_k1, i, j, x, ENTRY(dk2, i + row_k2, j) += x * AT(q, i, j));
                    MAP(p_v1, i, j, x, ENTRY(dv2, i + row_k2, j) += x * AT(dout, i, j));
                }
                accumulator_store_block_f32(dk1, dk1_sums, a.head_dim, keys, kv_head, 0);
                accumulator_store_block_f32(dv1, dv1_sums, a.head_dim, keys, kv_head, 0);
            }
            add_to_sums(&a, dk2_sums, dk2, dk2_stride, sequence, kv_head, first_k2);
            add_to_sums(&a, dv2_sums, dv2, dv2_stride, sequence, kv_head, first_k2);
        }
        const Rows rows = {sequence * a.T + t0, a.T - t0};
        MAP(dq, i, j, x, x *= a.scale);
        if (a.dq.data) accumulator_store_block(dq, a.dq, a.head_dim, rows, head, 0);
    }
}

#undef WIDTH
