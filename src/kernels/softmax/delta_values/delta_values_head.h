/* The kernels of delta_values for heads of up to HEAD columns; included by delta_values.tile.h once per HEAD. */
#define COLS DELTA_COLS(HEAD)

/* Computes log_sum_exp, A and W of a block. Program: block from first_block on, head, sequence. */
DELTA_KERNEL(delta_values_prepare) {
    TILE(q, DELTA_ROWS, HEAD);
    TILE(k, 2 * ATTENTION_TILE, HEAD);
    MATRIX(lower, DELTA_ROWS, DELTA_ROWS);
    MATRIX(inverse, DELTA_ROWS, DELTA_ROWS);
    ROW_VALUES(maximum, DELTA_ROWS);
    ROW_VALUES(sum, DELTA_ROWS);
    ROW_VALUES(rescale, DELTA_ROWS);
    ROW_VALUES(beta, DELTA_ROWS);
    ACCUMULATOR(p, DELTA_ROWS, ATTENTION_TILE);

    const int T = (int)a.T, head = (int)program_y, b = (int)(a.first_block + program_x);
    const Block queries = block_of(T, (int)program_z, b * DELTA_ROWS, DELTA_ROWS);
    const KeyRange keys = keys_of(queries, a.first_key);
    const Rows rows = rows_from(queries, T, queries.t0);
    const int64_t block = block_at(&a, program_z, head, b);
    const float exponent_scale = a.scale * LOG2_E;

    tile_load_block(q, a.q, a.head_dim, rows, head, 0);
    load_rows(k, 0, a.k, head, 0, queries, keys.start);
    softmax_begin(maximum, sum);
    EACH_ROW_VALUE(beta, r, i) beta[r] = beta_of(&a, queries, i, head);
    int stage = 0;
    for (int s0 = keys.start; s0 < queries.end; s0 += ATTENTION_TILE) {
        TILE_VIEW(k_now, k, stage * ATTENTION_TILE, 0, ATTENTION_TILE, HEAD);
        stage = 1 - stage;
        sync();
        if (s0 + ATTENTION_TILE < queries.end) load_rows(k, stage, a.k, head, 0, queries, s0 + ATTENTION_TILE);
        accumulator_zero(p);
        mma_nt(p, q, k_now);
        mask_keys(p, queries, keys, a.first_key, s0);
        softmax_weights(p, maximum, sum, rescale, exponent_scale);
    }
    row_values_total(sum);
    EACH_ROW_VALUE(sum, r, i) {
        maximum[r] = sum[r] > 0 ? maximum[r] + logf(sum[r]) * LOG2_E : 0.0f;
        a.log_sum_exp[block * DELTA_ROWS + i] = queries.t0 + i < queries.end ? maximum[r] : 0.0f;
    }

    element *const products = (element *)a.products + block * DELTA_ROWS * DELTA_ROWS;
    for (int s = 0; s < DELTA_ROWS; s += ATTENTION_TILE) {
        TILE_VIEW(k_now, k, 0, 0, ATTENTION_TILE, HEAD);
        sync();
        load_rows(k, 0, a.k, head, 0, queries, queries.t0 + s);
        sync();
        accumulator_zero(p);
        mma_nt(p, q, k_now);
        mask_keys(p, queries, keys, a.first_key, queries.t0 + s);
        MAP(p, i, j, x, x = exp2_f(x * exponent_scale - ROW_VALUE(maximum, i));
            ENTRY(lower, i, s + j) = ROW_VALUE(beta, i) * x);
        accumulator_store(p, products + s, DELTA_ROWS, DELTA_ROWS, ATTENTION_TILE);
    }
    sync();
    triangular_inverse(inverse, lower);
    element *const to = (element *)a.inverse + block * DELTA_ROWS * DELTA_ROWS;
    EACH_VECTOR(i, DELTA_ROWS * DELTA_ROWS) {
        READ_F32(x, inverse + i);
        WRITE(to + i, x);
    }
}

