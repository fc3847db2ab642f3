/* The walk on a GPU for up to COLS_K key columns. Over the whole sequence a program holds WIDTH columns of V of the
 * state, with all of K, in registers. All accumulators are transposed, so that what a product leaves in a warp's
 * registers is the left operand of the warp's next product; warps then share nothing but loads. Program: sequence and
 * value head, block of V. chunk_delta_walk.tile.h includes this for each COLS_K. */

/* Computes o and the final states; for backward also U and the states before each chunk. */
HELD_KERNEL(chunk_delta_output) {
    TILE(keys, 2 * ROWS, COLS_K);  /* k, then q below it */
    TILE(values, 2 * ROWS, WIDTH); /* v, then o; in the other half the next chunk's v; the halves alternate */
    TILE(kept_u, ROWS, WIDTH);
    TILE(T, ROWS, ROWS);
    TILE(P, ROWS, ROWS);
    MATRIX(gates, 2 * GATES, ROWS);
    ACCUMULATOR(state, WIDTH, COLS_K);
    ACCUMULATOR(reads, WIDTH, 2 * ROWS); /* k S, then beta (v - D k S); q S, then o */
    ACCUMULATOR(u, WIDTH, ROWS);         /* U, then E U */
    TILE_VIEW(k, keys, 0, 0, ROWS, COLS_K);
    TILE_VIEW(q, keys, ROWS, 0, ROWS, COLS_K);
    ACCUMULATOR_VIEW(erased, reads, 0, ROWS);
    ACCUMULATOR_VIEW(out, reads, ROWS, ROWS);
    const HeldNumber sequence = (HeldNumber)(program_x / a.v_heads), head = (HeldNumber)(program_x % a.v_heads);
    const HeldNumber k_head = (HeldNumber)(head * a.heads / a.v_heads);
    const int first_v = (int)program_y * WIDTH, cols_v = (int)a.V - first_v;
    const float *initial = a.initial ? a.initial + program_x * a.K * a.initial_stride + first_v : NULL;
    accumulator_load_transposed(state, initial, a.initial_stride, a.K, cols_v);
    const DeltaChunk start = delta_chunk_at(&a, sequence, 0);
    tile_load_block(q, a.q, a.K, start.tokens, k_head, 0);
    tile_load_block(values, a.v, a.V, start.updates, head, program_y);
    matrix_load(gates, gates_at(&a, 0, sequence, 0, head), ROWS, GATES, ROWS);
    tile_load(T, (const element *)a.inverse + products_offset(&a, sequence, 0, head), ROWS, ROWS, ROWS);
    tile_load(P, (const element *)a.products + products_offset(&a, sequence, 0, head), ROWS, ROWS, ROWS);
    for (uint32_t index = 0; index < a.chunks; index++) {
        const int turn = (int)index & 1;
        const DeltaChunk chunk = delta_chunk_at(&a, sequence, index);
        TILE_VIEW(v, values, turn * ROWS, 0, ROWS, WIDTH);
        TILE_VIEW(next_v, values, (1 - turn) * ROWS, 0, ROWS, WIDTH);
        MATRIX_VIEW(gate, gates, turn * GATES, 0, GATES, ROWS);
        MATRIX_VIEW(next_gate, gates, (1 - turn) * GATES, 0, GATES, ROWS);
        tile_load_block(k, a.k, a.K, chunk.updates, k_head, 0);
        if (a.state) store_state(state, a.state, index);
        sync();
        accumulator_zero(reads);
        accumulator_mma_nt(reads, state, keys);
        MAP(erased, j, i, x, x = ENTRY(gate, GATES_BETA, i) * (AT(v, i, j) - ENTRY(gate, GATES_FROM_START, i) * x));
        MAP(out, j, i, x, x *= ENTRY(gate, GATES_QUERY, i));
        apply_inverse(accumulator_mma_nt, u, T, erased);
        accumulator_mma_nt(out, u, P);
        MAP(out, j, i, x, PUT(v, i, j, x));
        if (a.u.data) MAP(u, j, i, x, PUT(kept_u, i, j, x));
        MAP(u, j, i, x, x *= ENTRY(gate, GATES_TO_END, i));
        const float stays = stays_of(&a, &ENTRY(gate, GATES_FROM_START, 0), &ENTRY(gate, GATES_QUERY, 0), chunk);
        MAP(state, j, d, x, x *= stays);
        sync();
        tile_store_block(v, a.o, a.V, chunk.tokens, head, program_y);
        if (a.u.data) tile_store_block(kept_u, a.u, a.V, chunk.updates, head, program_y);
        if (index + 1 < a.chunks) {
            const int64_t square = products_offset(&a, sequence, index + 1, head);
            const DeltaChunk next = delta_chunk_at(&a, sequence, index + 1);
            tile_load_block(q, a.q, a.K, next.tokens, k_head, 0);
            tile_load_block(next_v, a.v, a.V, next.updates, head, program_y);
            matrix_load(next_gate, gates_at(&a, 0, sequence, index + 1, head), ROWS, GATES, ROWS);
            tile_load(T, (const element *)a.inverse + square, ROWS, ROWS, ROWS);
            tile_load(P, (const element *)a.products + square, ROWS, ROWS, ROWS);
        }
        copy_commit();
        accumulator_mma_nn(state, u, k);
        sync_after(1);
    }
    float *final = a.final + program_x * a.K * a.V + first_v;
    if (a.final) accumulator_store_transposed(state, final, a.V, a.K, cols_v);
}

