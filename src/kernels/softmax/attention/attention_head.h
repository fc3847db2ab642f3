/* The attention kernels for heads of up to HEAD columns; included by attention.tile.h once per HEAD, which names them.
 *
 * Sums over the keys j that query i sees, or over the queries i that see key j; do is the gradient of o:
 * - s_ij = scale q_i k_j, p_ij = e^(s_ij - lse_i), o_i = sum_j p_ij v_j
 * - ds_ij = p_ij (do_i v_j - delta_i), dv_j = sum_i p_ij do_i
 * - dq_i = scale sum_j ds_ij k_j, dk_j = scale sum_i ds_ij q_i
 *
 * Powers are taken of 2, whose exponents are log2(e) as large. Tiles of keys or queries that see nothing of each other
 * are not visited; only tiles at a boundary are masked. p and ds go from the accumulators that they are computed in
 * straight into the next product. */

#define FORWARD_ROWS  ATTENTION_FORWARD_ROWS(ON_GPU, HEAD)
#define FORWARD_KEYS  (ON_GPU && HEAD >= 128 ? 32 : 64)
#define BACKWARD_ROWS ATTENTION_BACKWARD_ROWS(ON_GPU, HEAD)
#define BACKWARD_TILE (ON_GPU ? 32 : 64)
#define COLS          (HEAD < 128 ? HEAD : 128)

/* FlashAttention-2 (arXiv 2307.08691): keys in tiles, with the maximum and the sum of e^(s - maximum) so far. While a
 * tile of keys is multiplied its values are on their way, and then the next keys. */
ATTENTION_KERNEL(attention_forward) {
    TILE(q, FORWARD_ROWS, HEAD);
    TILE(k, FORWARD_KEYS, HEAD);
    TILE(v, FORWARD_KEYS, HEAD);
    ROW_VALUES(maximum, FORWARD_ROWS);
    ROW_VALUES(sum, FORWARD_ROWS);
    ROW_VALUES(tile_value, FORWARD_ROWS);
    ROW_VALUES(rescale, FORWARD_ROWS);
    ACCUMULATOR(p, FORWARD_ROWS, FORWARD_KEYS); /* before that q k^T */
    ACCUMULATOR(out, FORWARD_ROWS, HEAD);

    const int T = (int)a.T, head = (int)program_y, kv_head = head / (int)(a.heads / a.kv_heads);
    const int last_block = (T - 1) / q_rows; /* the longest first */
    const Block queries = block_of(T, (int)program_z, (last_block - (int)program_x) * q_rows, q_rows);
    const KeyRange keys = keys_of(queries, a.first_key, k_rows);
    const float exponent_scale = a.scale * LOG2_E;

    tile_load_block(q, a.q, a.head_dim, rows_from(queries, T, queries.t0), head, 0);
    tile_load_block(k, a.k, a.head_dim, rows_from(queries, T, keys.start), kv_head, 0);
    EACH_ROW_VALUE(maximum, r, i) {
        maximum[r] = -1e30f; /* finite: a row may see nothing of its first tiles */
        sum[r] = 0;
    }
    accumulator_zero(out);
    for (int s0 = keys.start; s0 < queries.end; s0 += k_rows) {
        sync();
        tile_load_block(v, a.v, a.head_dim, rows_from(queries, T, s0), kv_head, 0);
        accumulator_zero(p);
        mma_nt(p, q, k);
        mask_keys(p, queries, keys, a.first_key, s0);
        row_values_maximum(tile_value, p);
        EACH_ROW_VALUE(maximum, r, i) {
            const float before = maximum[r];
            maximum[r] = larger(before, tile_value[r] * exponent_scale);
            rescale[r] = exp2_f(before - maximum[r]);
        }
        MAP(p, i, j, x, x = exp2_f(x * exponent_scale - ROW_VALUE(maximum, i)));
        row_values_sum(tile_value, p);
        EACH_ROW_VALUE(sum, r, i) sum[r] = sum[r] * rescale[r] + tile_value[r];
        MAP(out, i, j, x, x *= ROW_VALUE(rescale, i));
        sync();
        if (s0 + k_rows < queries.end)
            tile_load_block(k, a.k, a.head_dim, rows_from(queries, T, s0 + k_rows), kv_head, 0);
        accumulator_mma_nn(out, p, v);
    }
    float *log_sum_exp = a.log_sum_exp + (program_z * a.heads + head) * a.T;
    EACH_ROW_VALUE(sum, r, i) {
        if (queries.t0 + i < queries.end) log_sum_exp[queries.t0 + i] = maximum[r] + logf(sum[r]) * LOG2_E;
        rescale[r] = 1 / sum[r];
    }
    MAP(out, i, j, x, x *= ROW_VALUE(rescale, i));
    accumulator_store_block(out, a.out, a.head_dim, rows_from(queries, T, queries.t0), head, 0);
}