/* sum += A u over the tiles of keys from `from` to `to`, for the queries in the tile q. */
#define add_earlier(sum, from, to)                                                                                     \
    do {                                                                                                               \
        int stage_ = 0;                                                                                                \
        if ((from) < (to)) load_pair(k, a.k, u, a.u, 0, queries, from);                                                \
        for (int s0_ = (from); s0_ < (to); s0_ += ATTENTION_TILE) {                                                    \
            TILE_VIEW(k_now_, k, stage_ *ATTENTION_TILE, 0, ATTENTION_TILE, HEAD);                                     \
            TILE_VIEW(u_now_, u, stage_ *ATTENTION_TILE, 0, ATTENTION_TILE, COLS);                                     \
            stage_ = 1 - stage_;                                                                                       \
            sync();                                                                                                    \
            if (s0_ + ATTENTION_TILE < (to)) load_pair(k, a.k, u, a.u, stage_, queries, s0_ + ATTENTION_TILE);         \
            accumulator_zero(p);                                                                                       \
            mma_nt(p, q, k_now_);                                                                                      \
            mask_keys(p, queries, keys, a.first_key, s0_);                                                             \
            MAP(p, i, j, x, x = exp2_f(x * exponent_scale - ROW_VALUE(log_sum_exp, i)));                               \
            accumulator_mma_nn(sum, p, u_now_);                                                                        \
        }                                                                                                              \
    } while (0)

/* Computes the sums over the keys before a part, for each of its blocks. Program: block, head and columns, sequence. */
DELTA_KERNEL(delta_values_earlier) {
    TILE(q, DELTA_ROWS, HEAD);
    TILE(k, 2 * ATTENTION_TILE, HEAD);
    TILE(u, 2 * ATTENTION_TILE, COLS);
    ROW_VALUES(log_sum_exp, DELTA_ROWS);
    ACCUMULATOR(p, DELTA_ROWS, ATTENTION_TILE);
    ACCUMULATOR(sum, DELTA_ROWS, COLS);

    const int T = (int)a.T, head = head_of_program(&a, COLS, program_y),
              column = column_of_program(&a, COLS, program_y);
    const int b = (int)(a.first_block + program_x);
    const Block queries = block_of(T, (int)program_z, b * DELTA_ROWS, DELTA_ROWS);
    const KeyRange keys = keys_of(queries, a.first_key);
    const Rows rows = rows_from(queries, T, queries.t0);
    const int64_t block = block_at(&a, program_z, head, b);
    const float exponent_scale = a.scale * LOG2_E;
    tile_load_block(q, a.q, a.head_dim, rows, head, 0);
    EACH_ROW_VALUE(log_sum_exp, r, i) log_sum_exp[r] = a.log_sum_exp[block * DELTA_ROWS + i];
    accumulator_zero(sum);
    add_earlier(sum, keys.start, (int)a.first_block * DELTA_ROWS);
    sync();
    accumulator_store_f32(sum, far_at(&a, program_z, b, head) + column * COLS, a.heads * a.head_dim, DELTA_ROWS,
                          a.head_dim - column * COLS);
}

