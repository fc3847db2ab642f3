/* chunk_delta_state and chunk_delta_dstate for keys of up to KEYS on a GPU: a program holds all of K and HELD columns
 * of V in registers for the whole sequence, and each operand is on its way while the one before is used. Included by
 * chunk_delta_walk.tile.h for each KEYS. */

/* The states before each chunk, and U in place of R; no o. Program: sequence and value head, block of V. */
DELTA_KERNEL(STATE_KERNEL) {
    TILE(w, ROWS, KEYS);
    TILE(k, ROWS, KEYS);
    TILE(S, KEYS, HELD);
    TILE(r, ROWS, HELD);
    TILE(written, ROWS, HELD); /* E U */
    VECTOR(to_end, ROWS);
    ACCUMULATOR(state, KEYS, HELD);
    ACCUMULATOR(u, ROWS, HELD);
    const int64_t sequence = program_x / a.v_heads, head = program_x % a.v_heads;
    const int64_t k_head = head * a.heads / a.v_heads, cols_v = a.V - program_y * HELD;
    accumulator_zero(state);
    if (a.initial) {
        const float *initial = a.initial + program_x * a.K * a.initial_stride + program_y * HELD;
        accumulator_load(state, initial, a.initial_stride, a.K, cols_v);
    }
    DeltaChunk chunk = delta_chunk_at(&a, sequence, 0);
    tile_load_block(w, a.w, a.K, chunk.updates, head, 0);
    tile_load_block(r, a.u, a.V, chunk.updates, head, program_y);
    for (int64_t index = 0; index < a.chunks; index++) {
        const float *gates = gates_at(&a, 0, sequence, index, head);
        const float stays = stays_of(gates + GATES_FROM_START * ROWS, chunk);
        EACH (i, ROWS) to_end[i] = gates[GATES_TO_END * ROWS + i];
        tile_cast(S, state);
        sync();
        tile_load_block(k, a.k, a.K, chunk.updates, k_head, 0);
        accumulator_zero(u);
        mma_nn(u, w, S);
        MAP(u, i, j, x, x = AT(r, i, j) - x);
        accumulator_store_block(u, a.u, a.V, chunk.updates, head, program_y);
        MAP_INTO(written, u, i, j, x, x *= to_end[i]);
        element *to = (element *)a.state + state_at(&a, sequence, index, head) + program_y * HELD;
        accumulator_store(state, to, a.V, a.K, cols_v);
        MAP(state, d, j, x, x *= stays);
        sync();
        if (index + 1 < a.chunks) {
            chunk = delta_chunk_at(&a, sequence, index + 1);
            tile_load_block(w, a.w, a.K, chunk.updates, head, 0);
            tile_load_block(r, a.u, a.V, chunk.updates, head, program_y);
        }
        mma_tn(state, k, written);
    }
    if (a.final) accumulator_store_f32(state, a.final + program_x * a.K * a.V + program_y * HELD, a.V, a.K, cols_v);
}

/* The gradients of the states after each chunk, and U' in place of P^T o'. Program: as chunk_delta_state. */
DELTA_KERNEL(DSTATE_KERNEL) {
    TILE(stage, 2 * ROWS, KEYS); /* k, W and q of one chunk after the other */
    TILE(dS, KEYS, HELD);
    TILE(dO, ROWS, HELD);
    TILE(du, ROWS, HELD);
    VECTOR(to_end, ROWS);
    VECTOR(query_decay, ROWS);
    ACCUMULATOR(dstate, KEYS, HELD);
    ACCUMULATOR(written, ROWS, HELD); /* k S_next', then U', then -U' */
    const int64_t sequence = program_x / a.v_heads, head = program_x % a.v_heads;
    const int64_t k_head = head * a.heads / a.v_heads, cols_v = a.V - program_y * HELD;
    accumulator_zero(dstate);
    if (a.dfinal) accumulator_load(dstate, a.dfinal + program_x * a.K * a.V + program_y * HELD, a.V, a.K, cols_v);
    DeltaChunk chunk = delta_chunk_at(&a, sequence, a.chunks - 1);
    TILE_VIEW(last_k, stage, (a.chunks - 1) % 2 * ROWS, 0, ROWS, KEYS);
    tile_load_block(last_k, a.k, a.K, chunk.updates, k_head, 0);
    tile_load_block(du, a.du, a.V, chunk.updates, head, program_y);
    for (int64_t index = a.chunks - 1; index >= 0; index--) {
        TILE_VIEW(k, stage, index % 2 * ROWS, 0, ROWS, KEYS);
        TILE_VIEW(w, stage, (index + 1) % 2 * ROWS, 0, ROWS, KEYS);
        TILE_VIEW(q, stage, index % 2 * ROWS, 0, ROWS, KEYS);
        TILE_VIEW(next_k, stage, (index + 1) % 2 * ROWS, 0, ROWS, KEYS);
        const float *gates = gates_at(&a, 0, sequence, index, head);
        const float stays = stays_of(gates + GATES_FROM_START * ROWS, chunk);
        EACH (i, ROWS) {
            to_end[i] = gates[GATES_TO_END * ROWS + i];
            query_decay[i] = gates[GATES_QUERY * ROWS + i];
        }
        tile_cast(dS, dstate);
        sync();
        tile_load_block(w, a.w, a.K, chunk.updates, head, 0);
        accumulator_zero(written);
        mma_nn(written, k, dS);
        MAP(written, i, j, x, x = to_end[i] * x + AT(du, i, j));
        accumulator_store_block(written, a.du, a.V, chunk.updates, head, program_y);
        MAP_INTO(du, written, i, j, x, x = -x);
        element *to = (element *)a.dstate + state_at(&a, sequence, index, head) + program_y * HELD;
        accumulator_store(dstate, to, a.V, a.K, cols_v);
        MAP(dstate, d, j, x, x *= stays);
        sync();
        if (index == 0 && !a.dinitial) break;
        tile_load_block(q, a.q, a.K, chunk.tokens, k_head, 0);
        tile_load_block(dO, a.do_, a.V, chunk.tokens, head, program_y);
        mma_tn(dstate, w, du);
        EACH_TILE(dO, i, j, x, x *= query_decay[i]);
        sync();
        if (index > 0) {
            chunk = delta_chunk_at(&a, sequence, index - 1);
            tile_load_block(next_k, a.k, a.K, chunk.updates, k_head, 0);
            tile_load_block(du, a.du, a.V, chunk.updates, head, program_y);
        }
        mma_tn(dstate, q, dO);
    }
    if (!a.dinitial) return;
    float *dinitial = a.dinitial + program_x * a.K * a.initial_stride + program_y * HELD;
    accumulator_store_f32(dstate, dinitial, a.initial_stride, a.K, cols_v);
}

#undef KEYS
#undef STATE_KERNEL
#undef DSTATE_KERNEL
