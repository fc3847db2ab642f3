/* Linear attention with one decay per head and token (Mamba-2, retention; fla's simple_gla) in chunks of 64 rows, one
 * program per chunk and head except where the state is carried along.
 *
 * With S the state before the chunk, x' the gradient of x, M_ij = e^(g_j+1 + ... + g_i) for j <= i and else 0,
 * u_i = e^(g_0 + ... + g_i), which is e^g_0 times M's first column, and w_j = e^(g_j+1 + ... + g_last), M's last row:
 *
 *   P = scale q k^T                           A = P * M, entry by entry
 *   o = scale diag(u) q S + A v               S_next = u_last S + (diag(w) k)^T v
 *   A' = o' v^T                               P' = A' * M, summed over the heads that share P
 *   q' = scale (diag(u) o' S^T + P' k)        S' = u_last S_next' + scale (diag(u) q)^T o'
 *   k' = diag(w) v S_next'^T + scale P'^T q   v' = A^T o' + diag(w) k S_next'
 *   g'_t = sum over i >= t > j of A'_ij A_ij + sum over i >= t of q_i (the state's part of q'_i)
 *          + sum over j < t of k_j (the state's part of k'_j) + u_last (S S_next')
 *
 * Decays are products of the rows' e^g, never a quotient or a difference of sums: nothing overflows or cancels. At the
 * first row of a document the factor is 0 instead of e^g, which is all that documents need.
 *
 * Registers are so few that all programs that carry the states of 32 heads of 64 values run at once, where shared
 * memory has room for as many. The gradients of q and k need more registers (chunk_simple_gla_dqk.tile.h). */
#if defined(TILE_ELEMENT_F32) || (defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900)
#define TILE_PROGRAMS 2
#else
#define TILE_PROGRAMS 4
#endif
#include "tile/tile.h"
#include "kernels/recurrences/chunk_simple_gla/chunk_simple_gla.h"

/* e^g of row i of a chunk; 0 where a document begins, 1 past the end. */
DEVICE float step_of(const ChunkSimpleGlaArguments *a, Chunk chunk, int64_t head, int64_t i) {
    const bool inside = i < chunk.rows.count;
    const int64_t row = chunk.rows.first + (inside ? i : 0);
    const int32_t before = inside && i > 0 ? a->segment[row - 1] : chunk.before;
    const float decay = exp_f(a->g ? a->g[row * a->g_stride + head] : a->log_decay[head]);
    return !inside ? 1.0f : a->segment[row] == before ? decay : 0.0f;
}

/* The decays of all chunks. Program: chunk, sequence, and head. */
KERNEL(chunk_simple_gla_decays, ChunkSimpleGlaArguments) {
    VECTOR(upto, ROWS);
    VECTOR(after, ROWS);
    VECTOR(to_half, HALF);
    const Chunk chunk = chunk_at(a.segment, a.T, ROWS, program_y, program_x);
    float *decays = decays_of(&a, program_y, program_x, program_z);
    EACH (i, ROWS) {
        const float step = step_of(&a, chunk, program_z, i);
        decays[STEP * ROWS + i] = step;
        upto[i] = step;
        after[i] = i + 1 < ROWS ? step_of(&a, chunk, program_z, i + 1) : 1.0f;
    }
    EACH (i, HALF) to_half[i] = i + 1 < HALF ? step_of(&a, chunk, program_z, i + 1) : 1.0f;
    sync();
    vector_cumprod(upto);
    vector_cumprod_reverse(after);
    vector_cumprod_reverse(to_half);
    sync();
    EACH (i, ROWS) {
        decays[UPTO * ROWS + i] = upto[i];
        decays[AFTER * ROWS + i] = after[i];
        decays[TO_HALF * ROWS + i] = i < HALF ? to_half[i] : 0.0f;
    }
}

