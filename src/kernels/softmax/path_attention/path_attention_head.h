/* The walks for heads of up to HEAD columns; path_attention_walk.tile.h includes this once per HEAD. Equations in
 * path_attention_block.h. Exponentials are powers of 2, with exponents multiplied by
 * log2(e). */

/* A block of queries begins with the keys of its own block, whose logits path_attention_prepare has computed, and
 * passes the blocks before it from right to left. The next k and v are loaded while w and R are used, and the other way
 * round. Program: block of queries (the longest walk first), head, sequence. */
#undef TILE_PROGRAMS
#define TILE_PROGRAMS (HEAD <= 64 && sizeof(element) == 2 ? 3 : 1)
PATH_KERNEL(path_attention_forward) {
    TILE(k, ROWS, HEAD); /* first Qt, then Kt */
    TILE(v, ROWS, HEAD);
    TILE(w, ROWS, HEAD);
    TILE(R, ROWS, HEAD);
    VECTOR(to_end, ROWS);
    ROW_VALUES(maximum, ROWS);
    ROW_VALUES(sum, ROWS);
    ROW_VALUES(tile_value, ROWS);
    ROW_VALUES(passed, ROWS); /* f + p */
    ACCUMULATOR(q, ROWS, HEAD);
    ACCUMULATOR(p, ROWS, ROWS); /* first Q Kt^T, then p; in turn also Q W^T */
    ACCUMULATOR(out, ROWS, HEAD);

    const int64_t sequence = program_z, head = program_y, kv_head = head / (a.heads / a.kv_heads);
    const int64_t own = a.blocks - 1 - program_x;
    const Rows rows = rows_of_chunk(a.T, ROWS, sequence, own);
    const int64_t first = first_key_block(&a, rows);
    const float exponent_scale = a.scale * LOG2_E;

    tile_load_block(k, a.turned_q, a.head_dim, rows, head, 0);
    tile_load_block(v, a.v, a.head_dim, rows, kv_head, 0);
    EACH (i, ROWS) to_end[i] = from_start_of(&a, sequence, own, head, i);
    softmax_begin(maximum, sum);
    EACH_ROW_VALUE(passed, r, i) passed[r] = from_start_of(&a, sequence, own, head, i);
    accumulator_zero(out);
    accumulator_load(p, a.logits + square_at(&a, a.heads, sequence, own, head), ROWS, ROWS, ROWS);
    sync();
    MAP(q, i, j, x, x = AT(k, i, j));
    if (a.forget) MAP(p, i, j, x, x += ROW_VALUE(passed, i) - to_end[j]);
    mask_diagonal(p, tile_value, rows, a.first_key, own * ROWS);
    softmax_add(out, p, v, maximum, sum, exponent_scale);
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
        softmax_add(out, p, v, maximum, sum, exponent_scale);
        if (index == first) break;
        sync();
        load_keys(k, a.turned_k, v, a.v, index - 1);
        EACH (i, ROWS) to_end[i] = to_end_of(&a, sequence, index - 1, head, i);
        accumulator_zero(p);
        accumulator_mma_nt(p, q, w);
        accumulator_mma_nn(q, p, R);
    }
    softmax_end(out, maximum, sum, a.log_sum_exp + entry_of_token(&a, sequence, head, own * ROWS), rows.count);
    accumulator_store_block(out, a.out, a.head_dim, rows, head, 0);
}

/* Computes the kept keys of a block: Kt passes the later blocks from left to right, K <- K + (K R^T) W. Program: block
 * of keys, key-value head, sequence. */
PATH_KERNEL(path_attention_carry) {
    TILE(w, ROWS, HEAD); /* first Kt, then W */
    TILE(R, ROWS, HEAD);
    ACCUMULATOR(k, ROWS, HEAD);
    ACCUMULATOR(p, ROWS, ROWS);

    const int64_t sequence = program_z, kv_head = program_y, cols = a.kv_heads * a.head_dim;
    const Rows rows = rows_of_chunk(a.T, ROWS, sequence, program_x);
    tile_load_block(w, a.turned_k, a.head_dim, rows, kv_head, 0);
    sync();
    MAP(k, i, j, x, x = AT(w, i, j));
    for (int64_t index = larger_index(program_x + 1, a.past / ROWS); index < a.blocks; index++) {
        sync();
        load_keys(w, a.w, R, a.turn, index);
        sync();
        accumulator_zero(p);
        accumulator_mma_nt(p, k, R);
        accumulator_mma_nn(k, p, w);
    }
    float *const kept = a.kept + (sequence * a.kept_capacity + program_x * ROWS) * cols + kv_head * a.head_dim;
    accumulator_store_f32(k, kept, cols, rows.count, a.head_dim);
}

