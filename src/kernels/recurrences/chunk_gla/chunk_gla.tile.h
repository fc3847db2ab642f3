/* Gated linear attention in chunks of 64 rows, one program per chunk and head except where the state is carried along.
 *
 * With G the running sum of g inside the chunk, S the state before it, x' the gradient of x, and for j <= i
 * A_ij = K^(-1/2) sum over d of q_id k_jd e^(G_id - G_jd):
 *
 *   o = K^(-1/2) (q e^G) S + A v         S_next = diag(e^G_last) S + (k e^(G_last - G))^T v
 *   A' = K^(-1/2) o' v^T, j <= i         S' = diag(e^G_last) S_next' + K^(-1/2) (q e^G)^T o'
 *   q' = e^G (K^(-1/2) o' S^T) + [A'_ij k_j e^(G_i - G_j)]         v' = A^T o' + (k e^(G_last - G)) S_next'
 *   k' = e^(G_last - G) (v S_next'^T) + [A'_ij q_i e^(G_i - G_j)]
 *   g'_t = sum over i >= t of (q_i q'_i - k_i k'_i) + e^G_last (S S_next') + sum over j of k_j (the state's part of
 * k'_j)
 *
 * A sum of gates is only taken over the rows between, so that no e^x of x > 0 is needed and nothing cancels: the chunk
 * falls into four blocks of 16 rows, and between two blocks e^(G_i - G_j) is the product of a factor of i, one of the
 * blocks between, and one of j. Inside a block it is e^(P_i) e^(-P_j), with P the running sum in the block, as long as
 * P stays above -GATE_LIMIT, where the difference costs no digit that matters; steeper blocks walk from row to row.
 *
 * Documents: products are masked by equal segment numbers; rows of another document than the token before the chunk do
 * not see S, and only rows of the last row's document enter S_next. */
#if defined(TILE_ELEMENT_F32)
#define TILE_PROGRAMS 3
#else
#define TILE_PROGRAMS 4
#endif
#include "tile/tile.h"
#include "kernels/recurrences/chunk_gla/chunk_gla.h"

enum {
    ROWS = CHUNK_ROWS,
    WIDTH_K = CHUNK_GLA_K,
    WIDTH_V = CHUNK_GLA_V,
    STATE_K = CHUNK_GLA_STATE_K,
    STATE_V = CHUNK_GLA_STATE_V,
    HALF = CHUNK_HALF,
    BLOCK = 16
};
enum { BLOCKS = ROWS / BLOCK, STAGES = 3, AHEAD = STAGES - 2 }; /* stages that stay under way while one is used */
#define GATE_LIMIT 20.0f
/* e^x of a sum of gates. */
#define DECAY(x) exp2_f((x)*1.44269504f)

/* The state of (chunk index, key-value head) from entry (k, v) on, in states or in their gradients. */
DEVICE element *state_at(const ChunkGlaArguments *a, void *states, int64_t sequence, int64_t index, int64_t head,
                         int64_t k, int64_t v) {
    return (element *)states + chunk_offset(a->chunks, a->kv_heads, sequence, index, head, a->K * a->V) + k * a->V + v;
}

/* The 64 x 64 products of (chunk index, head). */
DEVICE element *products_at(const ChunkGlaArguments *a, void *products, int64_t sequence, int64_t index, int64_t head) {
    return (element *)products + chunk_offset(a->chunks, a->heads, sequence, index, head, ROWS * ROWS);
}

/* The decay over (chunk index, key-value head) from entry k on. */
DEVICE float *decay_at(const ChunkGlaArguments *a, int64_t sequence, int64_t index, int64_t head, int64_t k) {
    return a->decay + chunk_offset(a->chunks, a->kv_heads, sequence, index, head, a->K) + k;
}

/* The rows of chunk `index`. */
DEVICE Rows rows_at(const ChunkGlaArguments *a, int64_t sequence, int64_t index) {
    const Rows rows = {sequence * a->T + index * ROWS, a->T - index * ROWS < ROWS ? a->T - index * ROWS : ROWS};
    return rows;
}

/* weight[i] = whether row i is of document `segment`. */
DEVICE void rows_of_document(float *weight, const ChunkGlaArguments *a, Rows rows, int32_t segment) {
    EACH (i, ROWS)
        weight[i] = i < rows.count && a->segment[rows.first + (i < rows.count ? i : 0)] == segment ? 1.0f : 0.0f;
}

/* document[i] = the segment number of row i, counted from that of the first row. */
DEVICE void rows_documents(float *document, const ChunkGlaArguments *a, Rows rows) {
    EACH (i, ROWS) document[i] = i < rows.count ? (float)(a->segment[rows.first + i] - a->segment[rows.first]) : -1.0f;
}