/* Starts to load the n-th chunk of a walk over the chunks: its rows of x and y, and its decays. */
#define LOAD_CHUNK(n, x, x_heads, x_head, y, y_heads, y_head)                                                          \
    do {                                                                                                               \
        const int loaded_ = first_ + (n)*step_;                                                                        \
        const Rows rows_of_ = chunk_at(a.segment, a.T, ROWS, sequence, loaded_).rows;                                  \
        TILE_VIEW(x_to_, x, (n) % 2 * ROWS, 0, ROWS, STATE_K);                                                         \
        TILE_VIEW(y_to_, y, (n) % 2 * ROWS, 0, ROWS, WIDTH_V);                                                         \
        MATRIX_VIEW(decay_to_, decays, (n) % 2 * DECAYS, 0, DECAYS, ROWS);                                             \
        tile_load_block(x_to_, x_heads, a.K, rows_of_, x_head, program_y);                                             \
        tile_load_block(y_to_, y_heads, a.V, rows_of_, y_head, program_z);                                             \
        matrix_load(decay_to_, decays_of(&a, sequence, loaded_, head), ROWS, DECAYS, ROWS);                            \
        copy_commit();                                                                                                 \
    } while (0)
/* Takes S over the chunks, from `first` on in steps of `step`: stores it in `states` before each, and for `count` of
 * them makes it u_last S + (factor diag(decay) x)^T y, where `decay` is UPTO or AFTER. x, y and decays have room for
 * two chunks: the next one is loaded while one is used. */
#define CARRY(S, states, first, step, count, decay, factor, x, x_heads, x_head, y, y_heads, y_head)                    \
    do {                                                                                                               \
        const int first_ = (int)(first), step_ = (step), count_ = (int)(count);                                        \
        for (int load_ = 0; load_ <= count_; load_++) {                                                                \
            const int n_ = load_ - 1;                                                                                  \
            if (n_ >= 0) {                                                                                             \
                STORE_STATE(S, states, n_);                                                                            \
                sync();                                                                                                \
            }                                                                                                          \
            if (load_ < count_) LOAD_CHUNK(load_, x, x_heads, x_head, y, y_heads, y_head);                             \
            if (n_ < 0) continue;                                                                                      \
            TILE_VIEW(x_, x, n_ % 2 * ROWS, 0, ROWS, STATE_K);                                                         \
            TILE_VIEW(y_, y, n_ % 2 * ROWS, 0, ROWS, WIDTH_V);                                                         \
            MATRIX_VIEW(decay_, decays, n_ % 2 * DECAYS, 0, DECAYS, ROWS);                                             \
            EACH_TILE_STAGED(x_, i, d, entry, entry *= (factor)*ENTRY(decay_, decay, i));                              \
            MAP(S, d, j, entry, entry *= ENTRY(decay_, UPTO, ROWS - 1));                                               \
            sync_after(1);                                                                                             \
            mma_tn(S, x_, y_);                                                                                         \
        }                                                                                                              \
        if (count_ < a.chunks) STORE_STATE(S, states, count_);                                                         \
    } while (0)
#define STORE_STATE(S, states, n)                                                                                      \
    accumulator_store(S, (element *)(states) + state_at(&a, sequence, first_ + (n)*step_, head, first_k, first_v),     \
                      a.V, cols_k, cols_v)

/* The state before each chunk, and after the last. Program: sequence and head, block of K, block of V. */
KERNEL(chunk_simple_gla_state, ChunkSimpleGlaArguments) {
    TILE(k, 2 * ROWS, STATE_K);
    TILE(v, 2 * ROWS, WIDTH_V);
    MATRIX(decays, 2 * DECAYS, ROWS);
    ACCUMULATOR(S, STATE_K, WIDTH_V);
    const int64_t sequence = program_x / a.heads, head = program_x % a.heads;
    const int64_t k_head = head * a.k_heads / a.heads, v_head = head * a.v_heads / a.heads;
    const int first_k = (int)program_y * STATE_K, first_v = (int)program_z * WIDTH_V;
    const int cols_k = (int)a.K - first_k, cols_v = (int)a.V - first_v;
    const int64_t row = program_x * a.K + first_k, col = first_v;
    accumulator_zero(S);
    if (a.initial) accumulator_load(S, a.initial + row * a.initial_stride + col, a.initial_stride, cols_k, cols_v);
    CARRY(S, a.state, 0, 1, a.final ? a.chunks : a.chunks - 1, AFTER, 1.0f, k, a.k, k_head, v, a.v, v_head);
    if (a.final) accumulator_store_f32(S, a.final + row * a.V + col, a.V, cols_k, cols_v);
}