/* Computes delta and dQt of a block of queries. First Q passes the blocks of keys from right to left and is stored
 * before each. Then the gradient comes back. From dQ, the gradient after a block of keys, and Q before that block:
 *   dQ <- dQ + dS Kt + (dQ R^T) W,   dS = scale P (dO V^T - delta)
 * dQ is stored too. Half of the next tiles are loaded while the other half is used.
 * Program: block of queries of the round, head, sequence. */
#undef TILE_PROGRAMS
#define TILE_PROGRAMS (HEAD <= 64 && sizeof(element) == 2 ? 3 : 1)
PATH_KERNEL(path_attention_queries) {
    TILE(q, ROWS, HEAD);
    TILE(dout, ROWS, HEAD);
    TILE(keys, 2 * 2 * ROWS, HEAD); /* first two blocks of W and R, then Kt and V, and W and R */
    VECTOR(to_end, ROWS);
    ROW_VALUES(shift, ROWS); /* log_sum_exp without f + p */
    ROW_VALUES(base, ROWS);
    ROW_VALUES(delta, ROWS);
    ROW_VALUES(forget_before, ROWS);
    ROW_VALUES(forget_sum, ROWS);
    ROW_VALUES(tile_value, ROWS);
    ACCUMULATOR(dq, ROWS, HEAD); /* first Q, then dQ */
    ACCUMULATOR(p, ROWS, ROWS);
    ACCUMULATOR(ds, ROWS, ROWS);

    const int64_t sequence = program_z, head = program_y, kv_head = head / (a.heads / a.kv_heads);
    const int64_t own = a.first_query_block + a.query_blocks - 1 - program_x;
    const Rows rows = rows_of_chunk(a.T, ROWS, sequence, own);
    const int64_t first = first_key_block(&a, rows), t0 = entry_of_token(&a, sequence, head, own * ROWS);
    const int64_t pairs = pair_at(&a, sequence, head, own, 0), pair_size = ROWS * a.head_dim;
    const float exponent_scale = a.scale * LOG2_E;
    element *passing = (element *)a.passing + pairs * pair_size;
    element *dpassing = (element *)a.dpassing + pairs * pair_size;
    KEYS_VIEW(k, keys, 0);
    KEYS_VIEW(v, keys, 1);
    KEYS_VIEW(w, keys, 2);
    KEYS_VIEW(R, keys, 3);

    tile_load_block(q, a.out, a.head_dim, rows, head, 0);
    tile_load_block(dout, a.dout, a.head_dim, rows, head, 0);
    tile_load_block(v, a.turned_q, a.head_dim, rows, head, 0);
    sync();
    MAP(dq, i, j, x, x = AT(q, i, j) * AT(dout, i, j));
    row_values_share(delta, dq);
    row_values_total(delta);
    EACH_ROW_VALUE(delta, r, i) {
        if (i < rows.count) a.delta[t0 + i] = delta[r];
        base[r] = i < rows.count ? a.log_sum_exp[t0 + i] : 0.0f;
        base[r] -= from_start_of(&a, sequence, own, head, i) * exponent_scale;
        forget_before[r] = a.dforget && i < rows.count ? a.forget_sums[t0 + i] : 0.0f;
        forget_sum[r] = 0;
    }
    MAP(dq, i, j, x, x = AT(v, i, j));
    int stage = 1;
    if (own - 1 > first) load_keys(w, a.w, R, a.turn, own - 1);
    float passed = 0;
    for (int64_t index = own - 1; index >= first; index--) {
        KEYS_VIEW(w_now, keys, 2 * stage);
        KEYS_VIEW(R_now, keys, 2 * stage + 1);
        KEYS_VIEW(w_next, keys, 2 - 2 * stage);
        KEYS_VIEW(R_next, keys, 3 - 2 * stage);
        stage = 1 - stage;
        sync();
        if (index - 1 > first) load_keys(w_next, a.w, R_next, a.turn, index - 1);
        if (a.forget) {
            EACH (i, 1) a.passed[pairs + index] = passed;
            passed += forget_of_block(&a, sequence, index, head);
        }
        accumulator_store(dq, passing + index * pair_size, a.head_dim, ROWS, a.head_dim);
        if (index == first) break;
        accumulator_zero(p);
        accumulator_mma_nt(p, dq, w_now);
        accumulator_mma_nn(dq, p, R_now);
    }
    accumulator_zero(dq);
    sync();
    for (int64_t index = first; index < own; index++) {
        load_keys(k, a.turned_k, v, a.v, index);
        tile_load(q, passing + index * pair_size, a.head_dim, ROWS, a.head_dim);
        EACH (i, ROWS) to_end[i] = to_end_of(&a, sequence, index, head, i);
        const float blocks_between = a.forget ? a.passed[pairs + index] : 0.0f;
        EACH_ROW_VALUE(shift, r, i) shift[r] = base[r] - blocks_between * exponent_scale;
        accumulator_store(dq, dpassing + index * pair_size, a.head_dim, ROWS, a.head_dim);
        if (index > first) {
            accumulator_zero(p);
            accumulator_mma_nt(p, dq, R);
            accumulator_mma_nn(dq, p, w);
        }
        sync();
        if (index + 1 < own) load_keys(w, a.w, R, a.turn, index + 1);
        accumulator_zero(p);
        mma_nt(p, q, k);
        if (a.forget) MAP(p, i, j, x, x += to_end[j]);
        mask_documents(p, tile_value, rows, a.first_key, index * ROWS);
        MAP(p, i, j, x, x = exp2_f(x * exponent_scale - ROW_VALUE(shift, i)));
        accumulator_zero(ds);
        mma_nt(ds, dout, v);
        MAP(ds, i, j, x, x = (x - ROW_VALUE(delta, i)) * PEER(p, i, j) * a.scale);
        accumulator_mma_nn(dq, ds, k);
        if (a.dforget) {
            row_values_share(tile_value, ds);
            EACH_ROW_VALUE(forget_sum, r, i) forget_sum[r] += tile_value[r];
        }
        sync();
    }
    if (a.dforget) {
        row_values_total(forget_sum);
        EACH_ROW_VALUE(forget_sum, r, i)
        if (i < rows.count) a.forget_sums[t0 + i] = forget_before[r] + forget_sum[r];
    }
    accumulator_store_block(dq, a.dturned_q, a.head_dim, rows, head, 0);
}