/* Computes U and the states before each chunk, transposed. */
HELD_KERNEL(chunk_delta_state) {
    TILE(k, ROWS, COLS_K);
    TILE(values, 2 * ROWS, WIDTH); /* v, then U; in the other half the next chunk's v; the halves alternate */
    TILE(T, ROWS, ROWS);
    MATRIX(gates, 2 * GATES, ROWS);
    ACCUMULATOR(state, WIDTH, COLS_K);
    ACCUMULATOR(erased, WIDTH, ROWS); /* as in chunk_delta_output */
    ACCUMULATOR(u, WIDTH, ROWS);
    const uint32_t sequence = (uint32_t)(program_x / a.v_heads), head = (uint32_t)(program_x % a.v_heads);
    const uint32_t k_head = (uint32_t)(head * a.heads / a.v_heads);
    const int first_v = (int)program_y * WIDTH, cols_v = (int)a.V - first_v;
    const float *initial = a.initial ? a.initial + program_x * a.K * a.initial_stride + first_v : NULL;
    accumulator_load_transposed(state, initial, a.initial_stride, a.K, cols_v);
    DeltaChunk chunk = delta_chunk_at(&a, sequence, 0);
    tile_load_block(k, a.k, a.K, chunk.updates, k_head, 0);
    tile_load_block(values, a.v, a.V, chunk.updates, head, program_y);
    matrix_load(gates, gates_at(&a, 0, sequence, 0, head), ROWS, GATES, ROWS);
    tile_load(T, (const element *)a.inverse + products_offset(&a, sequence, 0, head), ROWS, ROWS, ROWS);
    for (int64_t index = 0; index < a.chunks; index++) {
        const int64_t turn = index % 2;
        store_state(state, a.state, index);
        TILE_VIEW(v, values, turn * ROWS, 0, ROWS, WIDTH);
        TILE_VIEW(next_v, values, (1 - turn) * ROWS, 0, ROWS, WIDTH);
        MATRIX_VIEW(gate, gates, turn * GATES, 0, GATES, ROWS);
        MATRIX_VIEW(next_gate, gates, (1 - turn) * GATES, 0, GATES, ROWS);
        sync();
        accumulator_zero(erased);
        accumulator_mma_nt(erased, state, k);
        MAP(erased, j, i, x, x = ENTRY(gate, GATES_BETA, i) * (AT(v, i, j) - ENTRY(gate, GATES_FROM_START, i) * x));
        apply_inverse(accumulator_mma_nt, u, T, erased);
        MAP(u, j, i, x, PUT(v, i, j, x); x *= ENTRY(gate, GATES_TO_END, i));
        const float stays = stays_of(&a, &ENTRY(gate, GATES_FROM_START, 0), &ENTRY(gate, GATES_QUERY, 0), chunk);
        MAP(state, j, d, x, x *= stays);
        sync();
        tile_store_block(v, a.u, a.V, chunk.updates, head, program_y);
        if (index + 1 == a.chunks) break;
        chunk = delta_chunk_at(&a, sequence, index + 1);
        tile_load_block(next_v, a.v, a.V, chunk.updates, head, program_y);
        matrix_load(next_gate, gates_at(&a, 0, sequence, index + 1, head), ROWS, GATES, ROWS);
        tile_load(T, (const element *)a.inverse + products_offset(&a, sequence, index + 1, head), ROWS, ROWS, ROWS);
        copy_commit();
        accumulator_mma_nn(state, u, k);
        sync_after(1);
        tile_load_block(k, a.k, a.K, chunk.updates, k_head, 0);
    }
}

