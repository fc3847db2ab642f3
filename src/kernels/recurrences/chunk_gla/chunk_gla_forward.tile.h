/* A, the states and o of chunk_gla; equations in chunk_gla_chunk.h. */
#if defined(TILE_ELEMENT_F32)
#define TILE_PROGRAMS 3
#else
#define TILE_PROGRAMS 4
#endif
#include "tile/tile.h"
#include "kernels/recurrences/chunk_gla/chunk_gla.h"
#include "kernels/recurrences/chunk_gla/chunk_gla_chunk.h"

/* Computes A, and q and k decayed from the start and to the end of the chunk, for the kernels after this one. Program:
 * chunk, sequence and head. */
KERNEL(chunk_gla_products, ChunkGlaArguments) {
    TILE(q, ROWS, WIDTH_K);         /* q, then q_decayed */
    TILE(k, ROWS, WIDTH_K);         /* k, then k_decayed */
    TILE(q_near, ROWS, WIDTH_K);    /* q decayed from the start of its quarter */
    TILE(k_start, ROWS, WIDTH_K);   /* k e^(-P) */
    TILE(k_ahead, ROWS, WIDTH_K);   /* k of the first two quarters decayed to the middle of the chunk, of the third and
                                       the   first to their ends */
    TILE(q_half, QUARTER, WIDTH_K); /* q of the last quarter, decayed from the middle of the chunk */
    MATRIX(g, ROWS, WIDTH_K);
    MATRIX(sums, CHUNK_QUARTERS, WIDTH_K);
    MATRIX(inside, CHUNK_QUARTERS,
           WIDTH_K); /* e^(sum over the quarter); below over the quarters before it, and after it */
    MATRIX(before, CHUNK_QUARTERS, WIDTH_K);
    MATRIX(after, CHUNK_QUARTERS, WIDTH_K);
    MATRIX(P, ROWS, WIDTH_K);        /* P. If steep, before that k decayed over `offset` rows, and for k minus the sum
                                        of the gates after the row. */
    MATRIX(band, QUARTER, ROWS);     /* entry (offset, j): the product of rows j + offset and j */
    MATRIX(diagonal, QUARTER, ROWS); /* sums of `band` over the steep blocks of K; all A_ii, from undecayed q and k */
    VECTOR(document, ROWS);
    ACCUMULATOR(A, ROWS, ROWS);
    ACCUMULATOR(plain, ROWS, QUARTER);
    ACCUMULATOR(product, ROWS, WIDTH_K);
    const int64_t sequence = program_y / a.heads, head = program_y % a.heads, kv_head = head * a.kv_heads / a.heads;
    const bool first_of_group = head == kv_head * (a.heads / a.kv_heads);
    const Chunk chunk = chunk_at(a.segment, a.T, ROWS, sequence, program_x);
    const float stays = chunk.before == chunk.last ? 1.0f : 0.0f;
    const float before_document = (float)(chunk.before - a.segment[chunk.rows.first]);
    const float last_document = (float)(chunk.last - a.segment[chunk.rows.first]);
    rows_documents(document, a.segment, chunk.rows);
    EACH_ENTRY(diagonal, i, j, x, x = 0);
    accumulator_zero(A);
    accumulator_zero(plain);
    for (int64_t block = 0; block * WIDTH_K < a.K; block++) {
        const int64_t cols = a.K - block * WIDTH_K;
        tile_load_block(q, a.q, a.K, chunk.rows, head, block);
        tile_load_block(k, a.k, a.K, chunk.rows, kv_head, block);
        matrix_load_block(g, a.g, a.K, chunk.rows, kv_head, block);
        sync();
        for (int row = 0; row < ROWS; row += QUARTER) {
            TILE_VIEW(q_, q, row, 0, QUARTER, WIDTH_K);
            TILE_VIEW(k_, k, row, 0, QUARTER, WIDTH_K);
            block_mma_nt(plain, row, 0, q_, k_);
        }
        SUM_GATES(sums, g, row, d, sum, ENTRY(P, row, d) = sum);
        sync();
        float steepest = 0;
        MAXIMUM(steepest, e, CHUNK_QUARTERS * WIDTH_K, -sums[e]);
        const bool steep = steepest > GATE_LIMIT;
        if (steep) {
            for (int offset = 1; offset < QUARTER; offset++) {
                MAP(product, j, d, x, {
                    x = 0;
                    if (j % QUARTER + offset < QUARTER) {
                        x = (offset > 1 ? ENTRY(P, j, d) : AT(k, j, d)) * DECAY(ENTRY(g, j + offset, d));
                        ENTRY(P, j, d) = x;
                        x *= AT(q, j + offset, d);
                    }
                });
                row_sum((&ENTRY(band, offset, 0)), product);
            }
            sync();
            EACH_ENTRY(diagonal, offset, j, x, x += offset ? ENTRY(band, offset, j) : 0.0f);
            SUM_GATES(sums, g, row, d, sum, ENTRY(P, row, d) = sum);
            sync();
        }
        DECAYS_OF_QUARTERS(inside, before, after, sums);
        sync();
        EACH_ROW_VECTOR(row, d, ROWS, WIDTH_K) {
            const float sees = document[row] == before_document ? a.scale : 0.0f;
            READ_MATRIX(sum, P, row, d);
            READ_TILE(q_row, q, row, d);
            EACH_LANE(e) q_row[e] *= DECAY(sum[e]);
            WRITE_READER(q_row, row, d, before, inside, q_near, q_half, q, sees);
        }
        if (steep) {
            sync();
            SUM_GATES_AFTER(g, row, d, sum, ENTRY(P, row, d) = -sum);
            sync();
        }
        EACH_ROW_VECTOR(row, d, ROWS, WIDTH_K) {
            const float enters = document[row] == last_document ? 1.0f : 0.0f;
            READ_MATRIX(factor, P, row, d);
            READ_TILE(k_row, k, row, d);
            EACH_LANE(e) factor[e] = DECAY(-factor[e]);
            WRITE_WRITER(k_row, row, d, factor, steep, inside, after, k_start, k_ahead, k, enters);
        }
        if (first_of_group) {
            float *decay = decay_at(&a, sequence, program_x, kv_head, block * WIDTH_K);
            EACH (d, WIDTH_K)
                if (d < cols) decay[d] = stays * DECAY(SUM_ALL(sums, d));
        }
        sync();
        ADD_QUARTER_PRODUCTS(A, q_near, q_half, k_start, k_ahead, steep);
        tile_store_block(q, a.q_decayed, a.K, chunk.rows, head, block);
        if (first_of_group) tile_store_block(k, a.k_decayed, a.K, chunk.rows, kv_head, block);
        sync();
    }
    MAP(plain, i, j, x, if (i % QUARTER == j) ENTRY(diagonal, 0, i) = x);
    sync();
    MAP(A, i, j, x, {
        const int offset = i - j;
        if (i / QUARTER == j / QUARTER && offset >= 0) x = ENTRY(diagonal, offset, j) + (offset ? x : 0.0f);
        x = offset >= 0 && document[i] == document[j] ? a.scale * x : 0.0f;
    });
    accumulator_store(A, products_at(&a, a.products, sequence, program_x, head), ROWS, ROWS, ROWS);
}

