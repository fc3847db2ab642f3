/* The kernels of codebook_attention for keys of up to HEAD columns; codebook_attention.tile.h includes this once per
 * HEAD. j are the keys that query i sees itself; c are the codes, with numbers n_c and means of values m_c in the
 * query's memory:
 *
 * - s_ij = scale q_i k_j + r_i,i-j (without r where i - j > window), s_ic = scale q_i c + ln n_c, p = e^(s - lse_i)
 * - o_i = sum_j p_ij v_j + sum_c p_ic m_c
 * - ds_ij = p_ij (do_i v_j - delta_i), ds_ic = p_ic (do_i m_c - delta_i), dr_i,i-j = ds_ij
 * - dq_i = scale (sum_j ds_ij k_j + sum_c ds_ic c), dk_j = scale sum_i ds_ij q_i
 * - dv_j = sum_i p_ij do_i + the sum over the memories that hold j of dm_z(j) / n_z(j), dm_c = sum_i p_ic do_i */

#define COLS VALUE_COLS(HEAD)

/* A program has one block of a head's value columns. */
#define value_blocks ((int)((a.value_dim + COLS - 1) / COLS))

/* Computes the numbers and means of all memories, one after another. Program: codes, head and columns, sequence. */
CODEBOOK_KERNEL(codebook_attention_memories) {
    TILE(chosen, CODEBOOK_ROWS, CODEBOOK_ROWS); /* tokens x codes: 1 where the token has the code */
    TILE(v, CODEBOOK_ROWS, COLS);
    VECTOR(number, CODEBOOK_ROWS);
    ACCUMULATOR(sum, CODEBOOK_ROWS, COLS);
    ACCUMULATOR(mean, CODEBOOK_ROWS, COLS);

    const Sequence sequence = sequence_of(&a, program_z, program_y / value_blocks);
    const int s0 = (int)program_x * CODEBOOK_ROWS, column = (int)program_y % value_blocks;
    const int not_kept = first_not_kept(&a, sequence), begun = (int)a.past - sequence.position[a.past];
    const int64_t kept = (sequence.number * a.heads + sequence.head) * a.codes + s0;
    int document = 0, merged = -1; /* `sum` holds the tokens of `document` up to `merged`, -1: nothing yet */
    for (int n = 0; n < a.memories; n++) {
        const Memory memory = memory_number(&a, sequence, n);
        if (is_empty(memory)) continue;
        const bool goes_on = not_kept >= 0 && memory.first == begun;
        if (merged < 0 || document != memory.first) {
            sync();
            accumulator_zero(sum);
            if (goes_on)
                accumulator_load(sum, a.sums + kept * a.value_dim + column * COLS, a.value_dim, a.codes - s0,
                                 a.value_dim - column * COLS);
            EACH (j, CODEBOOK_ROWS) number[j] = goes_on && s0 + j < a.codes ? a.numbers[kept + j] : 0.0f;
            document = memory.first;
            merged = goes_on ? not_kept : memory.first;
        }
        for (; merged < memory.end; merged += CODEBOOK_ROWS) {
            sync();
            tile_load_block(v, a.v, a.value_dim, rows_of_tokens(sequence, merged, memory.end), sequence.head, column);
            EACH_PAIR(i, j, CODEBOOK_ROWS, CODEBOOK_ROWS)
            PUT(chosen, i, j,
                merged + i < memory.end &&
                        a.index[(sequence.first_row + merged + i) * a.heads + sequence.head] == s0 + j
                    ? 1.0f
                    : 0.0f);
            sync();
            mma_tn(sum, chosen, v);
            EACH (j, CODEBOOK_ROWS) {
                for (int i = 0; i < CODEBOOK_ROWS; i++) number[j] += AT(chosen, i, j);
            }
        }
        merged = goes_on && not_kept > memory.end ? not_kept : memory.end;
        sync();
        const int64_t at = memory_at(&a, sequence, n) + s0;
        MAP(mean, i, j, x, x = number[i] > 0 ? PEER(sum, i, j) / number[i] : 0.0f);
        accumulator_store(mean, (element *)a.mean + at * a.value_dim + column * COLS, a.value_dim, a.codes - s0,
                          a.value_dim - column * COLS);
        EACH (j, CODEBOOK_ROWS) {
            if (column == 0 && s0 + j < a.codes) a.log_number[at + j] = number[j] > 0 ? logf(number[j]) : -INFINITY;
        }
    }
}

