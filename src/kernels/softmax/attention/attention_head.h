/* The attention kernels for heads of up to HEAD columns; included once per HEAD by attention.tile.h, by
 * attention_gates.tile.h with log gates (GATES = 1), and by delta_values_gradient.tile.h.
 *
 * Sums are over the keys j that query i sees, or over the queries i that see key j; do is the gradient of o:
 * - s_ij = scale q_i k_j, p_ij = e^(s_ij - lse_i), o_i = sum_j p_ij v_j
 * - ds_ij = p_ij (do_i v_j - delta_i), dv_j = sum_i p_ij do_i
 * - dq_i = scale sum_j ds_ij k_j, dk_j = scale sum_i ds_ij q_i
 * With gates (arXiv 2503.02130), where c_t is the running sum of their logarithms:
 * - s_ij = scale q_i k_j + c_i - c_j, dc_t = sum_j ds_tj - sum_i ds_it
 * The first sum of dc would be 0 without rounding, above all that of delta. It is kept so that these errors do not add
 * up over all later tokens.
 *
 * Exponentials are powers of 2, with exponents multiplied by log2(e). Tiles of keys and queries that do not see each
 * other are not visited; only tiles at a boundary are masked. p and ds go straight from the accumulators that they are
 * computed in to the next product. On a GPU, 32 keys at a time leave registers for three programs per multiprocessor in
 * the forward pass and in that of dq, so that one computes products while another computes exponentials. */

#define FORWARD_ROWS ATTENTION_FORWARD_ROWS(ON_GPU, HEAD)
#define QUERY_ROWS   ATTENTION_QUERY_ROWS(ON_GPU, HEAD)
#define KEY_ROWS     ATTENTION_KEY_ROWS(ON_GPU, HEAD, GATES)
#define COLS         (HEAD < 128 ? HEAD : 128)

/* Whole statements that only kernels with gates have. */
#if GATES
#define WITH_GATES(...) __VA_ARGS__
#else
#define WITH_GATES(...)
#endif

/* Loads the keys and values from s0 on to a stage. */
#define load_key_stage(stage, s0)                                                                                      \
    do {                                                                                                               \
        load_stage(k, v, stage, walk, T - (s0));                                                                       \
        WITH_GATES(load_decay_stage(sums, stage, a.decay + (program_z * a.heads + head) * a.decay_of_head, s0);)       \
    } while (0)

#if !ATTENTION_STRICT
/* FlashAttention-2 (arXiv 2307.08691): keys come in tiles, and each row keeps the maximum and the sum of e^(s -
 * maximum) so far. The next tiles of keys and values are loaded while these are used. On the CPU a tile of keys is
 * loaded and packed once for several blocks of queries. */