/* Loads the next tile of queries and the gradient of their output. Also loads, for each query, log_sum_exp without f +
 * p, delta, and the first key that it sees, counted from the block's first key. Past the end all of these are 0, which
 * adds nothing. */
#define load_query_stage(stage, step)                                                                                  \
    do {                                                                                                               \
        const QueryTile next_ = query_tile(&a, sequence, first_head, index, begin, end, step);                         \
        const int64_t t0_ = next_.own * ROWS + next_.first_row;                                                        \
        const Rows queries_ = {sequence * a.T + t0_, a.T - t0_};                                                       \
        const float blocks_between_ = a.forget ? a.passed[next_.pair] : 0.0f;                                          \
        STAGE_VIEW(q_, q, stage);                                                                                      \
        STAGE_VIEW(dout_, dout, stage);                                                                                \
        MATRIX_VIEW(of_query_, of_query, (stage)*3, 0, 3, QUERY_TILE);                                                 \
        load_passing(q_, a.passing, next_);                                                                            \
        tile_load_block(dout_, a.dout, a.head_dim, queries_, next_.head, 0);                                           \
        EACH (j_, QUERY_TILE) {                                                                                        \
            const bool inside_ = j_ < queries_.count;                                                                  \
            const int64_t t_ = inside_ ? t0_ + j_ : a.T - 1;                                                           \
            const int64_t entry_ = entry_of_token(&a, sequence, next_.head, t_);                                       \
            const float forgotten_ =                                                                                   \
                from_start_of(&a, sequence, next_.own, next_.head, next_.first_row + j_) + blocks_between_;            \
            ENTRY(of_query_, 0, j_) = inside_ ? a.log_sum_exp[entry_] - forgotten_ * exponent_scale : 0.0f;            \
            ENTRY(of_query_, 1, j_) = inside_ ? a.delta[entry_] : 0.0f;                                                \
            ENTRY(of_query_, 2, j_) = (float)(a.first_key[sequence * a.T + t_] - index * ROWS);                        \
        }                                                                                                              \
    } while (0)

