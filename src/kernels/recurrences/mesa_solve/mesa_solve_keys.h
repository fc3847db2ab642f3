/* mesa_solve for heads of up to COLS_K key columns. Program: chunk, head, sequence. */

MESA_KERNEL(mesa_solve) {
    TILE(H, COLS_K, COLS_K);
    TILE(k, ROWS, COLS_K);          /* first k of the chunk before, then k, in the end `solved` */
    PADDED_MATRIX(x, ROWS, COLS_K); /* in memory, because registers have room for only three of these */
    PADDED_MATRIX(M, ROWS, ROWS);
    MATRIX(decays, DECAYS, ROWS);
    MATRIX(sums, ROWS / 16, COLS_K);
    VECTOR(lambda, COLS_K);
    ACCUMULATOR(earlier, COLS_K, COLS_K);
    ACCUMULATOR(p, ROWS, COLS_K);
    ACCUMULATOR(r, ROWS, COLS_K); /* q - (H + diag(lambda)) x */
    ACCUMULATOR(y, ROWS, COLS_K); /* (H + diag(lambda)) p */
    ACCUMULATOR(products, ROWS, COLS_K);
    ACCUMULATOR(A, ROWS, ROWS);
    ROW_VALUES(u, ROWS);
    ROW_VALUES(square, ROWS); /* r r */
    ROW_VALUES(next, ROWS);
    ROW_VALUES(step, ROWS);
    ROW_VALUES(turn, ROWS);
    const ChunkSimpleGlaArguments *of_state = &a.of_state;
    const int sequence = (int)program_z, head = (int)program_y, index = (int)program_x, K = (int)of_state->K;
    const element *states = (const element *)of_state->state + state_offset(of_state, sequence, index, head, 0, 0);
    const element *raw_lambda = (const element *)a.raw_lambda + head * K;
    const Rows rows = rows_of_chunk(of_state->T, ROWS, sequence, index);

    tile_load(H, states, K, K, K);
    if (follows(index)) { /* H = u_last H + k^T diag(w) k of the chunk before */
        const Rows before = {rows.first - ROWS, ROWS};
        matrix_load(decays, decays_of(of_state, sequence, index - 1, head), ROWS, DECAYS, ROWS);
        tile_load_block(k, of_state->k, K, before, head, 0);
        sync();
        EACH_TILE(k, i, d, z, z *= sqrtf(ENTRY(decays, AFTER, i)));
        sync();
        MAP(earlier, d, j, z, z = ENTRY(decays, UPTO, ROWS - 1) * AT(H, d, j));
        mma_tn(earlier, k, k);
        sync();
        tile_cast(H, earlier);
    }
    matrix_load(decays, decays_of(of_state, sequence, index, head), ROWS, DECAYS, ROWS);
    tile_load_block(k, a.q, K, rows, head, 0);
    EACH (d, COLS_K) {
        const float raw = d < K ? to_float(raw_lambda[d]) : 0.0f;
        lambda[d] = a.lower_bound + softplus_f(raw);
    }
    sync();
    MAP(r, i, d, z, z = AT(k, i, d));
    MAP(A, i, j, z, z = 1);
    MULTIPLY_BY_DECAYS(A, decays);
    MAP(A, i, j, z, ENTRY(M, i, j) = z);
    sync();
    tile_load_block(k, of_state->k, K, rows, head, 0);
    MAP(p, i, d, z, z = PEER(r, i, d); ENTRY(x, i, d) = 0);
    EACH_ROW_VALUE(u, n, i) u[n] = ENTRY(decays, UPTO, i);
    row_values_dot(square, y, r, r);
    sync();

    for (int n = 0; n < a.steps; n++) {
        accumulator_zero(A);
        accumulator_mma_nt(A, p, k);
        MAP(A, i, j, z, z *= ENTRY(M, i, j));
        MAP(y, i, d, z, z = lambda[d] * PEER(p, i, d));
        accumulator_mma_nn(y, A, k);
        MAP(products, i, d, z, z = ROW_VALUE(u, i) * PEER(p, i, d));
        accumulator_mma_nn(y, products, H);
        row_values_dot(step, products, p, y);
        EACH_ROW_VALUE(step, m, i) step[m] = divide_f(square[m], step[m] + a.damping);
        MAP(r, i, d, z, z -= ROW_VALUE(step, i) * PEER(y, i, d));
        row_values_dot(next, y, r, r);
        EACH_ROW_VALUE(turn, m, i) {
            turn[m] = divide_f(next[m], square[m] + a.damping);
            square[m] = next[m];
        }
        MAP(p, i, d, z, ENTRY(x, i, d) += ROW_VALUE(step, i) * z; z = PEER(r, i, d) + ROW_VALUE(turn, i) * z);
    }
    MAP(y, i, d, z, z = ENTRY(x, i, d));
    accumulator_store_block(y, a.x, K, rows, head, 0);
    if (!a.of_raw_lambda) return;

    float *to = a.of_raw_lambda + chunk_offset(of_state->chunks, of_state->heads, sequence, index, head, K);
    sync();
    tile_load_block(k, a.solved, K, rows, head, 0);
    sync();
    MAP(y, i, d, z, z *= -AT(k, i, d));
    column_sums(sums, y);
    sync();
    EACH (d, K) {
        const float slope = sigmoid_f(to_float(raw_lambda[d]));
        to[d] = slope * (ENTRY(sums, 0, d) + ENTRY(sums, 1, d) + ENTRY(sums, 2, d) + ENTRY(sums, 3, d));
    }
}