#undef TILE_PROGRAMS
#define TILE_PROGRAMS (HEAD <= 64 && sizeof(element) == 2 ? 3 : 1)
ATTENTION_KERNEL(attention_forward) {
    enum { ALL_ROWS = ATTENTION_BLOCKS(ON_GPU, HEAD) * FORWARD_ROWS };
    TILE(q, ALL_ROWS, HEAD);
    TILE(k, 2 * ATTENTION_TILE, HEAD);
    TILE(v, 2 * ATTENTION_TILE, HEAD);
    WITH_GATES(MATRIX(sums, 2, ATTENTION_TILE + SUMS_BEFORE);)
    ROW_VALUES(maximum, ALL_ROWS);
    ROW_VALUES(sum, ALL_ROWS);
    ACCUMULATOR(p, FORWARD_ROWS, ATTENTION_TILE); /* first q k^T */
    ACCUMULATOR(out, ALL_ROWS, HEAD);

    const int T = (int)a.T, head = (int)program_y, kv_head = head / (int)(a.heads / a.kv_heads);
    const int program_rows = (ON_GPU ? 1 : (int)a.forward_blocks) * FORWARD_ROWS;
    const int last_program = (T - 1) / program_rows; /* the programs with the most keys run first */
    const Block queries = block_of(T, (int)program_z, (last_program - (int)program_x) * program_rows, program_rows);
    const KeyRange keys = keys_of(queries, a.first_key);
    const Rows rows = {queries.sequence + queries.t0, queries.end - queries.t0};
    const float exponent_scale = a.scale * LOG2_E;

    WITH_GATES(const Decay start = decay_from(&a, program_z, head, queries.t0);)
    walk_blocks(walk, k, a.k, a.v, a.head_dim, queries.sequence + keys.start, kv_head, a.aligned);
    tile_load_block(q, a.q, a.head_dim, rows, head, 0);
    LEFT_OPERANDS(q_blocks, q, FORWARD_ROWS);
    load_key_stage(0, keys.start);
    softmax_begin(maximum, sum);
    accumulator_zero(out);
    int stage = 0;
    for (int s0 = keys.start; s0 < queries.end; s0 += ATTENTION_TILE) {
        TILE_VIEW(k_now, k, stage * ATTENTION_TILE, 0, ATTENTION_TILE, HEAD);
        TILE_VIEW(v_now, v, stage * ATTENTION_TILE, 0, ATTENTION_TILE, HEAD);
        WITH_GATES(MATRIX_VIEW(sums_now, sums, stage, 0, 1, ATTENTION_TILE + SUMS_BEFORE);)
        stage = 1 - stage;
        sync();
        if (s0 + ATTENTION_TILE < queries.end) load_key_stage(stage, s0 + ATTENTION_TILE);
        RIGHT_OPERAND_T(k_turned, k_now);
        RIGHT_OPERAND(v_packed, v_now);
        EACH_BAND(b, FORWARD_ROWS, queries.end - queries.t0) {
            const Block block = ON_GPU ? queries : band_of_block(queries, b, FORWARD_ROWS);
            const KeyRange seen = ON_GPU ? keys : keys_of(block, a.first_key);
            if (!ON_GPU && (s0 < seen.start || s0 >= block.end)) continue;
            LEFT_OPERAND(q_now, q_blocks, b);
            ACCUMULATOR_BAND(out_now, out, b, FORWARD_ROWS);
            ROW_VALUES_BAND(maximum_now, maximum, b, FORWARD_ROWS);
            ROW_VALUES_BAND(sum_now, sum, b, FORWARD_ROWS);
            accumulator_zero(p);
            operand_mma(p, q_now, k_turned);
            WITH_GATES(const Decay decay = ON_GPU ? start : decay_from(&a, program_z, head, block.t0);)
            WITH_GATES(const float before = decay_before(decay, sums_now);)
            WITH_GATES(MAP(p, i, j, x, x -= ENTRY(sums_now, 0, j) + before);)
            mask_keys(p, block, seen, a.first_key, s0);
            softmax_rescale(out_now, p, maximum_now, sum_now, exponent_scale);
            accumulator_operand_mma(out_now, p, v_packed);
        }
    }
    row_values_total(sum);
    float *log_sum_exp = a.log_sum_exp + (program_z * a.heads + head) * a.T;
    EACH_ROW_VALUE(sum, r, i) {
        const int t = queries.t0 + i;
        if (t < queries.end) {
            float of_row = maximum[r] + logf(sum[r]) * LOG2_E;
            WITH_GATES(const Decay decay = ON_GPU ? start : decay_from(&a, program_z, head, t - i % FORWARD_ROWS);)
            WITH_GATES(of_row += decay_of_token(decay, t) * exponent_scale;)
            log_sum_exp[t] = of_row;
        }
        sum[r] = 1 / sum[r];
    }
    MAP(out, i, j, x, x *= ROW_VALUE(sum, i));
    accumulator_store_block(out, a.out, a.head_dim, rows, head, 0);
}
#endif

/* On a GPU: dq of a block of queries. Tiles of keys and values are loaded as in the forward pass. With gates there are
 * registers for only two programs. */
