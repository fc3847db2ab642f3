/* The walks for heads of up to HEAD columns; included by path_attention_walk.tile.h once per HEAD, which names them.
 * Equations in path_attention_block.h. Powers are taken of 2, whose exponents are log2(e) as large. */

/* One step of the online softmax (FlashAttention-2, arXiv 2307.08691): out and the sums take in the logits p of a tile
 * of values. */
#define softmax_step(p, v)                                                                                             \
    do {                                                                                                               \
        row_values_maximum(tile_value, p);                                                                             \
        EACH_ROW_VALUE(maximum, r, i) {                                                                                \
            const float before = maximum[r];                                                                           \
            maximum[r] = larger(before, tile_value[r] * exponent_scale);                                               \
            rescale[r] = exp2_f(before - maximum[r]);                                                                  \
        }                                                                                                              \
        MAP(p, i, j, x, x = exp2_f(x * exponent_scale - ROW_VALUE(maximum, i)));                                       \
        row_values_share(tile_value, p);                                                                               \
        EACH_ROW_VALUE(sum, r, i) sum[r] = sum[r] * rescale[r] + tile_value[r];                                        \
        MAP(out, i, j, x, x *= ROW_VALUE(rescale, i));                                                                 \
        accumulator_mma_nn(out, p, v);                                                                                 \
    } while (0)

/* A block of queries begins with its own keys, whose logits are there, and passes the blocks before them from right to
 * left. The next k and v are on their way while w and R are used, and the other way round.
 * Program: block of queries, the longest walk first; head, sequence. */
PATH_KERNEL(path_attention_forward) {
    TILE(k, ROWS, HEAD); /* Kt; before that Qt */
    TILE(v, ROWS, HEAD);
    TILE(w, ROWS, HEAD);
    TILE(R, ROWS, HEAD);
    VECTOR(to_end, ROWS);
    ROW_VALUES(maximum, ROWS);
    ROW_VALUES(sum, ROWS);
    ROW_VALUES(tile_value, ROWS);
    ROW_VALUES(rescale, ROWS);
    ROW_VALUES(passed, ROWS); /* f + p */
    ACCUMULATOR(q, ROWS, HEAD);
    ACCUMULATOR(p, ROWS, ROWS); /* before that Q Kt^T; in turns Q W^T */
    ACCUMULATOR(out, ROWS, HEAD);

    const int64_t sequence = program_z, head = program_y, kv_head = head / (a.heads / a.kv_heads);
    const int64_t own = a.blocks - 1 - program_x;
    const Rows rows = rows_of_block(&a, sequence, own);
    const int64_t first = first_key_block(&a, rows);
    const float exponent_scale = a.scale * LOG2_E;

    tile_load_block(k, a.turned_q, a.head_dim, rows, head, 0);
    tile_load_block(v, a.v, a.head_dim, rows, kv_head, 0);
    EACH (i, ROWS) to_end[i] = from_start_of(&a, sequence, own, head, i);
    EACH_ROW_VALUE(maximum, r, i) {
        maximum[r] = -1e30f;
        sum[r] = 0;
        passed[r] = from_start_of(&a, sequence, own, head, i);
    }
    accumulator_zero(out);
    accumulator_load(p, a.logits + square_at(&a, a.heads, sequence, own, head), ROWS, ROWS, ROWS);
    sync();
    MAP(q, i, j, x, x = AT(k, i, j));
    if (a.forget) MAP(p, i, j, x, x += ROW_VALUE(passed, i) - to_end[j]);
    mask_diagonal(p, tile_value, rows, a.first_key, own * ROWS);
    softmax_step(p, v);
    sync();
    if (own > first) {
        load_keys(k, a.turned_k, v, a.v, own - 1);
        EACH (i, ROWS) to_end[i] = to_end_of(&a, sequence, own - 1, head, i);
    }
    for (int64_t index = own - 1; index >= first; index--) {
        sync();
        if (index > first) load_keys(w, a.w, R, a.turn, index);
        accumulator_zero(p);
        accumulator_mma_nt(p, q, k);
        if (a.forget) {
            MAP(p, i, j, x, x += ROW_VALUE(passed, i) + to_end[j]);
            EACH_ROW_VALUE(passed, r, i) passed[r] += forget_of_block(&a, sequence, index, head);
        }
        mask_documents(p, tile_value, rows, a.first_key, index * ROWS);
        softmax_step(p, v);
        if (index == first) break;
        sync();
        load_keys(k, a.turned_k, v, a.v, index - 1);
        EACH (i, ROWS) to_end[i] = to_end_of(&a, sequence, index - 1, head, i);
        accumulator_zero(p);
        accumulator_mma_nt(p, q, w);
        accumulator_mma_nn(q, p, R);
    }
    row_values_total(sum);
    float *log_sum_exp = a.log_sum_exp + entry_of_token(&a, sequence, head, own * ROWS);
    EACH_ROW_VALUE(sum, r, i) {
        if (i < rows.count) log_sum_exp[i] = maximum[r] + logf(sum[r]) * LOG2_E;
        rescale[r] = 1 / sum[r];
    }
    MAP(out, i, j, x, x *= ROW_VALUE(rescale, i));
    accumulator_store_block(out, a.out, a.head_dim, rows, head, 0);
}