/* dq of a block of queries. The next tiles of keys and values are on their way while these are used. */
ATTENTION_KERNEL(attention_queries) {
    TILE(q, BACKWARD_ROWS, HEAD);
    TILE(out_gradient, BACKWARD_ROWS, HEAD);
    TILE(k, 2 * BACKWARD_TILE, HEAD);
    TILE(v, 2 * BACKWARD_TILE, HEAD);
    ROW_VALUES(log_sum_exp, BACKWARD_ROWS);
    ROW_VALUES(delta, BACKWARD_ROWS);
    ACCUMULATOR(p, BACKWARD_ROWS, BACKWARD_TILE);
    ACCUMULATOR(ds, BACKWARD_ROWS, BACKWARD_TILE);
    ACCUMULATOR(dq, BACKWARD_ROWS, HEAD);

    const int T = (int)a.T, head = (int)program_y, kv_head = head / (int)(a.heads / a.kv_heads);
    const int last_block = (T - 1) / q_rows;
    const Block queries = block_of(T, (int)program_z, (last_block - (int)program_x) * q_rows, q_rows);
    const KeyRange keys = keys_of(queries, a.first_key, BACKWARD_TILE);
    const Rows rows = rows_from(queries, T, queries.t0);
    const int64_t values_at = (program_z * a.heads + head) * a.T;
    const float exponent_scale = a.scale * LOG2_E;

    tile_load_block(q, a.q, a.head_dim, rows, head, 0);
    tile_load_block(out_gradient, a.out_gradient, a.head_dim, rows, head, 0);
    load_stage(k, a.k, v, a.v, a.head_dim, 0, rows_from(queries, T, keys.start), kv_head);
    EACH_ROW_VALUE(delta, r, i) {
        const int t = token_of(queries, i);
        log_sum_exp[r] = a.log_sum_exp[values_at + t];
        delta[r] = a.delta[values_at + t];
    }
    accumulator_zero(dq);
    int stage = 0; /* the row at which it begins */
    for (int s0 = keys.start; s0 < queries.end; s0 += BACKWARD_TILE) {
        TILE_VIEW(k_now, k, stage, 0, BACKWARD_TILE, HEAD);
        TILE_VIEW(v_now, v, stage, 0, BACKWARD_TILE, HEAD);
        stage = BACKWARD_TILE - stage;
        sync();
        if (s0 + BACKWARD_TILE < queries.end)
            load_stage(k, a.k, v, a.v, a.head_dim, stage, rows_from(queries, T, s0 + BACKWARD_TILE), kv_head);
        accumulator_zero(p);
        mma_nt(p, q, k_now);
        mask_keys(p, queries, keys, a.first_key, s0);
        MAP(p, i, j, x, x = exp2_f(x * exponent_scale - ROW_VALUE(log_sum_exp, i)));
        accumulator_zero(ds);
        mma_nt(ds, out_gradient, v_now);
        MAP(ds, i, j, x, x = (x - ROW_VALUE(delta, i)) * PEER(p, i, j));
        accumulator_mma_nn(dq, ds, k_now);
    }
    MAP(dq, i, j, x, x *= a.scale);
    accumulator_store_block(dq, a.q_gradient, a.head_dim, rows, head, 0);
}

/* What the kernel of keys needs of a tile of queries; what lies past the end of the sequence is 0 and adds nothing. */
#define load_query_stage(tile, at)                                                                                     \
    do {                                                                                                               \
        MATRIX_VIEW(log_sum_exp_, log_sum_exp, (at) / BACKWARD_TILE, 0, 1, BACKWARD_TILE);                             \
        MATRIX_VIEW(delta_, delta, (at) / BACKWARD_TILE, 0, 1, BACKWARD_TILE);                                         \
        const int64_t values_at_ = (program_z * a.heads + (tile).head) * a.T + (tile).t0;                              \
        load_stage(q, a.q, out_gradient, a.out_gradient, a.head_dim, at, rows_from(keys, T, (tile).t0), (tile).head);  \
        matrix_load(log_sum_exp_, a.log_sum_exp + values_at_, a.T, 1, T - (tile).t0);                                  \
        matrix_load(delta_, a.delta + values_at_, a.T, 1, T - (tile).t0);                                              \
    } while (0)