/* Sets what a program needs to know of each of its queries: its token, first key and memory. */
#define query_values(t0)                                                                                               \
    do {                                                                                                               \
        EACH_ROW_VALUE(first, r, i) {                                                                                  \
            const int t_ = (t0) + i < a.T ? (t0) + i : (int)a.T - 1;                                                   \
            token[r] = (float)t_;                                                                                      \
            first[r] = (float)first_key(&a, sequence, t_);                                                             \
            memory[r] = (float)memory_of_token(&a, sequence, t_);                                                      \
        }                                                                                                              \
    } while (0)
/* Compute the scores of the program's queries by the keys, or by the codes, from s0 on. */
#define scores_of_keys(p, s0)                                                                                          \
    do {                                                                                                               \
        accumulator_zero(p);                                                                                           \
        mma_nt(p, q, k);                                                                                               \
        MAP(p, i, j, x,                                                                                                \
            x = window_score(&a, sequence, (int)ROW_VALUE(token, i), (int)ROW_VALUE(first, i), (s0) + j, x));          \
    } while (0)
#define scores_of_codes(p, n)                                                                                          \
    do {                                                                                                               \
        accumulator_zero(p);                                                                                           \
        mma_nt(p, q, k);                                                                                               \
        MAP(p, i, j, x, x = ROW_VALUE(memory, i) == (float)(n) ? x * a.scale + log_number[j] : -INFINITY);             \
    } while (0)
/* Loads ln n of the codes from s0 on. */
#define load_log_numbers(n, s0)                                                                                        \
    EACH (j_, KEYS_AT_ONCE)                                                                                            \
    log_number[j_] = (s0) + j_ < a.codes ? a.log_number[memory_at(&a, sequence, n) + (s0) + j_] : -INFINITY

/* Program: queries, head and columns, sequence. */
CODEBOOK_KERNEL(codebook_attention_forward) {
    TILE(q, CODEBOOK_ROWS, HEAD);
    TILE(k, KEYS_AT_ONCE, HEAD);
    TILE(v, KEYS_AT_ONCE, COLS);
    VECTOR(log_number, KEYS_AT_ONCE);
    ROW_VALUES(token, CODEBOOK_ROWS);
    ROW_VALUES(first, CODEBOOK_ROWS);
    ROW_VALUES(memory, CODEBOOK_ROWS);
    ROW_VALUES(maximum, CODEBOOK_ROWS);
    ROW_VALUES(sum, CODEBOOK_ROWS);
    ACCUMULATOR(p, CODEBOOK_ROWS, KEYS_AT_ONCE);
    ACCUMULATOR(out, CODEBOOK_ROWS, COLS);

    const Sequence sequence = sequence_of(&a, program_z, program_y / value_blocks);
    const int last_block = (int)(a.T - 1) / CODEBOOK_ROWS, t0 = (last_block - (int)program_x) * CODEBOOK_ROWS;
    const int column = (int)program_y % value_blocks;
    const int end = (int)end_of_program(t0, a.T, CODEBOOK_ROWS);
    const Rows rows = rows_of_tokens(sequence, t0, end);

    tile_load_block(q, a.q, a.head_dim, rows, sequence.head, 0);
    query_values(t0);
    softmax_begin(maximum, sum);
    accumulator_zero(out);
    for (int s0 = first_key(&a, sequence, t0); s0 < end; s0 += KEYS_AT_ONCE) {
        const Rows keys = rows_of_tokens(sequence, s0, end);
        sync();
        tile_load_block(k, a.k, a.head_dim, keys, sequence.head, 0);
        tile_load_block(v, a.v, a.value_dim, keys, sequence.head, column);
        sync();
        scores_of_keys(p, s0);
        softmax_add(out, p, v, maximum, sum, LOG2_E);
    }
    const int last = block_start(&a, sequence, end - 1) / (int)a.block;
    for (int n = block_start(&a, sequence, t0) / (int)a.block; n <= last; n++) {
        if (is_empty(memory_number(&a, sequence, n))) continue;
        for (int s0 = 0; s0 < a.codes; s0 += KEYS_AT_ONCE) {
            sync();
            load_codes(k, s0);
            load_means(v, n, s0, column);
            load_log_numbers(n, s0);
            sync();
            scores_of_codes(p, n);
            softmax_add(out, p, v, maximum, sum, LOG2_E);
        }
    }
    softmax_end(out, maximum, sum, a.log_sum_exp + tokens_at(&a, sequence) + t0, column == 0 ? end - t0 : 0);
    accumulator_store_block(out, a.out, a.value_dim, rows, sequence.head, column);
}