/* sums, [BLOCKS, WIDTH_K], of the gates in each block. The statements see, for every row and column d, the `sum` from
 * the start of the block to the row. */
#define SUM_GATES(sums, g, row, d, sum, ...)                                                                           \
    BLOCK_WALK(sum, 0.0f, b_, BLOCKS, d, WIDTH_K, i_, BLOCK, const int row = b_ * BLOCK + i_; sum += ENTRY(g, row, d); \
               __VA_ARGS__; if (i_ == BLOCK - 1) ENTRY(sums, b_, d) = sum)
/* The same with the sum of the gates in the block after the row. */
#define SUM_GATES_AFTER(g, row, d, sum, ...)                                                                           \
    BLOCK_WALK(sum, 0.0f, b_, BLOCKS, d, WIDTH_K, i_, BLOCK, const int row = b_ * BLOCK + BLOCK - 1 - i_;              \
               const float gate_ = ENTRY(g, row, d); __VA_ARGS__; sum += gate_)
/* The sums over the blocks before b, after b, and all. */
#define SUM_BEFORE(sums, b, d)                                                                                         \
    (((b) > 0 ? ENTRY(sums, 0, d) : 0.0f) + ((b) > 1 ? ENTRY(sums, 1, d) : 0.0f) + ((b) > 2 ? ENTRY(sums, 2, d) : 0.0f))
#define SUM_AFTER(sums, b, d)                                                                                          \
    (((b) < 1 ? ENTRY(sums, 1, d) : 0.0f) + ((b) < 2 ? ENTRY(sums, 2, d) : 0.0f) + ((b) < 3 ? ENTRY(sums, 3, d) : 0.0f))
#define SUM_ALL(sums, d) (ENTRY(sums, 0, d) + SUM_AFTER(sums, 0, d))

/* Rows of A, from (row, col) on, += q k^T of 16 rows of q and as many rows of k. */
#define ADD_TO_A(row, col, q_tile, q_row, k_tile, k_row, k_rows)                                                       \
    do {                                                                                                               \
        TILE_VIEW(q_, q_tile, q_row, 0, BLOCK, WIDTH_K);                                                               \
        TILE_VIEW(k_, k_tile, k_row, 0, k_rows, WIDTH_K);                                                              \
        block_mma_nt(A, row, col, q_, k_);                                                                             \
    } while (0)

/* A, and q and k decayed to the ends of the chunk, for the kernels after this one. Program: chunk, sequence and head.
 */
