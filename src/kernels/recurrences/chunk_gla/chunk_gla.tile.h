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
 * A sum of gates is only ever taken over the rows between, never as a difference of running sums, so that no e^x of
 * x > 0 is needed and nothing cancels: A falls into blocks of 32 and 16 rows, where e^(G_i - G_j) is the product of a
 * factor of i and one of j, and four triangles of 16 rows on the diagonal, which walk from row to row.
 *
 * Documents: products are masked by equal segment numbers; rows of another document than the token before the chunk do
 * not see S, and only rows of the last row's document enter S_next. */
#include "tile/tile.h"
#include "kernels/recurrences/chunk_gla/chunk_gla.h"

enum { ROWS = CHUNK_ROWS, WIDTH_K = CHUNK_GLA_K, WIDTH_V = CHUNK_GLA_V, HALF = CHUNK_HALF, BLOCK = 16 };

/* Offset of block (k, v) of the state of (chunk index, key-value head). */
DEVICE int64_t state_at(const ChunkGlaArguments *a, int64_t sequence, int64_t index, int64_t head, int64_t k,
                        int64_t v) {
    return chunk_offset(a->chunks, a->kv_heads, sequence, index, head, a->K * a->V) + k * WIDTH_K * a->V + v * WIDTH_V;
}

/* Offset of the 64 x 64 products of (chunk index, head). */
DEVICE int64_t products_at(const ChunkGlaArguments *a, int64_t sequence, int64_t index, int64_t head) {
    return chunk_offset(a->chunks, a->heads, sequence, index, head, ROWS * ROWS);
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

/* k e^(G_last - G) of the rows that enter the next state; sums[j] = the sum of g from row j on. */
#define DECAY_KEYS(tile, sums, enters)                                                                                 \
    EACH_TILE(tile, j_, d_, x_, x_ *= enters[j_] * exp_f(j_ + 1 < ROWS ? ENTRY(sums, (j_ + 1) % ROWS, d_) : 0.0f))
/* K^(-1/2) q e^G of the rows that see the state; sums[i] = the sum of g up to row i. */
#define DECAY_QUERIES(tile, sums, sees, scale)                                                                         \
    EACH_TILE(tile, i_, d_, x_, x_ *= (scale)*sees[i_] * exp_f(ENTRY(sums, i_, d_)))

/* The state before each chunk, and after the last. Program: sequence and key-value head, block of K, block of V. */
KERNEL(chunk_gla_state, ChunkGlaArguments) {
    TILE(k, ROWS, WIDTH_K);
    TILE(v, ROWS, WIDTH_V);
    MATRIX(g, ROWS, WIDTH_K);
    VECTOR(enters, ROWS);
    ACCUMULATOR(S, WIDTH_K, WIDTH_V);
    const int64_t sequence = program_x / a.kv_heads, head = program_x % a.kv_heads;
    const int64_t cols_k = a.K - program_y * WIDTH_K, cols_v = a.V - program_z * WIDTH_V;
    const int64_t row = program_x * a.K + program_y * WIDTH_K, col = program_z * WIDTH_V;
    accumulator_zero(S);
    if (a.initial) accumulator_load(S, a.initial + row * a.initial_stride + col, a.initial_stride, cols_k, cols_v);
    for (int64_t index = 0; index < a.chunks; index++) {
        const Chunk chunk = chunk_at(a.segment, a.T, ROWS, sequence, index);
        float *state = a.state + state_at(&a, sequence, index, head, program_y, program_z);
        accumulator_store_f32(S, state, a.V, cols_k, cols_v);
        if (index + 1 == a.chunks && !a.final) break;
        tile_load_block(k, a.k, a.K, chunk.rows, head, program_y);
        tile_load_block(v, a.v, a.V, chunk.rows, head, program_z);
        matrix_load_block(g, a.g, a.K, chunk.rows, head, program_y);
        rows_of_document(enters, &a, chunk.rows, chunk.last);
        sync();
        matrix_cumsum_reverse(g);
        sync();
        DECAY_KEYS(k, g, enters);
        const float stays = chunk.before == chunk.last ? 1.0f : 0.0f;
        MAP(S, d, j, x, x *= stays * exp_f(ENTRY(g, 0, d)));
        sync();
        mma_tn(S, k, v);
        sync();
    }
    if (a.final) accumulator_store_f32(S, a.final + row * a.V + col, a.V, cols_k, cols_v);
}

/* The gradient of the state after each chunk, and of the initial state. Program: as chunk_gla_state. */
KERNEL(chunk_gla_dstate, ChunkGlaArguments) {
    TILE(q, ROWS, WIDTH_K);
    TILE(dO, ROWS, WIDTH_V);
    MATRIX(g, ROWS, WIDTH_K);
    VECTOR(sees, ROWS);
    ACCUMULATOR(dS, WIDTH_K, WIDTH_V);
    const int64_t sequence = program_x / a.kv_heads, head = program_x % a.kv_heads, group = a.heads / a.kv_heads;
    const int64_t cols_k = a.K - program_y * WIDTH_K, cols_v = a.V - program_z * WIDTH_V;
    const int64_t row = program_x * a.K + program_y * WIDTH_K, col = program_z * WIDTH_V;
    accumulator_zero(dS);
    if (a.dfinal) accumulator_load(dS, a.dfinal + row * a.V + col, a.V, cols_k, cols_v);
    for (int64_t index = a.chunks - 1; index >= 0; index--) {
        const Chunk chunk = chunk_at(a.segment, a.T, ROWS, sequence, index);
        float *dstate = a.dstate + state_at(&a, sequence, index, head, program_y, program_z);
        accumulator_store_f32(dS, dstate, a.V, cols_k, cols_v);
        if (index == 0 && !a.dinitial) break;
        matrix_load_block(g, a.g, a.K, chunk.rows, head, program_y);
        rows_of_document(sees, &a, chunk.rows, chunk.before);
        sync();
        matrix_cumsum(g);
        sync();
        const float stays = chunk.before == chunk.last ? 1.0f : 0.0f;
        MAP(dS, d, j, x, x *= stays * exp_f(ENTRY(g, ROWS - 1, d)));
        for (int64_t n = head * group; n < (head + 1) * group; n++) {
            tile_load_block(q, a.q, a.K, chunk.rows, n, program_y);
            tile_load_block(dO, a.do_, a.V, chunk.rows, n, program_z);
            DECAY_QUERIES(q, g, sees, a.scale);
            sync();
            mma_tn(dS, q, dO);
            sync();
        }
    }
    if (a.dinitial)
        accumulator_store_f32(dS, a.dinitial + row * a.initial_stride + col, a.initial_stride, cols_k, cols_v);
}

/* Decays inside a chunk, from step = g: step[i] becomes e^g_i; prefix[i] and suffix[i] are e^(sum of g over the rows of
 * i's block of 16 up to i, and after i); outer[b] and outer[4 + b] are e^(sum over the blocks before, and after, block
 * b), outer[8] is e^(sum over the chunk). All have WIDTH_K columns. */
DEVICE void decays(float *step, float *prefix, float *suffix, float *outer) {
    for (int i = 0; i < ROWS; i++) {
        const bool starts = i % BLOCK == 0;
        const float *above = prefix + (starts ? 0 : i - 1) * WIDTH_K;
        EACH (d, WIDTH_K) prefix[i * WIDTH_K + d] = step[i * WIDTH_K + d] + (starts ? 0.0f : above[d]);
    }
    for (int i = ROWS - 1; i >= 0; i--) {
        const bool ends = i % BLOCK == BLOCK - 1;
        const int below = (ends ? 0 : i + 1) * WIDTH_K;
        EACH (d, WIDTH_K) suffix[i * WIDTH_K + d] = ends ? 0.0f : suffix[below + d] + step[below + d];
    }
    for (int i = 0; i < ROWS; i++)
        EACH (d, WIDTH_K) {
            prefix[i * WIDTH_K + d] = exp_f(prefix[i * WIDTH_K + d]);
            suffix[i * WIDTH_K + d] = exp_f(suffix[i * WIDTH_K + d]);
            step[i * WIDTH_K + d] = exp_f(step[i * WIDTH_K + d]);
        }
    EACH (d, WIDTH_K) {
        const float block0 = prefix[15 * WIDTH_K + d], block1 = prefix[31 * WIDTH_K + d];
        const float block2 = prefix[47 * WIDTH_K + d], block3 = prefix[63 * WIDTH_K + d];
        outer[d] = 1.0f;
        outer[WIDTH_K + d] = block0;
        outer[2 * WIDTH_K + d] = block0 * block1;
        outer[3 * WIDTH_K + d] = block0 * block1 * block2;
        outer[4 * WIDTH_K + d] = block1 * block2 * block3;
        outer[5 * WIDTH_K + d] = block2 * block3;
        outer[6 * WIDTH_K + d] = block3;
        outer[7 * WIDTH_K + d] = 1.0f;
        outer[8 * WIDTH_K + d] = block0 * block1 * block2 * block3;
    }
}

/* Operands of the products between blocks, decayed to the boundary between them: rows 16..31 against 0..15 and 48..63
 * against 32..47 in q_block and k_block, rows 32..63 against 0..31 in q_half and k_half. */
#define DECAY_OPERAND_BLOCKS(to, from, decay) EACH_TILE(to, i_, d_, x_, x_ = AT(from, i_, d_) * ENTRY(decay, i_, d_))
#define DECAY_QUERY_HALF(to, from, prefix)                                                                             \
    EACH_TILE(to, i_, d_, x_,                                                                                          \
              x_ = AT(from, HALF + i_, d_) * ENTRY(prefix, HALF + i_, d_) * HALF_QUERY_DECAY(prefix, i_, d_))
#define DECAY_KEY_HALF(to, from, suffix, prefix)                                                                       \
    EACH_TILE(to, j_, d_, x_, x_ = AT(from, j_, d_) * ENTRY(suffix, j_, d_) * HALF_KEY_DECAY(prefix, j_, d_))
#define HALF_QUERY_DECAY(prefix, i, d) ((i) >= BLOCK ? ENTRY(prefix, 47, d) : 1.0f)
#define HALF_KEY_DECAY(prefix, j, d)   ((j) < BLOCK ? ENTRY(prefix, 31, d) : 1.0f)

/* A, its upper right quarter left out. Program: chunk, sequence and head. */
KERNEL(chunk_gla_products, ChunkGlaArguments) {
    TILE(q, ROWS, WIDTH_K);
    TILE(k, ROWS, WIDTH_K);
    TILE(q_block, ROWS, WIDTH_K);
    TILE(k_block, ROWS, WIDTH_K);
    TILE(q_half, HALF, WIDTH_K);
    TILE(k_half, HALF, WIDTH_K);
    MATRIX(step, ROWS, WIDTH_K);
    MATRIX(prefix, ROWS, WIDTH_K);
    MATRIX(suffix, ROWS, WIDTH_K);
    MATRIX(outer, BLOCK, WIDTH_K);
    MATRIX(walking, ROWS, WIDTH_K); /* k decayed from its row to `offset` rows further */
    MATRIX(band, BLOCK, ROWS);      /* entry (offset, j): the product of rows j + offset and j */
    MATRIX(diagonal, BLOCK, ROWS);  /* its sum over the blocks of K */
    ACCUMULATOR(product, ROWS, WIDTH_K);
    VECTOR(document, ROWS);
    ACCUMULATOR(half, HALF, HALF);
    ACCUMULATOR(upper, BLOCK, BLOCK);
    ACCUMULATOR(lower, BLOCK, BLOCK);
    TILE_VIEW(upper_q, q_block, BLOCK, 0, BLOCK, WIDTH_K);
    TILE_VIEW(upper_k, k_block, 0, 0, BLOCK, WIDTH_K);
    TILE_VIEW(lower_q, q_block, HALF + BLOCK, 0, BLOCK, WIDTH_K);
    TILE_VIEW(lower_k, k_block, HALF, 0, BLOCK, WIDTH_K);
    const int64_t sequence = program_y / a.heads, head = program_y % a.heads, kv_head = head * a.kv_heads / a.heads;
    const Chunk chunk = chunk_at(a.segment, a.T, ROWS, sequence, program_x);
    float *A = a.products + products_at(&a, sequence, program_x, head);
    rows_documents(document, &a, chunk.rows);
    EACH_ENTRY(diagonal, i, j, x, x = 0);
    accumulator_zero(half);
    accumulator_zero(upper);
    accumulator_zero(lower);
    for (int64_t block = 0; block * WIDTH_K < a.K; block++) {
        tile_load_block(q, a.q, a.K, chunk.rows, head, block);
        tile_load_block(k, a.k, a.K, chunk.rows, kv_head, block);
        matrix_load_block(step, a.g, a.K, chunk.rows, kv_head, block);
        sync();
        decays(step, prefix, suffix, outer);
        sync();
        DECAY_OPERAND_BLOCKS(q_block, q, prefix);
        DECAY_OPERAND_BLOCKS(k_block, k, suffix);
        DECAY_QUERY_HALF(q_half, q, prefix);
        DECAY_KEY_HALF(k_half, k, suffix, prefix);
        sync();
        mma_nt(half, q_half, k_half);
        mma_nt(upper, upper_q, upper_k);
        mma_nt(lower, lower_q, lower_k);
        for (int offset = 0; offset < BLOCK; offset++) {
            MAP(product, j, d, x, {
                x = 0;
                if (j % BLOCK + offset < BLOCK) {
                    x = offset ? ENTRY(walking, j, d) * ENTRY(step, j + offset, d) : AT(k, j, d);
                    ENTRY(walking, j, d) = x;
                    x *= AT(q, j + offset, d);
                }
            });
            row_sum((&ENTRY(band, offset, 0)), product);
        }
        sync();
        EACH_ENTRY(diagonal, offset, j, x, x += ENTRY(band, offset, j));
        sync();
    }
    for (int i = 0; i < BLOCK; i++)
        EACH (j, BLOCK) {
            A[i * ROWS + BLOCK + j] = 0;
            A[(HALF + i) * ROWS + HALF + BLOCK + j] = 0;
        }
    MAP(half, i, j, x, A[(HALF + i) * ROWS + j] = document[HALF + i] == document[j] ? a.scale * x : 0.0f);
    MAP(upper, i, j, x, A[(BLOCK + i) * ROWS + j] = document[BLOCK + i] == document[j] ? a.scale * x : 0.0f);
    MAP(lower, i, j, x,
        A[(HALF + BLOCK + i) * ROWS + HALF + j] =
            document[HALF + BLOCK + i] == document[HALF + j] ? a.scale * x : 0.0f);
    for (int i = 0; i < ROWS; i++)
        EACH (column, BLOCK) {
            const int offset = i % BLOCK - (int)column, j = i - offset;
            const float x = ENTRY(diagonal, offset < 0 ? 0 : offset, j);
            A[i * ROWS + j] = ((offset >= 0) & (document[i] == document[j])) ? a.scale * x : 0.0f;
        }
}

/* The gradient of A, its upper right quarter left out. Program: chunk, sequence and head. */
KERNEL(chunk_gla_dproducts, ChunkGlaArguments) {
    TILE(v, ROWS, WIDTH_V);
    TILE(dO, ROWS, WIDTH_V);
    VECTOR(document, ROWS);
    TRIANGLE(dA);
    const int64_t sequence = program_y / a.heads, head = program_y % a.heads, kv_head = head * a.kv_heads / a.heads;
    const Chunk chunk = chunk_at(a.segment, a.T, ROWS, sequence, program_x);
    rows_documents(document, &a, chunk.rows);
    halves_zero(dA);
    for (int64_t block = 0; block * WIDTH_V < a.V; block++) {
        tile_load_block(v, a.v, a.V, chunk.rows, kv_head, block);
        tile_load_block(dO, a.do_, a.V, chunk.rows, head, block);
        sync();
        triangle_mma_nt(dA, dO, v);
        sync();
    }
    HALVES_MAP(dA, i, j, x, x *= ((j <= i) & (document[i] == document[j])) ? a.scale : 0.0f);
    triangle_store(dA, a.dproducts + products_at(&a, sequence, program_x, head));
}

/* o. Program: block of V, chunk, sequence and head. */
KERNEL(chunk_gla_output, ChunkGlaArguments) {
    TILE(q, ROWS, WIDTH_K);
    TILE(S, WIDTH_K, WIDTH_V);
    TILE(A, ROWS, ROWS);
    TILE(v, ROWS, WIDTH_V);
    MATRIX(g, ROWS, WIDTH_K);
    VECTOR(sees, ROWS);
    HALVES(o, WIDTH_V);
    const int64_t sequence = program_z / a.heads, head = program_z % a.heads, kv_head = head * a.kv_heads / a.heads;
    const int64_t cols_v = a.V - program_x * WIDTH_V;
    const Chunk chunk = chunk_at(a.segment, a.T, ROWS, sequence, program_y);
    rows_of_document(sees, &a, chunk.rows, chunk.before);
    tile_load_f32(A, a.products + products_at(&a, sequence, program_y, head), ROWS, ROWS, ROWS);
    tile_load_block(v, a.v, a.V, chunk.rows, kv_head, program_x);
    halves_zero(o);
    for (int64_t block = 0; block * WIDTH_K < a.K; block++) {
        const int64_t cols = a.K - block * WIDTH_K;
        const float *state = a.state + state_at(&a, sequence, program_y, kv_head, block, program_x);
        tile_load_block(q, a.q, a.K, chunk.rows, head, block);
        matrix_load_block(g, a.g, a.K, chunk.rows, kv_head, block);
        tile_load_f32(S, state, a.V, cols, cols_v);
        sync();
        matrix_cumsum(g);
        sync();
        DECAY_QUERIES(q, g, sees, a.scale);
        sync();
        halves_mma_nn(o, q, S);
        sync();
    }
    halves_mma_lower(o, A, v);
    halves_store_block(o, a.o, a.V, chunk, head, program_x);
}

/* The gradient of v. Program: block of V, chunk, sequence and key-value head. */
KERNEL(chunk_gla_dv, ChunkGlaArguments) {
    TILE(k, ROWS, WIDTH_K);
    TILE(dS, WIDTH_K, WIDTH_V);
    TILE(A, ROWS, ROWS);
    TILE(dO, ROWS, WIDTH_V);
    MATRIX(g, ROWS, WIDTH_K);
    VECTOR(enters, ROWS);
    HALVES(dv, WIDTH_V);
    const int64_t sequence = program_z / a.kv_heads, head = program_z % a.kv_heads, group = a.heads / a.kv_heads;
    const int64_t cols_v = a.V - program_x * WIDTH_V;
    const Chunk chunk = chunk_at(a.segment, a.T, ROWS, sequence, program_y);
    rows_of_document(enters, &a, chunk.rows, chunk.last);
    halves_zero(dv);
    for (int64_t block = 0; block * WIDTH_K < a.K; block++) {
        const int64_t cols = a.K - block * WIDTH_K;
        const float *dstate = a.dstate + state_at(&a, sequence, program_y, head, block, program_x);
        tile_load_block(k, a.k, a.K, chunk.rows, head, block);
        matrix_load_block(g, a.g, a.K, chunk.rows, head, block);
        tile_load_f32(dS, dstate, a.V, cols, cols_v);
        sync();
        matrix_cumsum_reverse(g);
        sync();
        DECAY_KEYS(k, g, enters);
        sync();
        halves_mma_nn(dv, k, dS);
        sync();
    }
    for (int64_t n = head * group; n < (head + 1) * group; n++) {
        tile_load_f32(A, a.products + products_at(&a, sequence, program_y, n), ROWS, ROWS, ROWS);
        tile_load_block(dO, a.do_, a.V, chunk.rows, n, program_x);
        sync();
        halves_mma_lower_tn(dv, A, dO);
        sync();
    }
    halves_store_block(dv, a.dv, a.V, chunk, head, program_x);
}

/* The gradients of q, k and g. Program: block of K, chunk, sequence and key-value head. */
KERNEL(chunk_gla_dqkg, ChunkGlaArguments) {
    TILE(q, ROWS, WIDTH_K);
    TILE(k, ROWS, WIDTH_K);
    TILE(q_block, ROWS, WIDTH_K);
    TILE(k_block, ROWS, WIDTH_K);
    TILE(q_half, HALF, WIDTH_K);
    TILE(k_half, HALF, WIDTH_K);
    TILE(dA, ROWS, ROWS);
    TILE(values, ROWS, WIDTH_V);   /* v, or the gradient of o */
    TILE(state, WIDTH_K, WIDTH_V); /* S, or the gradient of S_next */
    MATRIX(step, ROWS, WIDTH_K);
    MATRIX(prefix, ROWS, WIDTH_K);
    MATRIX(suffix, ROWS, WIDTH_K);
    MATRIX(outer, BLOCK, WIDTH_K);
    MATRIX(dq, ROWS, WIDTH_K);
    MATRIX(dk, ROWS, WIDTH_K);
    MATRIX(dg, ROWS, WIDTH_K); /* sum of q q' - k k', without the terms i = j, which cancel */
    VECTOR(running, WIDTH_K);
    VECTOR(walking, WIDTH_K);
    VECTOR(key_sum, WIDTH_K);
    VECTOR(sees, ROWS);
    VECTOR(enters, ROWS);
    ACCUMULATOR(whole, ROWS, WIDTH_K);
    ACCUMULATOR(half, HALF, WIDTH_K);
    ACCUMULATOR(upper, BLOCK, WIDTH_K);
    ACCUMULATOR(lower, BLOCK, WIDTH_K);
    TILE_VIEW(dA_half, dA, HALF, 0, HALF, HALF);
    TILE_VIEW(dA_upper, dA, BLOCK, 0, BLOCK, BLOCK);
    TILE_VIEW(dA_lower, dA, HALF + BLOCK, HALF, BLOCK, BLOCK);
    TILE_VIEW(upper_q, q_block, BLOCK, 0, BLOCK, WIDTH_K);
    TILE_VIEW(upper_k, k_block, 0, 0, BLOCK, WIDTH_K);
    TILE_VIEW(lower_q, q_block, HALF + BLOCK, 0, BLOCK, WIDTH_K);
    TILE_VIEW(lower_k, k_block, HALF, 0, BLOCK, WIDTH_K);
    const int64_t sequence = program_z / a.kv_heads, head = program_z % a.kv_heads, group = a.heads / a.kv_heads;
    const int64_t cols = a.K - program_x * WIDTH_K < WIDTH_K ? a.K - program_x * WIDTH_K : WIDTH_K;
    const Chunk chunk = chunk_at(a.segment, a.T, ROWS, sequence, program_y);
    const int64_t at = state_at(&a, sequence, program_y, head, program_x, 0);
    tile_load_block(k, a.k, a.K, chunk.rows, head, program_x);
    matrix_load_block(step, a.g, a.K, chunk.rows, head, program_x);
    rows_of_document(sees, &a, chunk.rows, chunk.before);
    rows_of_document(enters, &a, chunk.rows, chunk.last);
    sync();
    decays(step, prefix, suffix, outer);
    sync();
    DECAY_OPERAND_BLOCKS(k_block, k, suffix);
    DECAY_KEY_HALF(k_half, k, suffix, prefix);

    VALUES_TIMES_STATE(whole, tile_load_block, values, a.v, a.V, chunk.rows, head, state, a.dstate + at, cols);
    MAP(whole, j, d, x, x *= enters[j] * ENTRY(suffix, j, d) * ENTRY(outer, 4 + j / BLOCK, d); ENTRY(dk, j, d) = x);
    for (int d = 0; d < cols; d++) {
        float through = 0;
        SUM(through, j, a.V, a.state[at + d * a.V + j] * a.dstate[at + d * a.V + j]);
        EACH (one, 1) running[d] = through;
    }
    sync();
    const float stays = chunk.before == chunk.last ? 1.0f : 0.0f;
    EACH (d, WIDTH_K) running[d] = d < cols ? running[d] * stays * ENTRY(outer, 8, d) : 0.0f;
    for (int j = 0; j < ROWS; j++)
        EACH (d, WIDTH_K) {
            const float product = AT(k, j, d) * ENTRY(dk, j, d);
            running[d] += product;
            ENTRY(dg, j, d) = -product;
        }

    for (int64_t n = head * group; n < (head + 1) * group; n++) {
        tile_load_block(q, a.q, a.K, chunk.rows, n, program_x);
        tile_load_f32(dA, a.dproducts + products_at(&a, sequence, program_y, n), ROWS, ROWS, ROWS);
        VALUES_TIMES_STATE(whole, tile_load_block, values, a.do_, a.V, chunk.rows, n, state, a.state + at, cols);
        MAP(whole, i, d, x, ENTRY(dq, i, d) = a.scale * sees[i] * x * ENTRY(prefix, i, d) * ENTRY(outer, i / BLOCK, d));
        DECAY_OPERAND_BLOCKS(q_block, q, prefix);
        DECAY_QUERY_HALF(q_half, q, prefix);
        sync();
        accumulator_zero(half);
        accumulator_zero(upper);
        accumulator_zero(lower);
        mma_nn(half, dA_half, k_half);
        mma_nn(upper, dA_upper, upper_k);
        mma_nn(lower, dA_lower, lower_k);
        MAP(half, i, d, x, ENTRY(dq, HALF + i, d) += x * ENTRY(prefix, HALF + i, d) * HALF_QUERY_DECAY(prefix, i, d));
        sync();
        MAP(upper, i, d, x, ENTRY(dq, BLOCK + i, d) += x * ENTRY(prefix, BLOCK + i, d));
        MAP(lower, i, d, x, ENTRY(dq, HALF + BLOCK + i, d) += x * ENTRY(prefix, HALF + BLOCK + i, d));
        accumulator_zero(half);
        accumulator_zero(upper);
        accumulator_zero(lower);
        mma_tn(half, dA_half, q_half);
        mma_tn(upper, dA_upper, upper_q);
        mma_tn(lower, dA_lower, lower_q);
        MAP(half, j, d, x, x *= ENTRY(suffix, j, d) * HALF_KEY_DECAY(prefix, j, d); ENTRY(dk, j, d) += x;
            ENTRY(dg, j, d) -= x * AT(k, j, d));
        sync();
        MAP(upper, j, d, x, x *= ENTRY(suffix, j, d); ENTRY(dk, j, d) += x; ENTRY(dg, j, d) -= x * AT(k, j, d));
        MAP(lower, j, d, x, x *= ENTRY(suffix, HALF + j, d); ENTRY(dk, HALF + j, d) += x;
            ENTRY(dg, HALF + j, d) -= x * AT(k, HALF + j, d));
        sync();
        for (int j = 0; j < ROWS; j++) {
            EACH (d, WIDTH_K) {
                walking[d] = 1.0f;
                key_sum[d] = 0.0f;
            }
            for (int i = j + 1; i < (j / BLOCK + 1) * BLOCK; i++) {
                const float weight = AT(dA, i, j);
                EACH (d, WIDTH_K) {
                    walking[d] *= ENTRY(step, i, d);
                    ENTRY(dq, i, d) += weight * walking[d] * AT(k, j, d);
                    key_sum[d] += weight * walking[d] * AT(q, i, d);
                }
            }
            EACH (d, WIDTH_K) {
                ENTRY(dk, j, d) += key_sum[d] + AT(dA, j, j) * AT(q, j, d);
                ENTRY(dg, j, d) -= key_sum[d] * AT(k, j, d);
            }
        }
        element *to = (element *)a.dq.data + entry_of_head(a.dq, a.K, chunk.rows.first, n, program_x * WIDTH_K);
        for (int i = 0; i < chunk.rows.count; i++)
            EACH (d, cols) {
                ENTRY(dg, i, d) += AT(q, i, d) * ENTRY(dq, i, d);
                to[i * a.dq.stride + d] = to_element(ENTRY(dq, i, d) + AT(dA, i, i) * AT(k, i, d));
            }
        sync();
    }
    element *dk_to = (element *)a.dk.data + entry_of_head(a.dk, a.K, chunk.rows.first, head, program_x * WIDTH_K);
    float *dg_to = (float *)a.dg.data + entry_of_head(a.dg, a.K, chunk.rows.first, head, program_x * WIDTH_K);
    for (int i = (int)chunk.rows.count - 1; i >= 0; i--)
        EACH (d, cols) {
            running[d] += ENTRY(dg, i, d);
            dg_to[i * a.dg.stride + d] = running[d];
            dk_to[i * a.dk.stride + d] = to_element(ENTRY(dk, i, d));
        }
}