/* Turns the scores p into weights and computes ds. load_values(column) loads v. */
#define score_gradients(ds, p, load_values)                                                                            \
    do {                                                                                                               \
        MAP(p, i, j, x, x = exp2_f(x * LOG2_E - ROW_VALUE(log_sum_exp, i)));                                           \
        accumulator_zero(ds);                                                                                          \
        for (int column = 0; column < value_blocks; column++) {                                                        \
            sync();                                                                                                    \
            tile_load_block(dout, a.dout, a.value_dim, rows, sequence.head, column);                                   \
            load_values;                                                                                               \
            sync();                                                                                                    \
            mma_nt(ds, dout, v);                                                                                       \
        }                                                                                                              \
        MAP(ds, i, j, x, x = (x - ROW_VALUE(delta, i)) * PEER(p, i, j));                                               \
    } while (0)

/* Computes dq and dr. Program: queries, head, sequence. */
CODEBOOK_KERNEL(codebook_attention_queries) {
    TILE(q, CODEBOOK_ROWS, HEAD);
    TILE(k, KEYS_AT_ONCE, HEAD);
    TILE(dout, CODEBOOK_ROWS, COLS);
    TILE(v, KEYS_AT_ONCE, COLS);
    VECTOR(log_number, KEYS_AT_ONCE);
    ROW_VALUES(token, CODEBOOK_ROWS);
    ROW_VALUES(first, CODEBOOK_ROWS);
    ROW_VALUES(memory, CODEBOOK_ROWS);
    ROW_VALUES(log_sum_exp, CODEBOOK_ROWS);
    ROW_VALUES(delta, CODEBOOK_ROWS);
    ACCUMULATOR(p, CODEBOOK_ROWS, KEYS_AT_ONCE);
    ACCUMULATOR(ds, CODEBOOK_ROWS, KEYS_AT_ONCE);
    ACCUMULATOR(dq, CODEBOOK_ROWS, HEAD);

    const Sequence sequence = sequence_of(&a, program_z, program_y);
    const int t0 = (int)program_x * CODEBOOK_ROWS, end = (int)end_of_program(t0, a.T, CODEBOOK_ROWS);
    const Rows rows = rows_of_tokens(sequence, t0, end);

    tile_load_block(q, a.q, a.head_dim, rows, sequence.head, 0);
    query_values(t0);
    EACH_ROW_VALUE(delta, r, i) {
        const int64_t at = tokens_at(&a, sequence) + (int)token[r];
        log_sum_exp[r] = a.log_sum_exp[at];
        delta[r] = a.delta[at];
    }
    accumulator_zero(dq);
    for (int s0 = first_key(&a, sequence, t0); s0 < end; s0 += KEYS_AT_ONCE) {
        const Rows keys = rows_of_tokens(sequence, s0, end);
        sync();
        tile_load_block(k, a.k, a.head_dim, keys, sequence.head, 0);
        sync();
        scores_of_keys(p, s0);
        score_gradients(ds, p, tile_load_block(v, a.v, a.value_dim, keys, sequence.head, column));
        if (a.drelative.data) {
            element *const to = (element *)a.drelative.data;
            MAP(ds, i, j, x, {
                const int distance = t0 + i - s0 - j;
                if (t0 + i < end && distance >= 0 && distance <= a.window && s0 + j >= (int)ROW_VALUE(first, i))
                    to[entry_of_head(a.drelative, a.distances, sequence.first_row + t0 + i, sequence.head, distance)] =
                        to_element(x);
            });
        }
        accumulator_mma_nn(dq, ds, k);
    }
    const int last = block_start(&a, sequence, end - 1) / (int)a.block;
    for (int n = block_start(&a, sequence, t0) / (int)a.block; n <= last; n++) {
        if (is_empty(memory_number(&a, sequence, n))) continue;
        for (int s0 = 0; s0 < a.codes; s0 += KEYS_AT_ONCE) {
            sync();
            load_codes(k, s0);
            load_log_numbers(n, s0);
            sync();
            scores_of_codes(p, n);
            score_gradients(ds, p, load_means(v, n, s0, column));
            accumulator_mma_nn(dq, ds, k);
        }
    }
    MAP(dq, i, j, x, x *= a.scale);
    if (a.dq.data) accumulator_store_block(dq, a.dq, a.head_dim, rows, sequence.head, 0);
}