/* The gradient of the state after each chunk, and of the initial one. Programs as above. */
KERNEL(chunk_simple_gla_dstate, ChunkSimpleGlaArguments) {
    TILE(q, 2 * ROWS, STATE_K);
    TILE(dO, 2 * ROWS, WIDTH_V);
    MATRIX(decays, 2 * DECAYS, ROWS);
    ACCUMULATOR(dS, STATE_K, WIDTH_V);
    const int64_t sequence = program_x / a.heads, head = program_x % a.heads, q_head = head * a.q_heads / a.heads;
    const int first_k = (int)program_y * STATE_K, first_v = (int)program_z * WIDTH_V;
    const int cols_k = (int)a.K - first_k, cols_v = (int)a.V - first_v;
    const int64_t row = program_x * a.K + first_k, col = first_v;
    accumulator_zero(dS);
    if (a.dfinal) accumulator_load(dS, a.dfinal + row * a.V + col, a.V, cols_k, cols_v);
    CARRY(dS, a.dstate, a.chunks - 1, -1, a.dinitial ? a.chunks : a.chunks - 1, UPTO, a.scale, q, a.q, q_head, dO,
          a.do_, head);
    if (a.dinitial)
        accumulator_store_f32(dS, a.dinitial + row * a.initial_stride + col, a.initial_stride, cols_k, cols_v);
}

/* P, its upper right quarter left out. Program: chunk, sequence and query head. */
KERNEL(chunk_simple_gla_products, ChunkSimpleGlaArguments) {
    TILE(q, ROWS, WIDTH_K);
    TILE(k, ROWS, WIDTH_K);
    TRIANGLE(P);
    const int64_t sequence = program_y / a.q_heads, q_head = program_y % a.q_heads;
    const Chunk chunk = chunk_at(a.segment, a.T, ROWS, sequence, program_x);
    halves_zero(P);
    for (int64_t block = 0; block * WIDTH_K < a.K; block++) {
        tile_load_block(q, a.q, a.K, chunk.rows, q_head, block);
        tile_load_block(k, a.k, a.K, chunk.rows, q_head * a.k_heads / a.q_heads, block);
        sync();
        triangle_mma_nt(P, q, k);
        sync();
    }
    HALVES_MAP(P, i, j, x, x *= a.scale);
    triangle_store(P, a.products + products_at(&a, sequence, program_x, q_head));
}

/* Statements with each entry of M, decay. It is the product of the steps from its column's row on, which goes down the
 * column; in the second half it begins with that of the first. */
#define EACH_DECAY(decays, i, j, decay, ...)                                                                           \
    BLOCK_WALK(decay, half_ ? ENTRY(decays, TO_HALF, j) : 0.0f, half_, 2, j, ROWS, n_, HALF, {                         \
        const int i = half_ * HALF + n_;                                                                               \
        const float next_ = decay * ENTRY(decays, STEP, i);                                                            \
        decay = j == i ? 1.0f : next_;                                                                                 \
        __VA_ARGS__;                                                                                                   \
    })
#define TILE_OF_A(A, P, decays)                                                                                        \
    EACH_DECAY(decays, i_, j_, decay_, PUT(A, i_, j_, j_ <= i_ ? ENTRY(P, i_, j_) * decay_ : 0.0f))

