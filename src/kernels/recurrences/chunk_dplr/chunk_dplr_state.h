/* Included by chunk_dplr_walk.tile.h for each number of WRITERS and of COLS_K. */

/* Computes U, and the states before each chunk and after the last one. Program: sequence and head, block of V. */
STATE_KERNEL(chunk_dplr_state) {
    enum { TWO = WRITERS == 2 };
    TILE(by_k, (1 + WRITERS) * ROWS, COLS_K); /* W, b~, k~ */
    TILE(values, 2 * ROWS, WIDTH_V);          /* v; in the other half the next chunk's v; the halves alternate */
    TILE(M, ROWS, ROWS);                      /* M^T */
    TILE(U, ROWS, WIDTH_V);
    MATRIX(decays, 2, COLS_K);
    MATRIX(betas, 2, ROWS);
    ACCUMULATOR(state, WIDTH_V, COLS_K);
    ACCUMULATOR(u, WIDTH_V, ROWS);
    TILE_VIEW(W, by_k, 0, 0, ROWS, COLS_K);
    TILE_VIEW(b, by_k, ROWS, 0, ROWS, COLS_K);
    TILE_VIEW(k, by_k, WRITERS * ROWS, 0, ROWS, COLS_K);
    const int64_t sequence = program_x / a.heads, head = program_x % a.heads;
    const int64_t first_v = program_y * WIDTH_V, cols_v = a.V - first_v;
    const float *initial = a.initial ? a.initial + program_x * a.K * a.initial_stride + first_v : NULL;
    const int chunks = (int)a.chunks, steps = a.final ? chunks : chunks - 1;
    transposed_load(state, initial, a.initial_stride);
    for (int load = 0; load <= chunks; load++) {
        const int index = load - 1, turn = load & 1;
        const Rows rows = chunk_at(a.segment, a.T, ROWS, sequence, load < chunks ? load : chunks - 1).rows;
        TILE_VIEW(next_v, values, turn * ROWS, 0, ROWS, WIDTH_V);
        TILE_VIEW(v, values, (1 - turn) * ROWS, 0, ROWS, WIDTH_V);
        MATRIX_VIEW(next_decay, decays, turn, 0, 1, COLS_K);
        MATRIX_VIEW(decay, decays, 1 - turn, 0, 1, COLS_K);
        MATRIX_VIEW(next_beta, betas, turn, 0, 1, ROWS);
        MATRIX_VIEW(beta, betas, 1 - turn, 0, 1, ROWS);
        if (index >= 0) {
            store_state(state, a.state, index);
            sync_after(1);
            MAP(u, j, i, x, x = TWO ? 0.0f : ENTRY(beta, 0, i) * AT(v, i, j));
            mma_tn(u, v, M);
            accumulator_mma_nt(u, state, W);
            MAP(u, j, i, x, PUT(U, i, j, x));
            sync();
            tile_store_block(U, a.u, a.V, chunk_at(a.segment, a.T, ROWS, sequence, index).rows, head, program_y);
            MAP(state, j, d, x, x *= ENTRY(decay, 0, d));
        }
        if (load < chunks) {
            tile_load_block(W, a.a_decayed, a.K, rows, head, 0);
            tile_load_block(next_v, a.v, a.V, rows, head, program_y);
            tile_load(M, products_at(&a, a.solve, sequence, load, head), ROWS, ROWS, ROWS);
            matrix_load(next_decay, decay_at(&a, sequence, load, head, 0), a.K, 1, a.K);
            if (!TWO) matrix_load(next_beta, betas_at(&a, sequence, load, head), ROWS, 1, ROWS);
        }
        copy_commit();
        if (index >= 0 && index < steps) {
            accumulator_mma_nn(state, u, b);
            if (TWO) mma_tn(state, v, k);
        }
        sync_after(1);
        if (load < steps) {
            tile_load_block(b, a.b_decayed, a.K, rows, head, 0);
            if (TWO) tile_load_block(k, a.k_decayed, a.K, rows, head, 0);
        }
        copy_commit();
    }
    float *final = a.final + program_x * a.K * a.V + first_v;
    if (a.final) transposed_store(state, final, a.V);
}

#undef WRITERS