/* dk and dv of a block of keys: the sum over the queries of every head that reads them, which come in tiles as the keys
 * do above. Rows are keys and columns are queries. COLS columns of both gradients at a time, which is what a GPU has
 * registers for. */
ATTENTION_KERNEL(attention_keys) {
    TILE(k, BACKWARD_ROWS, HEAD);
    TILE(v, BACKWARD_ROWS, HEAD);
    TILE(q, 2 * BACKWARD_TILE, HEAD);
    TILE(out_gradient, 2 * BACKWARD_TILE, HEAD);
    MATRIX(log_sum_exp, 2, BACKWARD_TILE);
    MATRIX(delta, 2, BACKWARD_TILE);
    ACCUMULATOR(p, BACKWARD_ROWS, BACKWARD_TILE);
    ACCUMULATOR(ds, BACKWARD_ROWS, BACKWARD_TILE);
    ACCUMULATOR(dk, BACKWARD_ROWS, COLS);
    ACCUMULATOR(dv, BACKWARD_ROWS, COLS);

    const int T = (int)a.T, kv_head = (int)program_y, group = (int)(a.heads / a.kv_heads),
              head_end = (kv_head + 1) * group;
    const Block keys = block_of(T, (int)program_z, (int)program_x * k_rows, k_rows);
    const QueryRange queries = queries_of(keys, a.last_query);
    const Rows rows = rows_from(keys, T, keys.t0);
    const float exponent_scale = a.scale * LOG2_E;

    tile_load_block(k, a.k, a.head_dim, rows, kv_head, 0);
    tile_load_block(v, a.v, a.head_dim, rows, kv_head, 0);
    for (int c = 0; c < a.head_dim; c += COLS) {
        QueryTile next = {kv_head * group, keys.t0};
        int stage = 0;
        sync();
        load_query_stage(next, stage);
        accumulator_zero(dk);
        accumulator_zero(dv);
        for (QueryTile tile = next; tile.head < head_end; tile = next) {
            TILE_VIEW(q_now, q, stage, 0, BACKWARD_TILE, HEAD);
            TILE_VIEW(q_columns, q, stage, c, BACKWARD_TILE, COLS);
            TILE_VIEW(out_gradient_now, out_gradient, stage, 0, BACKWARD_TILE, HEAD);
            TILE_VIEW(out_gradient_columns, out_gradient, stage, c, BACKWARD_TILE, COLS);
            MATRIX_VIEW(log_sum_exp_now, log_sum_exp, stage / BACKWARD_TILE, 0, 1, BACKWARD_TILE);
            MATRIX_VIEW(delta_now, delta, stage / BACKWARD_TILE, 0, 1, BACKWARD_TILE);
            next = tile_after(tile, BACKWARD_TILE, keys.t0, queries.last);
            stage = BACKWARD_TILE - stage;
            sync();
            if (next.head < head_end) load_query_stage(next, stage);
            accumulator_zero(p);
            mma_nt(p, k, q_now);
            mask_queries(p, keys, queries, a.last_query, tile.t0);
            MAP(p, i, j, x, x = exp2_f(x * exponent_scale - ENTRY(log_sum_exp_now, 0, j)));
            accumulator_mma_nn(dv, p, out_gradient_columns);
            accumulator_zero(ds);
            mma_nt(ds, v, out_gradient_now);
            MAP(ds, i, j, x, x = (x - ENTRY(delta_now, 0, j)) * PEER(p, i, j));
            accumulator_mma_nn(dk, ds, q_columns);
        }
        MAP(dk, i, j, x, x *= a.scale);
        if (a.k_gradient.data) accumulator_store_block(dk, a.k_gradient, a.head_dim, rows, kv_head, c / COLS);
        if (a.v_gradient.data) accumulator_store_block(dv, a.v_gradient, a.head_dim, rows, kv_head, c / COLS);
    }
}

#undef HEAD
#undef FORWARD_ROWS
#undef FORWARD_KEYS
#undef BACKWARD_ROWS
#undef BACKWARD_TILE
#undef COLS
#undef load_query_stage
#undef attention_forward
#undef attention_queries
#undef attention_keys