/* delta and dQt of a block of queries. First Q passes the blocks of keys from right to left and is written down before
 * each. Then its gradient comes back: from dQ, that behind a block of keys, and Q before it,
 *   dQ <- dQ + dS Kt + (dQ R^T) W,   dS = scale P (dO V^T - delta)
 * dQ is written down too. Program: block of queries of the group, head, sequence. */
PATH_KERNEL(path_attention_queries) {
    TILE(q, ROWS, HEAD);
    TILE(out_gradient, ROWS, HEAD);
    TILE(k, ROWS, HEAD);
    TILE(v, ROWS, HEAD);
    TILE(w, ROWS, HEAD);
    TILE(R, ROWS, HEAD);
    VECTOR(to_end, ROWS);
    ROW_VALUES(shift, ROWS); /* log_sum_exp without f + p */
    ROW_VALUES(base, ROWS);
    ROW_VALUES(delta, ROWS);
    ROW_VALUES(forget_before, ROWS);
    ROW_VALUES(forget_sum, ROWS);
    ROW_VALUES(tile_value, ROWS);
    ACCUMULATOR(dq, ROWS, HEAD); /* before that Q */
    ACCUMULATOR(p, ROWS, ROWS);
    ACCUMULATOR(ds, ROWS, ROWS);

    const int64_t sequence = program_z, head = program_y, kv_head = head / (a.heads / a.kv_heads);
    const int64_t own = a.first_query_block + a.query_blocks - 1 - program_x;
    const Rows rows = rows_of_block(&a, sequence, own);
    const int64_t first = first_key_block(&a, rows), t0 = entry_of_token(&a, sequence, head, own * ROWS);
    const int64_t pairs = pair_at(&a, sequence, head, own, 0), pair_size = ROWS * a.head_dim;
    const float exponent_scale = a.scale * LOG2_E;
    element *passing = (element *)a.passing + pairs * pair_size;
    element *passing_gradient = (element *)a.passing_gradient + pairs * pair_size;

    tile_load_block(q, a.out, a.head_dim, rows, head, 0);
    tile_load_block(out_gradient, a.out_gradient, a.head_dim, rows, head, 0);
    tile_load_block(k, a.turned_q, a.head_dim, rows, head, 0);
    sync();
    MAP(dq, i, j, x, x = AT(q, i, j) * AT(out_gradient, i, j));
    row_values_share(delta, dq);
    row_values_total(delta);
    EACH_ROW_VALUE(delta, r, i) {
        if (i < rows.count) a.delta[t0 + i] = delta[r];
        base[r] = i < rows.count ? a.log_sum_exp[t0 + i] : 0.0f;
        base[r] -= from_start_of(&a, sequence, own, head, i) * exponent_scale;
        forget_before[r] = a.forget_gradient && i < rows.count ? a.forget_sums[t0 + i] : 0.0f;
        forget_sum[r] = 0;
    }
    MAP(dq, i, j, x, x = AT(k, i, j));
    float passed = 0;
    for (int64_t index = own - 1; index >= first; index--) {
        if (a.forget) {
            EACH (i, 1) a.passed[pairs + index] = passed;
            passed += forget_of_block(&a, sequence, index, head);
        }
        accumulator_store(dq, passing + index * pair_size, a.head_dim, ROWS, a.head_dim);
        if (index == first) break;
        load_keys(w, a.w, R, a.turn, index);
        sync();
        accumulator_zero(p);
        accumulator_mma_nt(p, dq, w);
        accumulator_mma_nn(dq, p, R);
        sync();
    }
    accumulator_zero(dq);
    for (int64_t index = first; index < own; index++) {
        sync();
        load_keys(w, a.w, R, a.turn, index);
        load_keys(k, a.turned_k, v, a.v, index);
        tile_load(q, passing + index * pair_size, a.head_dim, ROWS, a.head_dim);
        EACH (i, ROWS) to_end[i] = to_end_of(&a, sequence, index, head, i);
        const float blocks_between = a.forget ? a.passed[pairs + index] : 0.0f;
        EACH_ROW_VALUE(shift, r, i) shift[r] = base[r] - blocks_between * exponent_scale;
        accumulator_store(dq, passing_gradient + index * pair_size, a.head_dim, ROWS, a.head_dim);
        sync();
        accumulator_zero(p);
        if (index > first) {
            accumulator_mma_nt(p, dq, R);
            accumulator_mma_nn(dq, p, w);
            accumulator_zero(p);
        }
        mma_nt(p, q, k);
        if (a.forget) MAP(p, i, j, x, x += to_end[j]);
        mask_documents(p, tile_value, rows, a.first_key, index * ROWS);
        accumulator_zero(ds);
        mma_nt(ds, out_gradient, v);
        MAP(p, i, j, x, x = exp2_f(x * exponent_scale - ROW_VALUE(shift, i)));
        MAP(ds, i, j, x, x = (x - ROW_VALUE(delta, i)) * PEER(p, i, j) * a.scale);
        accumulator_mma_nn(dq, ds, k);
        if (a.forget_gradient) {
            row_values_share(tile_value, ds);
            EACH_ROW_VALUE(forget_sum, r, i) forget_sum[r] += tile_value[r];
        }
    }
    if (a.forget_gradient) {
        row_values_total(forget_sum);
        EACH_ROW_VALUE(forget_sum, r, i)
        if (i < rows.count) a.forget_sums[t0 + i] = forget_before[r] + forget_sum[r];
    }
    accumulator_store_block(dq, a.turned_q_gradient, a.head_dim, rows, head, 0);
}