#undef TILE_PROGRAMS
#define TILE_PROGRAMS (HEAD <= 64 && sizeof(element) == 2 ? 3 - GATES : 1)
ATTENTION_KERNEL(attention_queries) {
    TILE(q, QUERY_ROWS, HEAD);
    TILE(dout, QUERY_ROWS, HEAD);
    TILE(k, 2 * ATTENTION_TILE, HEAD);
    TILE(v, 2 * ATTENTION_TILE, HEAD);
    WITH_GATES(MATRIX(sums, 2, ATTENTION_TILE + SUMS_BEFORE);)
    WITH_GATES(ROW_VALUES(dc, QUERY_ROWS);)
    WITH_GATES(ROW_VALUES(tile_value, QUERY_ROWS);)
    ROW_VALUES(log_sum_exp, QUERY_ROWS);
    ROW_VALUES(delta, QUERY_ROWS);
    ACCUMULATOR(p, QUERY_ROWS, ATTENTION_TILE);
    ACCUMULATOR(ds, QUERY_ROWS, ATTENTION_TILE);
    ACCUMULATOR(dq, QUERY_ROWS, HEAD);

    if (!ON_GPU) return;
    const int T = (int)a.T, head = (int)program_y, kv_head = head / (int)(a.heads / a.kv_heads);
    const int last_block = (T - 1) / q_rows;
    const Block queries = block_of(T, (int)program_z, (last_block - (int)program_x) * q_rows, q_rows);
    const KeyRange keys = keys_of(queries, a.first_key);
    const Rows rows = rows_from(queries, T, queries.t0);
    const float exponent_scale = a.scale * LOG2_E;

    WITH_GATES(const Decay decay = decay_from(&a, program_z, head, queries.t0);)
    tile_load_block(q, a.q, a.head_dim, rows, head, 0);
    tile_load_block(dout, a.dout, a.head_dim, rows, head, 0);
    walk_blocks(walk, k, a.k, a.v, a.head_dim, queries.sequence + keys.start, kv_head, a.aligned);
    load_key_stage(0, keys.start);
    EACH_ROW_VALUE(delta, r, i) {
        const float *row_sums = row_sums_of(&a, program_z, head, token_of(queries, i));
        log_sum_exp[r] = row_sums[0];
        delta[r] = row_sums[ATTENTION_TILE];
        WITH_GATES(const float before = decay_before(decay, sums_of_tile(decay.sums, token_of(queries, i)));)
        WITH_GATES(log_sum_exp[r] -= before * exponent_scale;)
        WITH_GATES(dc[r] = 0;)
    }
    accumulator_zero(dq);
    int stage = 0;
    for (int s0 = keys.start; s0 < queries.end; s0 += ATTENTION_TILE) {
        TILE_VIEW(k_now, k, stage * ATTENTION_TILE, 0, ATTENTION_TILE, HEAD);
        TILE_VIEW(v_now, v, stage * ATTENTION_TILE, 0, ATTENTION_TILE, HEAD);
        WITH_GATES(MATRIX_VIEW(sums_now, sums, stage, 0, 1, ATTENTION_TILE + SUMS_BEFORE);)
        stage = 1 - stage;
        sync();
        if (s0 + ATTENTION_TILE < queries.end) load_key_stage(stage, s0 + ATTENTION_TILE);
        accumulator_zero(p);
        mma_nt(p, q, k_now);
        WITH_GATES(const float before = decay_before(decay, sums_now);)
        WITH_GATES(MAP(p, i, j, x, x -= ENTRY(sums_now, 0, j) + before);)
        mask_keys(p, queries, keys, a.first_key, s0);
        MAP(p, i, j, x, x = exp2_f(x * exponent_scale - ROW_VALUE(log_sum_exp, i)));
        accumulator_zero(ds);
        mma_nt(ds, dout, v_now);
        MAP(ds, i, j, x, x = (x - ROW_VALUE(delta, i)) * PEER(p, i, j));
        WITH_GATES(add_row_sums(dc, tile_value, ds);)
        accumulator_mma_nn(dq, ds, k_now);
    }
    MAP(dq, i, j, x, x *= a.scale);
    WITH_GATES(store_row_sums(dc, a.gradient_of_query + (program_z * a.heads + head) * a.tokens, queries);)
    if (!GATES || a.dq.data) accumulator_store_block(dq, a.dq, a.head_dim, rows, head, 0);
}

/* Loads the queries from t0 on, the gradient of their output, and their log_sum_exp and delta to a stage. Past the end
 * of the sequence all of these are 0, which adds nothing. */
#define load_query_stage(stage, t0)                                                                                    \
    do {                                                                                                               \
        MATRIX_VIEW(row_sums_, row_sums, (stage)*2, 0, 2, ATTENTION_TILE);                                             \
        load_stage(q, dout, stage, walk, T - (t0));                                                                    \
        matrix_load_whole(row_sums_, row_sums_of(&a, program_z, head, t0));                                            \
    } while (0)

/* On a GPU: dk and dv of a block of keys, summed over the queries of every head that reads them, which come in tiles as
 * the keys do above. Rows are keys and columns are queries. Both gradients are computed COLS columns at a time, because
 * a GPU has no registers for more. */