/* Adds the contributions of the round's queries to the gradients of Kt and v of a block of keys, and to that of the
 * sums of forget. Rows are keys and columns are queries. The next queries are loaded while these are used. Program:
 * block of keys, key-value head, sequence. */
#undef TILE_PROGRAMS
#define TILE_PROGRAMS (HEAD <= 64 && sizeof(element) == 2 ? 3 : 1)
PATH_KERNEL(path_attention_keys) {
    TILE(k, ROWS, HEAD);
    TILE(v, ROWS, HEAD);
    TILE(q, 2 * QUERY_TILE, HEAD);
    TILE(dout, 2 * QUERY_TILE, HEAD);
    MATRIX(of_query, 2 * 3, QUERY_TILE);
    ROW_VALUES(to_end, ROWS);
    ROW_VALUES(forget_before, ROWS);
    ROW_VALUES(forget_sum, ROWS);
    ROW_VALUES(tile_value, ROWS);
    ACCUMULATOR(p, ROWS, QUERY_TILE);
    ACCUMULATOR(ds, ROWS, QUERY_TILE);
    ACCUMULATOR(dk, ROWS, HEAD);
    ACCUMULATOR(dv, ROWS, HEAD);

    const int64_t sequence = program_z, kv_head = program_y, group = a.heads / a.kv_heads, index = program_x;
    const int64_t first_head = kv_head * group;
    const Rows rows = rows_of_chunk(a.T, ROWS, sequence, index);
    const int64_t begin = larger_index(a.first_query_block, index + 1), end = end_of_queries(&a, rows);
    const float exponent_scale = a.scale * LOG2_E;
    if (begin >= end) return;

    const int tiles = (int)(end - begin) * QUERY_TILES, steps = (int)group * tiles;
    float *dk_sums = a.turned_k_sums + rows.first * a.sums_stride + kv_head * a.head_dim;
    float *dv_sums = a.v_sums + rows.first * a.sums_stride + kv_head * a.head_dim;
    load_keys(k, a.turned_k, v, a.v, index);
    load_query_stage(0, 0);
    accumulator_load(dk, dk_sums, a.sums_stride, rows.count, a.head_dim);
    accumulator_load(dv, dv_sums, a.sums_stride, rows.count, a.head_dim);
    EACH_ROW_VALUE(to_end, r, i) to_end[r] = forget_before[r] = forget_sum[r] = 0;
    int stage = 0;
    for (int step = 0; step < steps; step++) {
        STAGE_VIEW(q_now, q, stage);
        STAGE_VIEW(dout_now, dout, stage);
        MATRIX_VIEW(now, of_query, stage * 3, 0, 3, QUERY_TILE);
        float *forget_sums = a.forget_sums + entry_of_token(&a, sequence, first_head + step / tiles, index * ROWS);
        stage = 1 - stage;
        sync();
        if (step + 1 < steps) load_query_stage(stage, step + 1);
        if (a.forget && step % tiles == 0) {
            EACH_ROW_VALUE(to_end, r, i) {
                to_end[r] = to_end_of(&a, sequence, index, first_head + step / tiles, i);
                forget_before[r] = a.dforget && i < rows.count ? forget_sums[i] : 0.0f;
                forget_sum[r] = 0;
            }
        }
        accumulator_zero(p);
        mma_nt(p, k, q_now);
        if (a.forget) MAP(p, i, j, x, x += ROW_VALUE(to_end, i));
        if (ENTRY(now, 2, QUERY_TILE - 1) > 0) MAP(p, i, j, x, x = (float)i >= ENTRY(now, 2, j) ? x : -INFINITY);
        MAP(p, i, j, x, x = exp2_f(x * exponent_scale - ENTRY(now, 0, j)));
        accumulator_zero(ds);
        mma_nt(ds, v, dout_now);
        MAP(ds, i, j, x, x = (x - ENTRY(now, 1, j)) * PEER(p, i, j) * a.scale);
        accumulator_mma_nn(dv, p, dout_now);
        accumulator_mma_nn(dk, ds, q_now);
        if (!a.dforget) continue;
        row_values_share(tile_value, ds);
        EACH_ROW_VALUE(forget_sum, r, i) forget_sum[r] -= tile_value[r];
        if ((step + 1) % tiles != 0) continue;
        row_values_total(forget_sum);
        EACH_ROW_VALUE(forget_sum, r, i)
        if (i < rows.count) forget_sums[i] = forget_before[r] + forget_sum[r];
    }
    accumulator_store_f32(dk, dk_sums, a.sums_stride, rows.count, a.head_dim);
    accumulator_store_f32(dv, dv_sums, a.sums_stride, rows.count, a.head_dim);
}