/* Computes the states before each chunk and after the last one. Program: sequence and key-value head, block of K, block
 * of V. */
KERNEL(chunk_gla_state, ChunkGlaArguments) {
    TILE(decayed, STAGES * ROWS, STATE_K);
    TILE(values, STAGES * ROWS, STATE_V);
    MATRIX(decay, STAGES, STATE_K);
    ACCUMULATOR(S, STATE_K, STATE_V);
    const int64_t sequence = program_x / a.kv_heads, head = program_x % a.kv_heads;
    const int64_t first_k = program_y * STATE_K, first_v = program_z * STATE_V;
    const int64_t cols_k = a.K - first_k, cols_v = a.V - first_v, row = program_x * a.K + first_k, col = first_v;
    const int last = (int)a.chunks - 1, steps = a.final ? last + 1 : last;
    accumulator_zero(S);
    if (a.initial) accumulator_load(S, a.initial + row * a.initial_stride + col, a.initial_stride, cols_k, cols_v);
    for (int load = 0; load < steps + STAGES - 1; load++) {
        const int index = load - (STAGES - 1);
        if (index >= 0) {
            accumulator_store(S, state_at(&a, a.state, sequence, index, head, first_k, first_v), a.V, cols_k, cols_v);
            sync_after(AHEAD);
        }
        if (load < steps) {
            STAGE_VIEWS(k, v, e, load);
            const Rows rows = rows_at(&a, sequence, load);
            tile_load_block(k, a.k_decayed, a.K, rows, head, program_y);
            tile_load_block(v, a.v, a.V, rows, head, program_z);
            matrix_load(e, decay_at(&a, sequence, load, head, first_k), a.K, 1, cols_k);
        }
        copy_commit();
        if (index >= 0) {
            STAGE_VIEWS(k, v, e, index);
            MAP(S, d, j, x, x *= ENTRY(e, 0, d));
            mma_tn(S, k, v);
        }
    }
    if (a.final)
        accumulator_store_f32(S, a.final + row * a.V + col, a.V, cols_k, cols_v);
    else
        accumulator_store(S, state_at(&a, a.state, sequence, last, head, first_k, first_v), a.V, cols_k, cols_v);
}