#undef TILE_PROGRAMS
#define TILE_PROGRAMS 1
ATTENTION_KERNEL(attention_keys) {
    TILE(k, KEY_ROWS, HEAD);
    TILE(v, KEY_ROWS, HEAD);
    TILE(q, 2 * ATTENTION_TILE, HEAD);
    TILE(dout, 2 * ATTENTION_TILE, HEAD);
    MATRIX(row_sums, 2 * 2, ATTENTION_TILE); /* log_sum_exp, delta */
    WITH_GATES(VECTOR(decay_of_key, KEY_ROWS);)
    WITH_GATES(ROW_VALUES(dc, KEY_ROWS);)
    WITH_GATES(ROW_VALUES(tile_value, KEY_ROWS);)
    ACCUMULATOR(p, KEY_ROWS, ATTENTION_TILE);
    ACCUMULATOR(ds, KEY_ROWS, ATTENTION_TILE);
    ACCUMULATOR(dk, KEY_ROWS, COLS);
    ACCUMULATOR(dv, KEY_ROWS, COLS);

    if (!ON_GPU) return;
    const int T = (int)a.T, kv_head = (int)program_y, group = (int)(a.heads / a.kv_heads);
    const Block keys = block_of(T, (int)program_z, (int)program_x * k_rows, k_rows);
    const QueryRange queries = queries_of(keys, a.last_query);
    const Rows rows = rows_from(keys, T, keys.t0);
    const float exponent_scale = a.scale * LOG2_E;

    tile_load_block(k, a.k, a.head_dim, rows, kv_head, 0);
    tile_load_block(v, a.v, a.head_dim, rows, kv_head, 0);
    for (int c = 0; c < HEAD; c += COLS) {
        accumulator_zero(dk);
        accumulator_zero(dv);
        for (int head = kv_head * group; head < (kv_head + 1) * group; head++) {
            WITH_GATES(const Decay decay = decay_from(&a, program_z, head, keys.t0);)
            WITH_GATES(EACH_ROW_VALUE(dc, r, i) dc[r] = 0;)
            walk_blocks(walk, q, a.q, a.dout, a.head_dim, rows.first, head, a.aligned);
            int stage = 0;
            sync();
            WITH_GATES(EACH (i, KEY_ROWS) decay_of_key[i] = decay_of_token(decay, token_of(keys, (int)i));)
            load_query_stage(stage, keys.t0);
            for (int t0 = keys.t0; t0 <= queries.last; t0 += ATTENTION_TILE) {
                TILE_VIEW(q_now, q, stage * ATTENTION_TILE, 0, ATTENTION_TILE, HEAD);
                TILE_VIEW(q_columns, q, stage * ATTENTION_TILE, c, ATTENTION_TILE, COLS);
                TILE_VIEW(dout_now, dout, stage * ATTENTION_TILE, 0, ATTENTION_TILE, HEAD);
                TILE_VIEW(dout_columns, dout, stage * ATTENTION_TILE, c, ATTENTION_TILE, COLS);
                MATRIX_VIEW(row_sums_now, row_sums, stage * 2, 0, 2, ATTENTION_TILE);
                stage = 1 - stage;
                sync();
                if (t0 + ATTENTION_TILE <= queries.last) load_query_stage(stage, t0 + ATTENTION_TILE);
                accumulator_zero(p);
                mma_nt(p, k, q_now);
                WITH_GATES(const float before = decay_before(decay, sums_of_tile(decay.sums, t0));)
                WITH_GATES(MAP(p, i, j, x, x += before - decay_of_key[i]);)
                mask_queries(p, keys, queries, a.last_query, t0);
                MAP(p, i, j, x, x = exp2_f(x * exponent_scale - ENTRY(row_sums_now, 0, j)));
                accumulator_zero(ds);
                mma_nt(ds, v, dout_now);
                MAP(ds, i, j, x, x = (x - ENTRY(row_sums_now, 1, j)) * PEER(p, i, j));
                WITH_GATES(add_row_sums(dc, tile_value, ds);)
                accumulator_mma_nn(dv, p, dout_columns);
                accumulator_mma_nn(dk, ds, q_columns);
            }
            WITH_GATES(store_row_sums(dc, a.gradient_of_key + (program_z * a.heads + head) * a.tokens, keys);)
        }
        MAP(dk, i, j, x, x *= a.scale);
        if (a.dk.data) accumulator_store_block(dk, a.dk, a.head_dim, rows, kv_head, c / COLS);
        if (a.dv.data) accumulator_store_block(dv, a.dv, a.head_dim, rows, kv_head, c / COLS);
    }
}

#include "kernels/softmax/attention/attention_gradients_head.h"

#undef HEAD
#undef FORWARD_ROWS
#undef QUERY_ROWS
#undef KEY_ROWS
#undef COLS
#undef WITH_GATES
#undef load_key_stage
#undef load_query_stage