/* The block of queries behind the last one of the group that sees some key of the block. */
#define end_of_queries(keys)                                                                                           \
    lesser_index(a.first_query_block + a.query_blocks, a.last_query[token_of_block(keys, ROWS - 1)] / ROWS + 1)

/* What the group's queries add to the gradients of the Kt and v of a block of keys, and to that of the sums of forget.
 * Rows are keys and columns are queries. Program: block of keys, key-value head, sequence. */
PATH_KERNEL(path_attention_keys) {
    TILE(k, ROWS, HEAD);
    TILE(v, ROWS, HEAD);
    TILE(q, QUERY_TILE, HEAD);
    TILE(out_gradient, QUERY_TILE, HEAD);
    MATRIX(of_query, 3, QUERY_TILE); /* log_sum_exp without f + p; delta; the first key seen, from the block's on */
    ROW_VALUES(to_end, ROWS);
    ROW_VALUES(forget_before, ROWS);
    ROW_VALUES(forget_sum, ROWS);
    ROW_VALUES(tile_value, ROWS);
    ACCUMULATOR(p, ROWS, QUERY_TILE);
    ACCUMULATOR(ds, ROWS, QUERY_TILE);
    ACCUMULATOR(dk, ROWS, HEAD);
    ACCUMULATOR(dv, ROWS, HEAD);

    const int64_t sequence = program_z, kv_head = program_y, group = a.heads / a.kv_heads, index = program_x;
    const int64_t pair_size = ROWS * a.head_dim;
    const Rows rows = rows_of_block(&a, sequence, index);
    const int64_t begin = larger_index(a.first_query_block, index + 1), end = end_of_queries(rows);
    const float exponent_scale = a.scale * LOG2_E;
    if (begin >= end) return;

    float *dk_sums = a.turned_k_sums + rows.first * a.sums_stride + kv_head * a.head_dim;
    float *dv_sums = a.v_sums + rows.first * a.sums_stride + kv_head * a.head_dim;
    load_keys(k, a.turned_k, v, a.v, index);
    accumulator_load(dk, dk_sums, a.sums_stride, rows.count, a.head_dim);
    accumulator_load(dv, dv_sums, a.sums_stride, rows.count, a.head_dim);
    for (int64_t head = kv_head * group; head < (kv_head + 1) * group; head++) {
        float *forget_sums = a.forget_sums + entry_of_token(&a, sequence, head, index * ROWS);
        EACH_ROW_VALUE(to_end, r, i) {
            to_end[r] = to_end_of(&a, sequence, index, head, i);
            forget_before[r] = a.forget_gradient && i < rows.count ? forget_sums[i] : 0.0f;
            forget_sum[r] = 0;
        }
        for (int64_t tile = begin * QUERY_TILES; tile < end * QUERY_TILES; tile++) {
            const int64_t own = tile / QUERY_TILES, first_row = tile % QUERY_TILES * QUERY_TILE;
            const int64_t pair = pair_at(&a, sequence, head, own, index), t0 = own * ROWS + first_row;
            const Rows queries = {sequence * a.T + t0, a.T - t0};
            const float blocks_between = a.forget ? a.passed[pair] : 0.0f;
            sync();
            tile_load(q, (const element *)a.passing + pair * pair_size + first_row * a.head_dim, a.head_dim, QUERY_TILE,
                      a.head_dim);
            tile_load_block(out_gradient, a.out_gradient, a.head_dim, queries, head, 0);
            EACH (j, QUERY_TILE) {
                const bool inside = j < queries.count;
                const int64_t t = inside ? t0 + j : a.T - 1, entry = entry_of_token(&a, sequence, head, t);
                const float forgotten = from_start_of(&a, sequence, own, head, first_row + j) + blocks_between;
                ENTRY(of_query, 0, j) = inside ? a.log_sum_exp[entry] - forgotten * exponent_scale : 0.0f;
                ENTRY(of_query, 1, j) = inside ? a.delta[entry] : 0.0f;
                ENTRY(of_query, 2, j) = (float)(a.first_key[sequence * a.T + t] - index * ROWS);
            }
            sync();
            accumulator_zero(p);
            mma_nt(p, k, q);
            if (a.forget) MAP(p, i, j, x, x += ROW_VALUE(to_end, i));
            if (ENTRY(of_query, 2, QUERY_TILE - 1) > 0)
                MAP(p, i, j, x, x = (float)i >= ENTRY(of_query, 2, j) ? x : -INFINITY);
            MAP(p, i, j, x, x = exp2_f(x * exponent_scale - ENTRY(of_query, 0, j)));
            accumulator_zero(ds);
            mma_nt(ds, v, out_gradient);
            MAP(ds, i, j, x, x = (x - ENTRY(of_query, 1, j)) * PEER(p, i, j) * a.scale);
            accumulator_mma_nn(dv, p, out_gradient);
            accumulator_mma_nn(dk, ds, q);
            if (a.forget_gradient) {
                row_values_share(tile_value, ds);
                EACH_ROW_VALUE(forget_sum, r, i) forget_sum[r] -= tile_value[r];
            }
        }
        if (!a.forget_gradient) continue;
        row_values_total(forget_sum);
        EACH_ROW_VALUE(forget_sum, r, i)
        if (i < rows.count) forget_sums[i] = forget_before[r] + forget_sum[r];
    }
    accumulator_store_f32(dk, dk_sums, a.sums_stride, rows.count, a.head_dim);
    accumulator_store_f32(dv, dv_sums, a.sums_stride, rows.count, a.head_dim);
}

