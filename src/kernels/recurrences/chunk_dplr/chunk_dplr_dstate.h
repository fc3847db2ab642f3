/* Included by chunk_dplr_walk.tile.h for each number of COLS_K. */

/* Computes the gradients of the state after each chunk and of the initial state, and U'. Program: as
 * chunk_dplr_state. */
DSTATE_KERNEL(chunk_dplr_dstate) {
    TILE(b, ROWS, COLS_K);
    TILE(q, ROWS, COLS_K);
    TILE(W, ROWS, COLS_K);
    TILE(values, 2 * ROWS, WIDTH_V); /* o'; in the other half U', then the next chunk's o'; the halves alternate */
    TILE(A, ROWS, ROWS);
    MATRIX(decay, 1, COLS_K);
    ACCUMULATOR(dstate, WIDTH_V, COLS_K);
    ACCUMULATOR(du, WIDTH_V, ROWS);
    const int64_t sequence = program_x / a.heads, head = program_x % a.heads;
    const int64_t first_v = program_y * WIDTH_V, cols_v = a.V - first_v;
    const float *dfinal = a.dfinal ? a.dfinal + program_x * a.K * a.V + first_v : NULL;
    const int chunks = (int)a.chunks;
    transposed_load(dstate, dfinal, a.V);
    for (int load = chunks - 1; load >= -1; load--) {
        const int index = load + 1, turn = load & 1;
        const bool carries = index > 0 || a.dinitial;
        const Rows rows = chunk_at(a.segment, a.T, ROWS, sequence, load < 0 ? 0 : load).rows;
        TILE_VIEW(next, values, turn * ROWS, 0, ROWS, WIDTH_V); /* first U' of this chunk */
        TILE_VIEW(dO, values, (1 - turn) * ROWS, 0, ROWS, WIDTH_V);
        if (index < chunks) {
            store_state(dstate, a.dstate, index);
            sync_after(1);
            accumulator_zero(du);
            accumulator_mma_nt(du, dstate, b);
            mma_tn(du, dO, A);
            MAP(du, j, i, x, PUT(next, i, j, x));
            sync();
            tile_store_block(next, a.du, a.V, chunk_at(a.segment, a.T, ROWS, sequence, index).rows, head, program_y);
        }
        if (load >= 0) tile_load_block(b, a.b_decayed, a.K, rows, head, 0);
        copy_commit();
        if (index < chunks && carries) {
            MAP(dstate, j, d, x, x *= ENTRY(decay, 0, d));
            mma_tn(dstate, dO, q);
            accumulator_mma_nn(dstate, du, W);
        }
        sync_after(1);
        if (load >= 0) {
            tile_load(A, products_at(&a, a.products[0], sequence, load, head), ROWS, ROWS, ROWS);
            tile_load_block(next, a.do_, a.V, rows, head, program_y);
            matrix_load(decay, decay_at(&a, sequence, load, head, 0), a.K, 1, a.K);
        }
        copy_commit();
        if (load > 0 || (load == 0 && a.dinitial)) {
            tile_load_block(q, a.q_decayed, a.K, rows, head, 0);
            tile_load_block(W, a.a_decayed, a.K, rows, head, 0);
        }
        copy_commit();
    }
    float *dinitial = a.dinitial + program_x * a.K * a.initial_stride + first_v;
    if (a.dinitial) transposed_store(dstate, dinitial, a.initial_stride);
}