/* Loads what a program of keys needs of the queries from t0 on: log_sum_exp, delta and the first key. */
#define load_queries(t0)                                                                                               \
    EACH (j_, KEYS_AT_ONCE) {                                                                                          \
        const int t_ = (t0) + (int)j_ < a.T ? (t0) + (int)j_ : (int)a.T - 1;                                           \
        ENTRY(of_query, 0, j_) = a.log_sum_exp[tokens_at(&a, sequence) + t_];                                          \
        ENTRY(of_query, 1, j_) = a.delta[tokens_at(&a, sequence) + t_];                                                \
        ENTRY(of_query, 2, j_) = (float)first_key(&a, sequence, t_);                                                   \
        ENTRY(of_query, 3, j_) = (float)memory_of_token(&a, sequence, t_);                                             \
    }
/* Computes the weights of the program's keys, from s0 on, for these queries. */
#define weights_of_queries(p, t0)                                                                                      \
    do {                                                                                                               \
        accumulator_zero(p);                                                                                           \
        mma_nt(p, k, q);                                                                                               \
        MAP(p, i, j, x,                                                                                                \
            x = (t0) + j < a.T                                                                                         \
                    ? exp2_f(window_score(&a, sequence, (t0) + j, (int)ENTRY(of_query, 2, j), s0 + i, x) * LOG2_E -    \
                             ENTRY(of_query, 0, j))                                                                    \
                    : 0.0f);                                                                                           \
    } while (0)

/* Computes dk. Program: keys, head, sequence. */
CODEBOOK_KERNEL(codebook_attention_keys) {
    TILE(k, CODEBOOK_ROWS, HEAD);
    TILE(q, KEYS_AT_ONCE, HEAD);
    TILE(v, CODEBOOK_ROWS, COLS);
    TILE(dout, KEYS_AT_ONCE, COLS);
    MATRIX(of_query, 4, KEYS_AT_ONCE);
    ACCUMULATOR(p, CODEBOOK_ROWS, KEYS_AT_ONCE);
    ACCUMULATOR(ds, CODEBOOK_ROWS, KEYS_AT_ONCE);
    ACCUMULATOR(dk, CODEBOOK_ROWS, HEAD);

    const Sequence sequence = sequence_of(&a, program_z, program_y);
    const int s0 = (int)program_x * CODEBOOK_ROWS, end = (int)end_of_program(s0, a.T, CODEBOOK_ROWS);
    const Rows rows = rows_of_tokens(sequence, s0, end);
    const int last = a.last_query[sequence.first_row + end - 1];

    tile_load_block(k, a.k, a.head_dim, rows, sequence.head, 0);
    accumulator_zero(dk);
    for (int t0 = s0; t0 <= last; t0 += KEYS_AT_ONCE) {
        const Rows queries = rows_of_tokens(sequence, t0, a.T);
        sync();
        tile_load_block(q, a.q, a.head_dim, queries, sequence.head, 0);
        load_queries(t0);
        sync();
        weights_of_queries(p, t0);
        accumulator_zero(ds);
        for (int column = 0; column < value_blocks; column++) {
            sync();
            tile_load_block(v, a.v, a.value_dim, rows, sequence.head, column);
            tile_load_block(dout, a.dout, a.value_dim, queries, sequence.head, column);
            sync();
            mma_nt(ds, v, dout);
        }
        MAP(ds, i, j, x, x = (x - ENTRY(of_query, 1, j)) * PEER(p, i, j));
        accumulator_mma_nn(dk, ds, q);
    }
    MAP(dk, i, j, x, x *= a.scale);
    accumulator_store_block(dk, a.dk, a.head_dim, rows, sequence.head, 0);
}

/* Computes dv from the queries that see the token itself. Program: keys, head and columns, sequence. */
CODEBOOK_KERNEL(codebook_attention_values) {
    TILE(k, CODEBOOK_ROWS, HEAD);
    TILE(q, KEYS_AT_ONCE, HEAD);
    TILE(dout, KEYS_AT_ONCE, COLS);
    MATRIX(of_query, 4, KEYS_AT_ONCE);
    ACCUMULATOR(p, CODEBOOK_ROWS, KEYS_AT_ONCE);
    ACCUMULATOR(dv, CODEBOOK_ROWS, COLS);

    const Sequence sequence = sequence_of(&a, program_z, program_y / value_blocks);
    const int s0 = (int)program_x * CODEBOOK_ROWS, column = (int)program_y % value_blocks;
    const int end = (int)end_of_program(s0, a.T, CODEBOOK_ROWS);
    const Rows rows = rows_of_tokens(sequence, s0, end);
    const int last = a.last_query[sequence.first_row + end - 1];

    tile_load_block(k, a.k, a.head_dim, rows, sequence.head, 0);
    accumulator_zero(dv);
    for (int t0 = s0; t0 <= last; t0 += KEYS_AT_ONCE) {
        const Rows queries = rows_of_tokens(sequence, t0, a.T);
        sync();
        tile_load_block(q, a.q, a.head_dim, queries, sequence.head, 0);
        tile_load_block(dout, a.dout, a.value_dim, queries, sequence.head, column);
        load_queries(t0);
        sync();
        weights_of_queries(p, t0);
        accumulator_mma_nn(dv, p, dout);
    }
    accumulator_store_block(dv, a.dv, a.value_dim, rows, sequence.head, column);
}