/* What the group's queries, passing a block of keys, add to the gradients of its R and w: dR += (Q W^T)^T dQ and dW +=
 * (dQ R^T)^T Q. Rows are keys and columns are queries. Program: as path_attention_keys. */
PATH_KERNEL(path_attention_turns) {
    TILE(w, ROWS, HEAD);
    TILE(R, ROWS, HEAD);
    TILE(q, QUERY_TILE, HEAD);
    TILE(dq, QUERY_TILE, HEAD);
    ACCUMULATOR(by_w, ROWS, QUERY_TILE);
    ACCUMULATOR(by_R, ROWS, QUERY_TILE);
    ACCUMULATOR(dw, ROWS, HEAD);
    ACCUMULATOR(dR, ROWS, HEAD);

    const int64_t sequence = program_z, kv_head = program_y, group = a.heads / a.kv_heads, index = program_x;
    const int64_t pair_size = ROWS * a.head_dim;
    const Rows rows = rows_of_block(&a, sequence, index);
    const int64_t begin = larger_index(a.first_query_block, index + 1), end = end_of_queries(rows);
    if (begin >= end) return;

    float *dw_sums = a.w_sums + rows.first * a.sums_stride + kv_head * a.head_dim;
    float *dR_sums = a.turn_sums + rows.first * a.sums_stride + kv_head * a.head_dim;
    load_keys(w, a.w, R, a.turn, index);
    accumulator_load(dw, dw_sums, a.sums_stride, rows.count, a.head_dim);
    accumulator_load(dR, dR_sums, a.sums_stride, rows.count, a.head_dim);
    for (int64_t head = kv_head * group; head < (kv_head + 1) * group; head++) {
        for (int64_t tile = begin * QUERY_TILES; tile < end * QUERY_TILES; tile++) {
            const int64_t own = tile / QUERY_TILES, first_row = tile % QUERY_TILES * QUERY_TILE;
            const int64_t at = pair_at(&a, sequence, head, own, index) * pair_size + first_row * a.head_dim;
            sync();
            tile_load(q, (const element *)a.passing + at, a.head_dim, QUERY_TILE, a.head_dim);
            tile_load(dq, (const element *)a.passing_gradient + at, a.head_dim, QUERY_TILE, a.head_dim);
            sync();
            accumulator_zero(by_w);
            mma_nt(by_w, w, q);
            accumulator_mma_nn(dR, by_w, dq);
            accumulator_zero(by_R);
            mma_nt(by_R, R, dq);
            accumulator_mma_nn(dw, by_R, q);
        }
    }
    accumulator_store_f32(dw, dw_sums, a.sums_stride, rows.count, a.head_dim);
    accumulator_store_f32(dR, dR_sums, a.sums_stride, rows.count, a.head_dim);
}

#undef HEAD
#undef softmax_step
#undef end_of_queries
#undef path_attention_forward
#undef path_attention_queries
#undef path_attention_keys
#undef path_attention_turns