KERNEL(chunk_gla_products, ChunkGlaArguments) {
    TILE(q, ROWS, WIDTH_K);       /* then the decayed queries */
    TILE(k, ROWS, WIDTH_K);       /* then the decayed keys */
    TILE(q_block, ROWS, WIDTH_K); /* q decayed from the start of its block on */
    TILE(k_start, ROWS, WIDTH_K); /* k e^(-P) */
    TILE(k_ahead, ROWS, WIDTH_K); /* k of the first two blocks decayed to the middle of the chunk, of the third and the
                                     first to their ends */
    TILE(q_half, BLOCK, WIDTH_K); /* q of the last block, decayed from the middle on */
    MATRIX(g, ROWS, WIDTH_K);
    MATRIX(sums, BLOCKS, WIDTH_K);
    MATRIX(inside, BLOCKS, WIDTH_K); /* e^(sum over the block), over the blocks before, and after */
    MATRIX(before, BLOCKS, WIDTH_K);
    MATRIX(after, BLOCKS, WIDTH_K);
    MATRIX(P, ROWS, WIDTH_K);  /* In steep blocks first k decayed from its row to `offset` rows further; for their keys
                                  minus the sum after the row. */
    MATRIX(band, BLOCK, ROWS); /* entry (offset, j): the product of rows j + offset and j */
    MATRIX(diagonal, BLOCK, ROWS); /* its sum over the steep blocks of K; A_ii of all, from q and k as they are */
    VECTOR(document, ROWS);
    ACCUMULATOR(A, ROWS, ROWS);
    ACCUMULATOR(plain, ROWS, BLOCK);
    ACCUMULATOR(product, ROWS, WIDTH_K);
    const int64_t sequence = program_y / a.heads, head = program_y % a.heads, kv_head = head * a.kv_heads / a.heads;
    const bool first_of_group = head == kv_head * (a.heads / a.kv_heads);
    const Chunk chunk = chunk_at(a.segment, a.T, ROWS, sequence, program_x);
    const float stays = chunk.before == chunk.last ? 1.0f : 0.0f;
    const float before_document = (float)(chunk.before - a.segment[chunk.rows.first]);
    const float last_document = (float)(chunk.last - a.segment[chunk.rows.first]);
    rows_documents(document, &a, chunk.rows);
    EACH_ENTRY(diagonal, i, j, x, x = 0);
    accumulator_zero(A);
    accumulator_zero(plain);
    for (int64_t block = 0; block * WIDTH_K < a.K; block++) {
        const int64_t cols = a.K - block * WIDTH_K;
        tile_load_block(q, a.q, a.K, chunk.rows, head, block);
        tile_load_block(k, a.k, a.K, chunk.rows, kv_head, block);
        matrix_load_block(g, a.g, a.K, chunk.rows, kv_head, block);
        sync();
        for (int row = 0; row < ROWS; row += BLOCK) {
            TILE_VIEW(q_, q, row, 0, BLOCK, WIDTH_K);
            TILE_VIEW(k_, k, row, 0, BLOCK, WIDTH_K);
            block_mma_nt(plain, row, 0, q_, k_);
        }
        SUM_GATES(sums, g, row, d, sum, ENTRY(P, row, d) = sum);
        sync();
        float steepest = 0;
        MAXIMUM(steepest, e, BLOCKS * WIDTH_K, -sums[e]);
        const bool steep = steepest > GATE_LIMIT;
        if (steep) {
            for (int offset = 1; offset < BLOCK; offset++) {
                MAP(product, j, d, x, {
                    x = 0;
                    if (j % BLOCK + offset < BLOCK) {
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
        }
        EACH_PAIR(b, d, BLOCKS, WIDTH_K) {
            ENTRY(inside, b, d) = DECAY(ENTRY(sums, b, d));
            ENTRY(before, b, d) = DECAY(SUM_BEFORE(sums, b, d));
            ENTRY(after, b, d) = DECAY(SUM_AFTER(sums, b, d));
        }
        sync();
        EACH_ROW_VECTOR(row, d, ROWS, WIDTH_K) {
            const int b = row / BLOCK;
            const float sees = document[row] == before_document ? a.scale : 0.0f;
            READ_MATRIX(sum, P, row, d);
            READ_MATRIX(from_start, before, b, d);
            READ_TILE(x, q, row, d);
            EACH_LANE(e) {
                x[e] *= DECAY(sum[e]);
                from_start[e] = x[e] * from_start[e] * sees;
            }
            WRITE_TILE(q_block, row, d, x);
            WRITE_TILE(q, row, d, from_start);
            if (b == 3) {
                READ_MATRIX(half, inside, 2, d);
                EACH_LANE(e) half[e] *= x[e];
                WRITE_TILE(q_half, row - 3 * BLOCK, d, half);
            }
        }
        if (steep) {
            sync();
            SUM_GATES_AFTER(g, row, d, sum, ENTRY(P, row, d) = -sum);
            sync();
        }
        EACH_ROW_VECTOR(row, d, ROWS, WIDTH_K) {
            const int b = row / BLOCK;
            const float enters = document[row] == last_document ? 1.0f : 0.0f;
            READ_MATRIX(sum, P, row, d);
            READ_MATRIX(to_end, after, b, d);
            READ_MATRIX(in_block, inside, b, d);
            READ_TILE(x, k, row, d);
            EACH_LANE(e) x[e] *= DECAY(-sum[e]);
            WRITE_TILE(k_start, row, d, x);
            EACH_LANE(e) {
                x[e] *= steep ? 1.0f : in_block[e];
                to_end[e] = x[e] * to_end[e] * enters;
            }
            WRITE_TILE(k, row, d, to_end);
            if (b == 0) WRITE_TILE(k_ahead, row + 3 * BLOCK, d, x);
            if (b == 0) {
                READ_MATRIX(next, inside, 1, d);
                EACH_LANE(e) x[e] *= next[e];
            }
            if (b < 3) WRITE_TILE(k_ahead, row, d, x);
        }
        if (first_of_group) {
            float *decay = decay_at(&a, sequence, program_x, kv_head, block * WIDTH_K);
            EACH (d, WIDTH_K)
                if (d < cols) decay[d] = stays * DECAY(SUM_ALL(sums, d));
        }
        sync();
        ADD_TO_A(BLOCK, 0, q_block, BLOCK, k_ahead, 3 * BLOCK, BLOCK);
        ADD_TO_A(2 * BLOCK, 0, q_block, 2 * BLOCK, k_ahead, 0, HALF);
        ADD_TO_A(3 * BLOCK, 0, q_half, 0, k_ahead, 0, HALF);
        ADD_TO_A(3 * BLOCK, HALF, q_block, 3 * BLOCK, k_ahead, HALF, BLOCK);
        if (!steep) {
            ADD_TO_A(0, 0, q_block, 0, k_start, 0, BLOCK);
            ADD_TO_A(BLOCK, BLOCK, q_block, BLOCK, k_start, BLOCK, BLOCK);
            ADD_TO_A(2 * BLOCK, 2 * BLOCK, q_block, 2 * BLOCK, k_start, 2 * BLOCK, BLOCK);
            ADD_TO_A(3 * BLOCK, 3 * BLOCK, q_block, 3 * BLOCK, k_start, 3 * BLOCK, BLOCK);
        }
        tile_store(q,
                   (element *)a.queries.data + entry_of_head(a.queries, a.K, chunk.rows.first, head, block * WIDTH_K),
                   a.queries.stride, chunk.rows.count, cols);
        if (first_of_group)
            tile_store(k,
                       (element *)a.keys.data + entry_of_head(a.keys, a.K, chunk.rows.first, kv_head, block * WIDTH_K),
                       a.keys.stride, chunk.rows.count, cols);
        sync();
    }
    MAP(plain, i, j, x, if (i % BLOCK == j) ENTRY(diagonal, 0, i) = x);
    sync();
    MAP(A, i, j, x, {
        const int offset = i - j;
        if (i / BLOCK == j / BLOCK && offset >= 0) x = ENTRY(diagonal, offset, j) + (offset ? x : 0.0f);
        x = offset >= 0 && document[i] == document[j] ? a.scale * x : 0.0f;
    });
    accumulator_store(A, products_at(&a, a.products, sequence, program_x, head), ROWS, ROWS, ROWS);
}

/* Stage `step` of the copies of what state and gradient are carried on with: decayed rows, values, the decay. */
#define STAGE_VIEWS(decayed_, values_, decay_, step)                                                                   \
    TILE_VIEW(decayed_, decayed, (step) % STAGES * ROWS, 0, ROWS, STATE_K);                                            \
    TILE_VIEW(values_, values, (step) % STAGES * ROWS, 0, ROWS, STATE_V);                                              \
    MATRIX_VIEW(decay_, decay, (step) % STAGES, 0, 1, STATE_K)

/* The state before each chunk, and after the last. Program: sequence and key-value head, block of K, block of V. */
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
            tile_load_block(k, a.keys, a.K, rows, head, program_y);
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

/* The gradient of the state after each chunk, and of the initial state. Program: as chunk_gla_state. */
KERNEL(chunk_gla_dstate, ChunkGlaArguments) {
    TILE(decayed, STAGES * ROWS, STATE_K);
    TILE(values, STAGES * ROWS, STATE_V);
    MATRIX(decay, STAGES, STATE_K);
    ACCUMULATOR(dS, STATE_K, STATE_V);
    const int64_t sequence = program_x / a.kv_heads, head = program_x % a.kv_heads;
    const int64_t first_k = program_y * STATE_K, first_v = program_z * STATE_V;
    const int64_t cols_k = a.K - first_k, cols_v = a.V - first_v, row = program_x * a.K + first_k, col = first_v;
    const int group = (int)(a.heads / a.kv_heads), last = (int)a.chunks - 1;
    const int steps = (a.dinitial ? last + 1 : last) * group;
    accumulator_zero(dS);
    if (a.dfinal) accumulator_load(dS, a.dfinal + row * a.V + col, a.V, cols_k, cols_v);
    for (int load = 0; load < steps + STAGES - 1; load++) {
        const int step = load - (STAGES - 1), index = last - step / group;
        const bool begins = step >= 0 && step % group == 0;
        if (begins)
            accumulator_store(dS, state_at(&a, a.dstate, sequence, index, head, first_k, first_v), a.V, cols_k, cols_v);
        if (step >= 0) sync_after(AHEAD);
        if (load < steps) {
            STAGE_VIEWS(q, dO, e, load);
            const int ahead = last - load / group;
            const int64_t n = head * group + load % group;
            const Rows rows = rows_at(&a, sequence, ahead);
            tile_load_block(q, a.queries, a.K, rows, n, program_y);
            tile_load_block(dO, a.do_, a.V, rows, n, program_z);
            matrix_load(e, decay_at(&a, sequence, ahead, head, first_k), a.K, 1, cols_k);
        }
        copy_commit();
        if (step >= 0) {
            STAGE_VIEWS(q, dO, e, step);
            if (begins) MAP(dS, d, j, x, x *= ENTRY(e, 0, d));
            mma_tn(dS, q, dO);
        }
    }
    if (a.dinitial)
        accumulator_store_f32(dS, a.dinitial + row * a.initial_stride + col, a.initial_stride, cols_k, cols_v);
    else
        accumulator_store(dS, state_at(&a, a.dstate, sequence, 0, head, first_k, first_v), a.V, cols_k, cols_v);
}

/* The gradient of A, its upper right quarter left out. Program: chunk, sequence and head. */
KERNEL(chunk_gla_dproducts, ChunkGlaArguments) {
    TILE(values, STAGES * ROWS, WIDTH_V);
    TILE(gradients, STAGES * ROWS, WIDTH_V);
    VECTOR(document, ROWS);
    TRIANGLE(dA);
    const int64_t sequence = program_y / a.heads, head = program_y % a.heads, kv_head = head * a.kv_heads / a.heads;
    const Chunk chunk = chunk_at(a.segment, a.T, ROWS, sequence, program_x);
    rows_documents(document, &a, chunk.rows);
    halves_zero(dA);
    const int steps = (int)blocks_of(a.V, WIDTH_V);
    for (int load = 0; load < steps + STAGES - 1; load++) {
        const int step = load - (STAGES - 1);
        if (step >= 0) sync_after(AHEAD);
        if (load < steps) {
            TILE_VIEW(v, values, load % STAGES * ROWS, 0, ROWS, WIDTH_V);
            TILE_VIEW(dO, gradients, load % STAGES * ROWS, 0, ROWS, WIDTH_V);
            tile_load_block(v, a.v, a.V, chunk.rows, kv_head, load);
            tile_load_block(dO, a.do_, a.V, chunk.rows, head, load);
        }
        copy_commit();
        if (step >= 0) {
            TILE_VIEW(v, values, step % STAGES * ROWS, 0, ROWS, WIDTH_V);
            TILE_VIEW(dO, gradients, step % STAGES * ROWS, 0, ROWS, WIDTH_V);
            triangle_mma_nt(dA, dO, v);
        }
    }
    HALVES_MAP(dA, i, j, x, x *= ((j <= i) & (document[i] == document[j])) ? a.scale : 0.0f);
    element *to = products_at(&a, a.dproducts, sequence, program_x, head);
    accumulator_store(dA_top, to, ROWS, HALF, HALF);
    accumulator_store(dA_bottom, to + HALF * ROWS, ROWS, HALF, ROWS);
}

/* o. Program: block of V, chunk, sequence and head. */
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
            tile_load_block(q, a.queries, a.K, rows, head, load);
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

/* The gradient of v. Program: block of V, chunk, sequence and key-value head. */
KERNEL(chunk_gla_dv, ChunkGlaArguments) {
    TILE(keys, STAGES * ROWS, WIDTH_K);
    TILE(gradients, STAGES * WIDTH_K, WIDTH_V);
    TILE(A, ROWS, ROWS);
    TILE(dO, ROWS, WIDTH_V);
    HALVES(dv, WIDTH_V);
    const int64_t sequence = program_z / a.kv_heads, head = program_z % a.kv_heads, group = a.heads / a.kv_heads;
    const int64_t cols_v = a.V - program_x * WIDTH_V;
    const Rows rows = rows_at(&a, sequence, program_y);
    const element *dstate = state_at(&a, a.dstate, sequence, program_y, head, 0, program_x * WIDTH_V);
    const int steps = (int)blocks_of(a.K, WIDTH_K);
    tile_load(A, products_at(&a, a.products, sequence, program_y, head * group), ROWS, ROWS, ROWS);
    tile_load_block(dO, a.do_, a.V, rows, head * group, program_x);
    halves_zero(dv);
    for (int load = 0; load < steps + STAGES - 1; load++) {
        const int step = load - (STAGES - 1);
        if (step >= 0) sync_after(AHEAD);
        if (load < steps) {
            TILE_VIEW(k, keys, load % STAGES * ROWS, 0, ROWS, WIDTH_K);
            TILE_VIEW(dS, gradients, load % STAGES * WIDTH_K, 0, WIDTH_K, WIDTH_V);
            tile_load_block(k, a.keys, a.K, rows, head, load);
            tile_load(dS, dstate + load * WIDTH_K * a.V, a.V, a.K - load * WIDTH_K, cols_v);
        }
        copy_commit();
        if (step >= 0) {
            TILE_VIEW(k, keys, step % STAGES * ROWS, 0, ROWS, WIDTH_K);
            TILE_VIEW(dS, gradients, step % STAGES * WIDTH_K, 0, WIDTH_K, WIDTH_V);
            halves_mma_nn(dv, k, dS);
        }
    }
    halves_mma_lower_tn(dv, A, dO);
    for (int64_t n = head * group + 1; n < (head + 1) * group; n++) {
        sync();
        tile_load(A, products_at(&a, a.products, sequence, program_y, n), ROWS, ROWS, ROWS);
        tile_load_block(dO, a.do_, a.V, rows, n, program_x);
        sync();
        halves_mma_lower_tn(dv, A, dO);
    }
    const Chunk chunk = {rows, 0, 0};
    halves_store_block(dv, a.dv, a.V, chunk, head, program_x);
}

/* Gradients of rows of q wait at the start of their block, those of k at its end (at its start if it is not steep).
 * Past block c, what waits for the rows below decays over the block, and its keys join; for the rows above likewise. */
#define PASS_DOWN(dq, c)                                                                                               \
    do {                                                                                                               \
        TILE_VIEW(k_, k_near, (c)*BLOCK, 0, BLOCK, WIDTH_K);                                                           \
        if (steep) MAP(dq, i, d, x, x *= i / BLOCK > (c) ? ENTRY(inside, c, d) : 1.0f);                                \
        for (int b = (c) + 1; b < BLOCKS; b++) {                                                                       \
            TILE_VIEW(dA_, dA, b *BLOCK, (c)*BLOCK, BLOCK, BLOCK);                                                     \
            block_mma_nn(dq, b *BLOCK, 0, dA_, k_);                                                                    \
        }                                                                                                              \
        if (!steep) MAP(dq, i, d, x, x *= i / BLOCK > (c) ? ENTRY(inside, c, d) : 1.0f);                               \
    } while (0)
#define PASS_UP(dk, c)                                                                                                 \
    do {                                                                                                               \
        MAP(dk, j, d, x, x *= j / BLOCK < (c) ? ENTRY(inside, c, d) : 1.0f);                                           \
        TILE_VIEW(q_, q_near, (c)*BLOCK, 0, BLOCK, WIDTH_K);                                                           \
        for (int b = 0; b < (c); b++) {                                                                                \
            TILE_VIEW(dA_, dA, (c)*BLOCK, b *BLOCK, BLOCK, BLOCK);                                                     \
            block_mma_tn(dk, b *BLOCK, 0, dA_, q_);                                                                    \
        }                                                                                                              \
    } while (0)

/* Its accumulators need the registers of three programs; on sm_80 shared memory has room for two. */
#undef TILE_PROGRAMS
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
#define TILE_PROGRAMS 2
#else
#define TILE_PROGRAMS 3
#endif
/* The gradients of q, k and g. Program: block of K, chunk, sequence and key-value head. */
KERNEL(chunk_gla_dqkg, ChunkGlaArguments) {
    TILE(work, 3 * ROWS, WIDTH_V);
    TILE(dA, ROWS, ROWS);
    PADDED_MATRIX(g, ROWS, WIDTH_K); /* in the end its gradient */
    PADDED_MATRIX(q_decay, ROWS, WIDTH_K);
    PADDED_MATRIX(k_decay, ROWS, WIDTH_K);
    MATRIX(sums, BLOCKS, WIDTH_K);
    MATRIX(inside, BLOCKS, WIDTH_K);  /* e^(sum over the block) */
    MATRIX(to_end, BLOCKS, WIDTH_K);  /* e^(sum from where k_near is decayed to on) */
    MATRIX(carried, BLOCKS, WIDTH_K); /* sums of k (the state's part of k') over the block */
    VECTOR(through, WIDTH_K);         /* sum of S S_next' */
    VECTOR(sees, ROWS);
    VECTOR(enters, ROWS);
    VECTOR(diagonal, ROWS);
    ACCUMULATOR(dq, ROWS, WIDTH_K);
    ACCUMULATOR(dk, ROWS, WIDTH_K);
    ACCUMULATOR(dk_all, ROWS, WIDTH_K);
    ACCUMULATOR(dg, ROWS, WIDTH_K); /* sum of q q' - k k', without the terms i = j, which cancel */
    ACCUMULATOR(product, ROWS, WIDTH_K);
    /* First products with the states, */
    TILE_VIEW(v, work, 0, 0, ROWS, WIDTH_V);
    TILE_VIEW(dS, work, ROWS, 0, WIDTH_K, WIDTH_V);
    TILE_VIEW(S, work, ROWS + WIDTH_K, 0, WIDTH_K, WIDTH_V);
    TILE_VIEW(dO, work, 2 * ROWS, 0, ROWS, WIDTH_V);
    /* then products inside the chunk. */
    TILE_VIEW(q, work, 0, 0, ROWS, WIDTH_K);
    TILE_VIEW(k, work, 0, WIDTH_K, ROWS, WIDTH_K);
    TILE_VIEW(q_near, work, ROWS, 0, ROWS, WIDTH_K);       /* q e^P */
    TILE_VIEW(k_near, work, ROWS, WIDTH_K, ROWS, WIDTH_K); /* k e^(-P), in steep blocks decayed to their end */
    const int64_t sequence = program_z / a.kv_heads, head = program_z % a.kv_heads, group = a.heads / a.kv_heads;
    const int64_t cols = a.K - program_x * WIDTH_K;
    const Chunk chunk = chunk_at(a.segment, a.T, ROWS, sequence, program_y);
    const element *state = state_at(&a, a.state, sequence, program_y, head, program_x * WIDTH_K, 0);
    const element *dstate = state_at(&a, a.dstate, sequence, program_y, head, program_x * WIDTH_K, 0);
    const float *decay = decay_at(&a, sequence, program_y, head, program_x * WIDTH_K);
    rows_of_document(sees, &a, chunk.rows, chunk.before);
    rows_of_document(enters, &a, chunk.rows, chunk.last);
    EACH (d, WIDTH_K) through[d] = 0;
    accumulator_zero(dk_all);
    accumulator_zero(dg);
    for (int64_t n = head * group; n < (head + 1) * group; n++) {
        const bool first = n == head * group;
        tile_load(dA, products_at(&a, a.dproducts, sequence, program_y, n), ROWS, ROWS, ROWS);
        matrix_load(g, (const float *)a.g.data + entry_of_head(a.g, a.K, chunk.rows.first, head, program_x * WIDTH_K),
                    a.g.stride, chunk.rows.count, cols);
        accumulator_zero(dq);
        accumulator_zero(dk);
        for (int64_t block = 0; block * WIDTH_V < a.V; block++) {
            const int64_t cols_v = a.V - block * WIDTH_V;
            tile_load_block(dO, a.do_, a.V, chunk.rows, n, block);
            tile_load(S, state + block * WIDTH_V, a.V, cols, cols_v);
            if (first) {
                tile_load_block(v, a.v, a.V, chunk.rows, head, block);
                tile_load(dS, dstate + block * WIDTH_V, a.V, cols, cols_v);
            }
            sync();
            mma_nt(dq, dO, S);
            if (first) {
                mma_nt(dk, v, dS);
                EACH_SHORT_ROW (d, 0, WIDTH_K, WIDTH_V) {
                    float sum = 0;
                    WARP_SUM_VECTOR(j, WIDTH_V, sum) {
                        READ_TILE(x, S, d, j);
                        READ_TILE(y, dS, d, j);
                        EACH_LANE(e) sum += x[e] * y[e];
                    }
                    WARP_TOTAL(sum);
                    WARP_EACH(one, 1) through[d] += sum;
                }
            }
            sync();
        }
        tile_load_block(q, a.q, a.K, chunk.rows, n, program_x);
        tile_load_block(k, a.k, a.K, chunk.rows, head, program_x);
        EACH (i, ROWS) {
            diagonal[i] = AT(dA, i, i);
            PUT(dA, i, i, 0.0f);
        }
        SUM_GATES(sums, g, row, d, sum, ENTRY(q_decay, row, d) = sum; ENTRY(k_decay, row, d) = -sum);
        sync();
        float steepest = 0;
        MAXIMUM(steepest, e, BLOCKS * WIDTH_K, -sums[e]);
        const bool steep = steepest > GATE_LIMIT;
        EACH_PAIR(b, d, BLOCKS, WIDTH_K) {
            ENTRY(inside, b, d) = DECAY(ENTRY(sums, b, d));
            ENTRY(to_end, b, d) = DECAY(SUM_AFTER(sums, b, d) + (steep ? 0.0f : ENTRY(sums, b, d)));
        }
        if (steep) SUM_GATES_AFTER(g, row, d, sum, ENTRY(k_decay, row, d) = sum);
        sync();
        EACH_ROW_VECTOR(row, d, ROWS, WIDTH_K) {
            READ_MATRIX(q_factor, q_decay, row, d);
            READ_MATRIX(k_factor, k_decay, row, d);
            READ_TILE(q_row, q, row, d);
            READ_TILE(k_row, k, row, d);
            EACH_LANE(e) {
                q_factor[e] = DECAY(q_factor[e]);
                k_factor[e] = DECAY(k_factor[e]);
                q_row[e] *= q_factor[e];
                k_row[e] *= k_factor[e];
            }
            WRITE_TILE(q_near, row, d, q_row);
            WRITE_TILE(k_near, row, d, k_row);
            WRITE_MATRIX(q_decay, row, d, q_factor);
            WRITE_MATRIX(k_decay, row, d, k_factor);
        }
        sync();
        if (first) {
            MAP(dk, j, d, x, {
                x *= enters[j];
                PEER(product, j, d) = AT(k_near, j, d) * x * ENTRY(to_end, j / BLOCK, d);
            });
            column_sums(carried, product);
        }
        MAP(dq, i, d, x, x *= a.scale * sees[i]);
        PASS_DOWN(dq, 0);
        PASS_DOWN(dq, 1);
        PASS_DOWN(dq, 2);
        PASS_UP(dk, 3);
        PASS_UP(dk, 2);
        PASS_UP(dk, 1);
        if (!steep) {
            MAP(dk, j, d, x, x *= ENTRY(inside, j / BLOCK, d));
            for (int row = 0; row < ROWS; row += BLOCK) {
                TILE_VIEW(dA_, dA, row, row, BLOCK, BLOCK);
                TILE_VIEW(k_, k_near, row, 0, BLOCK, WIDTH_K);
                TILE_VIEW(q_, q_near, row, 0, BLOCK, WIDTH_K);
                block_mma_nn(dq, row, 0, dA_, k_);
                block_mma_tn(dk, row, 0, dA_, q_);
            }
        }
        /* With the operands of the products, so that the pairs of rows that cancel do so to the last bit. */
        MAP(dg, i, d, x, x += AT(q_near, i, d) * PEER(dq, i, d) - AT(k_near, i, d) * PEER(dk, i, d));
        MAP(dq, i, d, x, x *= ENTRY(q_decay, i, d));
        MAP(dk, j, d, x, x *= ENTRY(k_decay, j, d));
        if (steep) {
            sync();
            BLOCK_WALK(zero, 0.0f, b, BLOCKS, d, WIDTH_K, i, BLOCK, const int row = b * BLOCK + i;
                       ENTRY(q_decay, row, d) = zero; ENTRY(k_decay, row, d) = zero;
                       ENTRY(g, row, d) = DECAY(ENTRY(g, row, d)));
            for (int j = 0; j < BLOCK - 1; j++)
                BLOCK_WALK(walked, 0.0f, b, BLOCKS, d, WIDTH_K, i, BLOCK - 1 - j, const int from = b * BLOCK + j;
                           const int row = from + 1 + i; walked = (i ? walked : 1.0f) * ENTRY(g, row, d);
                           const float weight = AT(dA, row, from) * walked;
                           ENTRY(q_decay, row, d) += weight * AT(k, from, d);
                           ENTRY(k_decay, from, d) += weight * AT(q, row, d));
            sync();
            MAP(dg, i, d, x, x += AT(q, i, d) * ENTRY(q_decay, i, d) - AT(k, i, d) * ENTRY(k_decay, i, d));
            MAP(dq, i, d, x, x += ENTRY(q_decay, i, d));
            MAP(dk, j, d, x, x += ENTRY(k_decay, j, d));
        }
        MAP(dq, i, d, x, x += diagonal[i] * AT(k, i, d));
        MAP(dk_all, j, d, x, x += PEER(dk, j, d) + diagonal[j] * AT(q, j, d));
        accumulator_store_block(dq, a.dq, a.K, chunk.rows, n, program_x);
        sync();
    }
    accumulator_store_block(dk_all, a.dk, a.K, chunk.rows, head, program_x);
    MAP(dg, i, d, x, ENTRY(g, i, d) = x);
    sync();
    BLOCK_WALK(sum, 0.0f, b, BLOCKS, d, WIDTH_K, i, BLOCK, const int row = b * BLOCK + BLOCK - 1 - i;
               sum += ENTRY(g, row, d); ENTRY(g, row, d) = sum; if (i == BLOCK - 1) ENTRY(sums, b, d) = sum);
    sync();
    BLOCK_WALK(rest, 0.0f, b, BLOCKS, d, WIDTH_K, i, BLOCK,
               if (i == 0) rest =
                   SUM_AFTER(sums, b, d) + SUM_ALL(carried, d) + (d < cols ? decay[d] : 0.0f) * through[d];
               ENTRY(g, b * BLOCK + i, d) += rest);
    sync();
    matrix_store(g, (float *)a.dg.data + entry_of_head(a.dg, a.K, chunk.rows.first, head, program_x * WIDTH_K),
                 a.dg.stride, chunk.rows.count, cols);
}