/* o. Program: block of V, chunk, sequence and head. */
KERNEL(chunk_simple_gla_output, ChunkSimpleGlaArguments) {
    TILE(q, ROWS, WIDTH_K);
    TILE(S, WIDTH_K, WIDTH_V);
    TILE(A, ROWS, ROWS);
    TILE(v, ROWS, WIDTH_V);
    MATRIX(P, ROWS, ROWS);
    MATRIX(decays, DECAYS, ROWS);
    HALVES(o, WIDTH_V);
    const int64_t sequence = program_z / a.heads, head = program_z % a.heads, q_head = head * a.q_heads / a.heads;
    const int64_t cols_v = a.V - program_x * WIDTH_V;
    const Chunk chunk = chunk_at(a.segment, a.T, ROWS, sequence, program_y);
    matrix_load(P, a.products + products_at(&a, sequence, program_y, q_head), ROWS, ROWS, ROWS);
    matrix_load(decays, decays_of(&a, sequence, program_y, head), ROWS, DECAYS, ROWS);
    tile_load_block(v, a.v, a.V, chunk.rows, head * a.v_heads / a.heads, program_x);
    halves_zero(o);
    for (int64_t block = 0; block * WIDTH_K < a.K; block++) {
        const int64_t cols = a.K - block * WIDTH_K;
        const element *state =
            (const element *)a.state + state_at(&a, sequence, program_y, head, block * WIDTH_K, program_x * WIDTH_V);
        tile_load_block(q, a.q, a.K, chunk.rows, q_head, block);
        tile_load(S, state, a.V, cols, cols_v);
        sync();
        if (block == 0) TILE_OF_A(A, P, decays);
        halves_mma_nn(o, q, S);
        sync();
    }
    HALVES_MAP(o, i, j, x, x *= a.scale * ENTRY(decays, UPTO, i));
    halves_mma_lower(o, A, v);
    halves_store_block(o, a.o, a.V, chunk, head, program_x);
}

/* The gradient of v. Program: block of V, chunk, sequence and value head. */
KERNEL(chunk_simple_gla_dv, ChunkSimpleGlaArguments) {
    TILE(k, ROWS, WIDTH_K);
    TILE(dS, WIDTH_K, WIDTH_V);
    TILE(A, ROWS, ROWS);
    TILE(dO, ROWS, WIDTH_V);
    MATRIX(P, ROWS, ROWS);
    MATRIX(decays, DECAYS, ROWS);
    HALVES(dv, WIDTH_V);
    const int64_t sequence = program_z / a.v_heads, v_head = program_z % a.v_heads, group = a.heads / a.v_heads;
    const int64_t cols_v = a.V - program_x * WIDTH_V;
    const Chunk chunk = chunk_at(a.segment, a.T, ROWS, sequence, program_y);
    halves_zero(dv);
    for (int64_t head = v_head * group; head < (v_head + 1) * group; head++) {
        const int64_t products = products_at(&a, sequence, program_y, head * a.q_heads / a.heads);
        matrix_load(P, a.products + products, ROWS, ROWS, ROWS);
        matrix_load(decays, decays_of(&a, sequence, program_y, head), ROWS, DECAYS, ROWS);
        tile_load_block(dO, a.do_, a.V, chunk.rows, head, program_x);
        for (int64_t block = 0; block * WIDTH_K < a.K; block++) {
            const int64_t cols = a.K - block * WIDTH_K;
            const element *dstate = (const element *)a.dstate +
                                    state_at(&a, sequence, program_y, head, block * WIDTH_K, program_x * WIDTH_V);
            tile_load_block(k, a.k, a.K, chunk.rows, head * a.k_heads / a.heads, block);
            tile_load(dS, dstate, a.V, cols, cols_v);
            sync();
            if (block == 0) TILE_OF_A(A, P, decays);
            EACH_TILE(k, j, d, x, x *= ENTRY(decays, AFTER, j));
            sync();
            halves_mma_nn(dv, k, dS);
            sync();
        }
        halves_mma_lower_tn(dv, A, dO);
        sync();
    }
    halves_store_block(dv, a.dv, a.V, chunk, v_head, program_x);
}

/* The gradient of P, and what the products inside the chunk add to that of g. Program: chunk, sequence and query head.
 * The next head's or block of V's tiles are loaded while one's are used. */