/* Adds to dv the gradients that come through memories, from the last memory to the first. It keeps, for each code, the
 * sum of dm / n over the memories so far. A token gets the sum of its code once the first memory that holds the token
 * has been added. Program: codes, head and columns, sequence. */
CODEBOOK_KERNEL(codebook_attention_memories_backward) {
    TILE(k, CODEBOOK_ROWS, HEAD); /* codes */
    TILE(q, KEYS_AT_ONCE, HEAD);
    TILE(dout, KEYS_AT_ONCE, COLS);
    MATRIX(of_query, 4, KEYS_AT_ONCE);
    MATRIX(total, CODEBOOK_ROWS, COLS);
    VECTOR(log_number, CODEBOOK_ROWS);
    ACCUMULATOR(p, CODEBOOK_ROWS, KEYS_AT_ONCE);
    ACCUMULATOR(dm, CODEBOOK_ROWS, COLS);
    ACCUMULATOR(sum, CODEBOOK_ROWS, COLS);

    const Sequence sequence = sequence_of(&a, program_z, program_y / value_blocks);
    const int code0 = (int)program_x * CODEBOOK_ROWS, column = (int)program_y % value_blocks;
    const int cols = (int)a.value_dim - column * COLS;
    load_codes(k, code0);
    sync();
    int document = -1;
    for (int n = (int)a.memories - 1; n >= 0; n--) {
        const Memory memory = memory_number(&a, sequence, n);
        if (is_empty(memory)) continue;
        if (memory.first != document) accumulator_zero(sum);
        document = memory.first;
        sync();
        EACH (i, CODEBOOK_ROWS) {
            const int64_t code = code0 + i < a.codes ? code0 + i : a.codes - 1;
            log_number[i] = a.log_number[memory_at(&a, sequence, n) + code];
        }
        accumulator_zero(dm);
        for (int t0 = memory.start; t0 < memory.start + a.block && t0 < a.T; t0 += KEYS_AT_ONCE) {
            const Rows queries = rows_of_tokens(sequence, t0, a.T);
            sync();
            tile_load_block(q, a.q, a.head_dim, queries, sequence.head, 0);
            tile_load_block(dout, a.dout, a.value_dim, queries, sequence.head, column);
            load_queries(t0);
            sync();
            accumulator_zero(p);
            mma_nt(p, k, q);
            MAP(p, i, j, x,
                x = (t0 + j < a.T) & (ENTRY(of_query, 3, j) == (float)n)
                        ? exp2_f((x * a.scale + log_number[i]) * LOG2_E - ENTRY(of_query, 0, j))
                        : 0.0f);
            accumulator_mma_nn(dm, p, dout);
        }
        MAP(sum, i, j, x, x += log_number[i] > -INFINITY ? PEER(dm, i, j) * exp2_f(-log_number[i] * LOG2_E) : 0.0f;
            ENTRY(total, i, j) = x);
        sync();
        EACH_ROW (t, first_added(&a, memory), memory.end) {
            const int64_t row = sequence.first_row + t;
            const int code = a.index[row * a.heads + sequence.head] - code0;
            element *const dv =
                (element *)a.dv.data + entry_of_head(a.dv, a.value_dim, row, sequence.head, column * COLS);
            if (code >= 0 && code < CODEBOOK_ROWS)
                WARP_EACH(j, cols < COLS ? cols : COLS) dv[j] = to_element(to_float(dv[j]) + ENTRY(total, code, j));
        }
    }
}

#undef HEAD
#undef COLS
#undef value_blocks
#undef query_values
#undef scores_of_keys
#undef scores_of_codes
#undef load_log_numbers
#undef score_gradients
#undef load_queries
#undef weights_of_queries