/* Loads the next tile of queries and of their gradients. */
#define load_passing_stage(stage, step)                                                                                \
    do {                                                                                                               \
        const QueryTile next_ = query_tile(&a, sequence, first_head, index, begin, end, step);                         \
        STAGE_VIEW(q_, q, stage);                                                                                      \
        STAGE_VIEW(dq_, dq, stage);                                                                                    \
        load_passing(q_, a.passing, next_);                                                                            \
        load_passing(dq_, a.dpassing, next_);                                                                          \
    } while (0)

/* Adds the contributions of the round's queries, as they pass a block of keys, to the gradients of its R and w: dR +=
 * (Q W^T)^T dQ and dW += (dQ R^T)^T Q. Rows are keys and columns are queries. Program: as path_attention_keys. */
PATH_KERNEL(path_attention_turns) {
    TILE(w, ROWS, HEAD);
    TILE(R, ROWS, HEAD);
    TILE(q, 2 * QUERY_TILE, HEAD);
    TILE(dq, 2 * QUERY_TILE, HEAD);
    ACCUMULATOR(by_w, ROWS, QUERY_TILE);
    ACCUMULATOR(by_R, ROWS, QUERY_TILE);
    ACCUMULATOR(dw, ROWS, HEAD);
    ACCUMULATOR(dR, ROWS, HEAD);

    const int64_t sequence = program_z, kv_head = program_y, group = a.heads / a.kv_heads, index = program_x;
    const int64_t first_head = kv_head * group;
    const Rows rows = rows_of_chunk(a.T, ROWS, sequence, index);
    const int64_t begin = larger_index(a.first_query_block, index + 1), end = end_of_queries(&a, rows);
    if (begin >= end) return;

    const int steps = (int)(group * (end - begin)) * QUERY_TILES;
    float *dw_sums = a.w_sums + rows.first * a.sums_stride + kv_head * a.head_dim;
    float *dR_sums = a.turn_sums + rows.first * a.sums_stride + kv_head * a.head_dim;
    load_keys(w, a.w, R, a.turn, index);
    load_passing_stage(0, 0);
    accumulator_load(dw, dw_sums, a.sums_stride, rows.count, a.head_dim);
    accumulator_load(dR, dR_sums, a.sums_stride, rows.count, a.head_dim);
    int stage = 0;
    for (int step = 0; step < steps; step++) {
        STAGE_VIEW(q_now, q, stage);
        STAGE_VIEW(dq_now, dq, stage);
        stage = 1 - stage;
        sync();
        if (step + 1 < steps) load_passing_stage(stage, step + 1);
        accumulator_zero(by_w);
        mma_nt(by_w, w, q_now);
        accumulator_zero(by_R);
        mma_nt(by_R, R, dq_now);
        accumulator_mma_nn(dR, by_w, dq_now);
        accumulator_mma_nn(dw, by_R, q_now);
    }
    accumulator_store_f32(dw, dw_sums, a.sums_stride, rows.count, a.head_dim);
    accumulator_store_f32(dR, dR_sums, a.sums_stride, rows.count, a.head_dim);
}

#undef HEAD
#undef load_query_stage
#undef load_passing_stage