/* Computes u and y of the blocks of a part, one after another. Program: head and columns, sequence. */
DELTA_KERNEL(delta_values_solve) {
    TILE(q, DELTA_ROWS, HEAD);
    TILE(k, 2 * ATTENTION_TILE, HEAD);
    TILE(u, 2 * ATTENTION_TILE, COLS);
    TILE(v, DELTA_ROWS, COLS); /* v, then v less the contributions of earlier blocks, then u */
    TILE(inverse, DELTA_ROWS, DELTA_ROWS);
    TILE(products, DELTA_ROWS, DELTA_ROWS);
    ROW_VALUES(log_sum_exp, DELTA_ROWS);
    ROW_VALUES(beta, DELTA_ROWS);
    ACCUMULATOR(p, DELTA_ROWS, ATTENTION_TILE);
    ACCUMULATOR(sum, DELTA_ROWS, COLS);
    ACCUMULATOR(solved, DELTA_ROWS, COLS);

    const int T = (int)a.T, head = head_of_program(&a, COLS, program_x),
              column = column_of_program(&a, COLS, program_x);
    const int first = (int)a.first_block * DELTA_ROWS;
    const float exponent_scale = a.scale * LOG2_E;
    for (int b = (int)a.first_block; b < a.end_block; b++) {
        const Block queries = block_of(T, (int)program_y, b * DELTA_ROWS, DELTA_ROWS);
        const KeyRange keys = keys_of(queries, a.first_key);
        const Rows rows = rows_from(queries, T, queries.t0);
        const int64_t block = block_at(&a, program_y, head, b);
        sync();
        tile_load_block(q, a.q, a.head_dim, rows, head, 0);
        tile_load_block(v, a.v, a.head_dim, rows, head, column);
        load_square(inverse, a.inverse, block);
        load_square(products, a.products, block);
        EACH_ROW_VALUE(beta, r, i) {
            log_sum_exp[r] = a.log_sum_exp[block * DELTA_ROWS + i];
            beta[r] = beta_of(&a, queries, i, head);
        }
        accumulator_zero(sum);
        if (first > 0)
            accumulator_load(sum, far_at(&a, program_y, b, head) + column * COLS, a.heads * a.head_dim, DELTA_ROWS,
                             a.head_dim - column * COLS);
        add_earlier(sum, keys.start > first ? keys.start : first, queries.t0);
        sync();
        MAP_INTO(v, solved, i, j, x, x = AT(v, i, j) - ROW_VALUE(beta, i) * PEER(sum, i, j));
        sync();
        accumulator_zero(solved);
        mma_nn(solved, inverse, v);
        accumulator_store_block(solved, a.u, a.head_dim, rows, head, column);
        sync();
        tile_cast(v, solved);
        sync();
        mma_nn(sum, products, v);
        accumulator_store_block(sum, a.y, a.head_dim, rows, head, column);
    }
}

/* sum += A^T y' over the tiles of queries from `from` to `to`, for the keys in the tile k. */
#define add_later(sum, from, to)                                                                                       \
    do {                                                                                                               \
        int stage_ = 0;                                                                                                \
        if ((from) < (to)) load_later(0, from);                                                                        \
        for (int t0_ = (from); t0_ < (to); t0_ += ATTENTION_TILE) {                                                    \
            TILE_VIEW(q_now_, q, stage_ *ATTENTION_TILE, 0, ATTENTION_TILE, HEAD);                                     \
            TILE_VIEW(dy_now_, dy, stage_ *ATTENTION_TILE, 0, ATTENTION_TILE, COLS);                                   \
            MATRIX_VIEW(row_sums_now_, row_sums, stage_, 0, 1, ATTENTION_TILE);                                        \
            stage_ = 1 - stage_;                                                                                       \
            sync();                                                                                                    \
            if (t0_ + ATTENTION_TILE < (to)) load_later(stage_, t0_ + ATTENTION_TILE);                                 \
            accumulator_zero(p);                                                                                       \
            mma_nt(p, k, q_now_);                                                                                      \
            mask_queries(p, keys, queries, a.last_query, t0_);                                                         \
            MAP(p, i, j, x, x = exp2_f(x * exponent_scale - ENTRY(row_sums_now_, 0, j)));                              \
            accumulator_mma_nn(sum, p, dy_now_);                                                                       \
        }                                                                                                              \
    } while (0)
#define load_later(stage, t0)                                                                                          \
    do {                                                                                                               \
        MATRIX_VIEW(row_sums_, row_sums, stage, 0, 1, ATTENTION_TILE);                                                 \
        load_pair(q, a.q, dy, a.dy, stage, keys, t0);                                                                  \
        matrix_load_whole(row_sums_, a.log_sum_exp + (block - b) * DELTA_ROWS + (t0));                                 \
    } while (0)

/* Computes the sums over the queries after a part, for each of its blocks. Program: block, head and columns,
 * sequence. */