/* The same as chunk_delta_dstate of chunk_delta_walk.tile.h, with transposed gradients of states. */
HELD_KERNEL(chunk_delta_dstate) {
    TILE(k, ROWS, COLS_K);
    TILE(q, ROWS, COLS_K);
    TILE(values, 2 * ROWS, WIDTH); /* o'; in the other half R', then the next chunk's o'; the halves alternate */
    TILE(T, ROWS, ROWS);
    TILE(P, ROWS, ROWS);
    MATRIX(gate, GATES, ROWS);
    ACCUMULATOR(dstate, WIDTH, COLS_K);
    ACCUMULATOR(du, WIDTH, ROWS);
    ACCUMULATOR(dr, WIDTH, ROWS); /* R', then -D beta R' */
    const int64_t sequence = program_x / a.v_heads, head = program_x % a.v_heads, last = a.chunks - 1;
    const int64_t k_head = head * a.heads / a.v_heads, first_v = program_y * WIDTH, cols_v = a.V - first_v;
    const float *dfinal = a.dfinal ? a.dfinal + program_x * a.K * a.V + first_v : NULL;
    accumulator_load_transposed(dstate, dfinal, a.V, a.K, cols_v);
    DeltaChunk chunk = delta_chunk_at(&a, sequence, last);
    TILE_VIEW(last_dO, values, last % 2 * ROWS, 0, ROWS, WIDTH);
    tile_load_block(k, a.k, a.K, chunk.updates, k_head, 0);
    tile_load_block(last_dO, a.do_, a.V, chunk.tokens, head, program_y);
    matrix_load(gate, gates_at(&a, 0, sequence, last, head), ROWS, GATES, ROWS);
    tile_load(T, (const element *)a.inverse + products_offset(&a, sequence, last, head), ROWS, ROWS, ROWS);
    tile_load(P, (const element *)a.products + products_offset(&a, sequence, last, head), ROWS, ROWS, ROWS);
    store_state(dstate, a.dstate, last);
    for (int64_t index = last; index >= 0; index--) {
        const int64_t turn = index % 2;
        TILE_VIEW(dO, values, turn * ROWS, 0, ROWS, WIDTH);
        TILE_VIEW(other, values, (1 - turn) * ROWS, 0, ROWS, WIDTH);
        sync();
        if (index > 0 || a.dinitial) tile_load_block(q, a.q, a.K, chunk.tokens, k_head, 0);
        copy_commit();
        accumulator_zero(du);
        accumulator_mma_nt(du, dstate, k);
        MAP(du, j, i, x, x *= ENTRY(gate, GATES_TO_END, i));
        mma_tn(du, dO, P);
        apply_inverse(accumulator_mma_nn, dr, T, du);
        MAP(dr, j, i, x, PUT(other, i, j, x); x *= -ENTRY(gate, GATES_FROM_START, i) * ENTRY(gate, GATES_BETA, i));
        sync_after(1);
        tile_store_block(other, a.dr, a.V, chunk.updates, head, program_y);
        if (index == 0 && !a.dinitial) break;
        EACH_TILE_STAGED(dO, i, j, x, x *= ENTRY(gate, GATES_QUERY, i));
        const float stays = stays_of(&a, &ENTRY(gate, GATES_FROM_START, 0), &ENTRY(gate, GATES_QUERY, 0), chunk);
        MAP(dstate, j, d, x, x *= stays);
        accumulator_mma_nn(dstate, dr, k);
        sync();
        if (index > 0) {
            chunk = delta_chunk_at(&a, sequence, index - 1);
            tile_load_block(k, a.k, a.K, chunk.updates, k_head, 0);
            tile_load_block(other, a.do_, a.V, chunk.tokens, head, program_y);
            matrix_load(gate, gates_at(&a, 0, sequence, index - 1, head), ROWS, GATES, ROWS);
            const int64_t square = products_offset(&a, sequence, index - 1, head);
            tile_load(T, (const element *)a.inverse + square, ROWS, ROWS, ROWS);
            tile_load(P, (const element *)a.products + square, ROWS, ROWS, ROWS);
        }
        mma_tn(dstate, dO, q);
        if (index > 0) store_state(dstate, a.dstate, index - 1);
    }
    float *dinitial = a.dinitial + program_x * a.K * a.initial_stride + first_v;
    if (a.dinitial) accumulator_store_transposed(dstate, dinitial, a.initial_stride, a.K, cols_v);
}

#undef COLS_K