KERNEL(chunk_simple_gla_dproducts, ChunkSimpleGlaArguments) {
    TILE(values, 2 * ROWS, WIDTH_V);
    TILE(gradients, 2 * ROWS, WIDTH_V);
    MATRIX(decays, 2 * OF_M, ROWS);
    PADDED_MATRIX(weighed, ROWS, ROWS); /* M, then A'_ij A_ij for j < i, then its sums over a half's rows from i on */
    VECTOR(crossing, ROWS);
    TRIANGLE(dA);
    TRIANGLE(P);
    TRIANGLE(dP);
    ACCUMULATOR(left, ROWS, ROWS);
    const int sequence = (int)(program_y / a.q_heads), q_head = (int)(program_y % a.q_heads);
    const int group = (int)(a.heads / a.q_heads), blocks = (int)blocks_of(a.V, WIDTH_V), steps = group * blocks;
    const Chunk chunk = chunk_at(a.segment, a.T, ROWS, sequence, program_x);
    halves_zero(dP);
    if (a.dg) triangle_load(P, a.products + products_at(&a, sequence, program_x, q_head));
    for (int load = 0; load <= steps; load++) {
        if (load > 0) sync();
        if (load < steps) {
            const int head = q_head * group + load / blocks, block = load % blocks;
            TILE_VIEW(v, values, load % 2 * ROWS, 0, ROWS, WIDTH_V);
            TILE_VIEW(dO, gradients, load % 2 * ROWS, 0, ROWS, WIDTH_V);
            MATRIX_VIEW(of_m, decays, load % 2 * OF_M, 0, OF_M, ROWS);
            tile_load_block(v, a.v, a.V, chunk.rows, head * a.v_heads / a.heads, block);
            tile_load_block(dO, a.do_, a.V, chunk.rows, head, block);
            matrix_load(of_m, decays_of(&a, sequence, program_x, head), ROWS, OF_M, ROWS);
        }
        copy_commit();
        if (load == 0) continue;
        const int step = load - 1, block = step % blocks;
        TILE_VIEW(v, values, step % 2 * ROWS, 0, ROWS, WIDTH_V);
        TILE_VIEW(dO, gradients, step % 2 * ROWS, 0, ROWS, WIDTH_V);
        MATRIX_VIEW(of_m, decays, step % 2 * OF_M, 0, OF_M, ROWS);
        if (block == 0) {
            EACH_DECAY(of_m, i, j, decay, ENTRY(weighed, i, j) = decay);
            halves_zero(dA);
        }
        triangle_mma_nt(dA, dO, v);
        if (block + 1 < blocks) continue;
        sync_after(1);
        HALVES_MAP(dA, i, j, x, x *= ENTRY(weighed, i, j));
        halves_add(dP, dA);
        if (!a.dg) continue;
        halves_multiply(dA, P);
        HALVES_MAP(dA, i, j, x, ENTRY(weighed, i, j) = j < i ? x : 0.0f);
        sync_after(1);
        BLOCK_WALK(sum, 0.0f, half, 2, j, ROWS, n, HALF, {
            const int i = half * HALF + HALF - 1 - n;
            ENTRY(weighed, i, j) = sum += ENTRY(weighed, i, j);
        });
        sync_after(1);
        MAP(left, t, j, x, x = j < t ? ENTRY(weighed, t, j) + (t < HALF ? ENTRY(weighed, HALF, j) : 0.0f) : 0.0f);
        row_sum(crossing, left);
        sync_after(1);
        const int head = q_head * group + step / blocks;
        EACH (t, chunk.rows.count) a.dg[(chunk.rows.first + t) * a.g_stride + head] = crossing[t];
    }
    float *to = a.dproducts + products_at(&a, sequence, program_x, q_head);
    HALVES_MAP(dP, i, j, x, x *= a.scale);
    triangle_store(dP, to);
    for (int i = 0; i < HALF; i++)
        EACH (j, HALF) to[i * ROWS + HALF + j] = 0;
}