DELTA_KERNEL(delta_values_later) {
    TILE(k, DELTA_ROWS, HEAD);
    TILE(q, 2 * ATTENTION_TILE, HEAD);
    TILE(dy, 2 * ATTENTION_TILE, COLS);
    MATRIX(row_sums, 2, ATTENTION_TILE);
    ACCUMULATOR(p, DELTA_ROWS, ATTENTION_TILE);
    ACCUMULATOR(sum, DELTA_ROWS, COLS);

    const int T = (int)a.T, head = head_of_program(&a, COLS, program_y),
              column = column_of_program(&a, COLS, program_y);
    const int b = (int)(a.first_block + program_x);
    const Block keys = block_of(T, (int)program_z, b * DELTA_ROWS, DELTA_ROWS);
    const QueryRange queries = queries_of(keys, a.last_query);
    const int64_t block = block_at(&a, program_z, head, b);
    const float exponent_scale = a.scale * LOG2_E;
    tile_load_block(k, a.k, a.head_dim, rows_from(keys, T, keys.t0), head, 0);
    accumulator_zero(sum);
    add_later(sum, (int)a.end_block * DELTA_ROWS, queries.last + 1);
    sync();
    accumulator_store_f32(sum, far_at(&a, program_z, b, head) + column * COLS, a.heads * a.head_dim, DELTA_ROWS,
                          a.head_dim - column * COLS);
}

/* Computes v' and y' of the blocks of a part, from the last to the first. Program: head and columns, sequence. */
DELTA_KERNEL(delta_values_solve_back) {
    TILE(k, DELTA_ROWS, HEAD);
    TILE(q, 2 * ATTENTION_TILE, HEAD);
    TILE(dy, 2 * ATTENTION_TILE, COLS);
    TILE(du, DELTA_ROWS, COLS);
    TILE(inverse, DELTA_ROWS, DELTA_ROWS);
    MATRIX(row_sums, 2, ATTENTION_TILE);
    ROW_VALUES(beta, DELTA_ROWS);
    ACCUMULATOR(p, DELTA_ROWS, ATTENTION_TILE);
    ACCUMULATOR(sum, DELTA_ROWS, COLS);

    const int T = (int)a.T, head = head_of_program(&a, COLS, program_x),
              column = column_of_program(&a, COLS, program_x);
    const int end = (int)a.end_block * DELTA_ROWS;
    const float exponent_scale = a.scale * LOG2_E;
    for (int b = (int)a.end_block - 1; b >= a.first_block; b--) {
        const Block keys = block_of(T, (int)program_y, b * DELTA_ROWS, DELTA_ROWS);
        const QueryRange queries = queries_of(keys, a.last_query);
        const Rows rows = rows_from(keys, T, keys.t0);
        const int64_t block = block_at(&a, program_y, head, b);
        sync();
        tile_load_block(k, a.k, a.head_dim, rows, head, 0);
        tile_load_block(du, a.du, a.head_dim, rows, head, column);
        load_square(inverse, a.inverse, block);
        EACH_ROW_VALUE(beta, r, i) beta[r] = beta_of(&a, keys, i, head);
        accumulator_zero(sum);
        if (a.end_block < a.blocks)
            accumulator_load(sum, far_at(&a, program_y, b, head) + column * COLS, a.heads * a.head_dim, DELTA_ROWS,
                             a.head_dim - column * COLS);
        add_later(sum, keys.t0 + DELTA_ROWS, queries.last + 1 < end ? queries.last + 1 : end);
        sync();
        MAP_INTO(du, sum, i, j, x, x += AT(du, i, j));
        sync();
        accumulator_zero(sum);
        mma_tn(sum, inverse, du);
        accumulator_store_block(sum, a.dv, a.head_dim, rows, head, column);
        MAP(sum, i, j, x, x *= -ROW_VALUE(beta, i));
        accumulator_store_block(sum, a.dy, a.head_dim, rows, head, column);
    }
}

#undef HEAD
#undef COLS
#undef add_earlier
#undef add_later
#undef load_later