/* Computes o. Program: block of V, chunk, sequence and head. */
KERNEL(chunk_gla_output, ChunkGlaArguments) {
    TILE(queries, STAGES * ROWS, WIDTH_K);
    TILE(states, STAGES * WIDTH_K, WIDTH_V);
    TILE(A, ROWS, ROWS);
    TILE(v, ROWS, WIDTH_V);
    HALVES(o, WIDTH_V);
    const int64_t sequence = program_z / a.heads, head = program_z % a.heads, kv_head = head * a.kv_heads / a.heads;
    const int64_t cols_v = a.V - program_x * WIDTH_V;
    const Rows rows = rows_at(&a, sequence, program_y);
    const element *state = state_at(&a, a.state, sequence, program_y, kv_head, 0, program_x * WIDTH_V);
    const int steps = (int)blocks_of(a.K, WIDTH_K);
    tile_load(A, products_at(&a, a.products, sequence, program_y, head), ROWS, ROWS, ROWS);
    tile_load_block(v, a.v, a.V, rows, kv_head, program_x);
    halves_zero(o);
    for (int load = 0; load < steps + STAGES - 1; load++) {
        const int step = load - (STAGES - 1);
        if (step >= 0) sync_after(AHEAD);
        if (load < steps) {
            TILE_VIEW(q, queries, load % STAGES * ROWS, 0, ROWS, WIDTH_K);
            TILE_VIEW(S, states, load % STAGES * WIDTH_K, 0, WIDTH_K, WIDTH_V);
            tile_load_block(q, a.q_decayed, a.K, rows, head, load);
            tile_load(S, state + load * WIDTH_K * a.V, a.V, a.K - load * WIDTH_K, cols_v);
        }
        copy_commit();
        if (step >= 0) {
            TILE_VIEW(q, queries, step % STAGES * ROWS, 0, ROWS, WIDTH_K);
            TILE_VIEW(S, states, step % STAGES * WIDTH_K, 0, WIDTH_K, WIDTH_V);
            halves_mma_nn(o, q, S);
        }
    }
    halves_mma_lower(o, A, v);
    const Chunk chunk = {rows, 0, 0};
    halves_store_block(o, a.o, a.V, chunk, head, program_x);
}
