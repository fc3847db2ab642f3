/* Linear attention with one decay per head and token (Mamba-2, retention; fla's simple_gla) in chunks of 64 rows. Only
 * the walks (chunk_simple_gla_walk.tile.h) go from chunk to chunk; the other kernels have programs for each chunk.
 *
 * With S the state before the chunk, x' the gradient of x, M_ij = e^(g_j+1 + ... + g_i + s_j) for j <= i and else 0,
 * u_i = e^(g_0 + ... + g_i) and w_j = e^(g_j+1 + ... + g_last + s_j), M's last row:
 *
 *   P = scale q k^T                           A = P * M, elementwise
 *   o = scale diag(u) q S + (A + D 1) v       S_next = u_last S + (diag(w) k)^T v
 *   A' = o' v^T                               P' = A' * M, summed over the heads that share P
 *   q' = scale (diag(u) o' S^T + P' k)        S' = u_last S_next' + scale (diag(u) q)^T o'
 *   k' = diag(w) v S_next'^T + scale P'^T q   v' = (A + D 1)^T o' + diag(w) k S_next'
 *   g'_t = sum over i >= t > j of A'_ij A_ij + sum over i >= t of q_i (the state's part of q'_i)
 *          + sum over j < t of k_j (the state's part of k'_j) + u_last (S S_next')
 *   s'_t = sum over i of A'_it A_it + k_t (the state's part of k'_t)
 *   D'   = sum over i of A'_ii
 *
 * The first sum of g'_t equals the sum over rows i >= t of (the entries below the diagonal in row i, minus those in
 * column i).
 *
 * The states' decays are products of the rows' e^g and never quotients, so nothing overflows. At the first row of a
 * document the factor is 0 instead of e^g; nothing else is needed for documents.
 *
 * On a GPU a state is stored for every span of two chunks, b and c, and S is the state before both. Then, with P_cb =
 * scale q_c k_b^T:
 *
 *   o_c = diag(u_c) (u_last,b scale q_c S + P_cb diag(w_b) v_b) + (A + D 1) v_c
 *   v'_b = diag(w_b) (u_last,c k_b S_next' + P_cb^T diag(u_c) o'_c) + (A + D 1)^T o'_b
 *   P'_cb = diag(u_c) o'_c v_b^T diag(w_b)
 *
 * chunk_simple_gla_walk.tile.h carries the states, chunk_simple_gla_dqk.tile.h has the gradients of q, k and the gates.
 */
#if defined(TILE_ELEMENT_F32) || (defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900)
#define TILE_PROGRAMS 2
#else
#define TILE_PROGRAMS 4
#endif
#include "tile/tile.h"
#include "kernels/recurrences/chunk_simple_gla/chunk_simple_gla.h"

/* The gate g of row i of a chunk: minus infinity where a document begins, 0 past the end. */
DEVICE float log_step_of(const ChunkSimpleGlaArguments *a, Chunk chunk, int64_t head, int64_t i) {
    const bool inside = i < chunk.rows.count;
    const int64_t row = chunk.rows.first + (inside ? i : 0);
    const int32_t before = inside && i > 0 ? a->segment[row - 1] : chunk.before;
    const float g = a->g ? a->g[row * a->g_stride + head] : a->log_decay[head];
    return !inside ? 0.0f : a->segment[row] == before ? g : -INFINITY;
}

/* Computes the decays of all chunks. Program: chunk, sequence, and block of heads. Each column of the matrices is a
 * head; their odd length puts rows into different banks. */
KERNEL(chunk_simple_gla_decays, ChunkSimpleGlaArguments) {
    enum { HEADS = CHUNK_SIMPLE_GLA_HEADS };
    MATRIX(steps, ROWS, HEADS + 1);  /* e^g */
    MATRIX(starts, ROWS, HEADS + 1); /* e^s */
    MATRIX(logs, ROWS, HEADS + 1);   /* g */
    MATRIX(scales, ROWS, HEADS + 1); /* s */
    MATRIX(upto, ROWS, HEADS + 1);
    MATRIX(after, ROWS, HEADS + 1);
    MATRIX(of_m, ROWS, HEADS + 1);
    const float log2_e = 1.44269504f;
    const Chunk chunk = chunk_at(a.segment, a.T, ROWS, program_y, program_x);
    const int64_t first = program_z * HEADS;
    const int heads = (int)(a.heads - first < HEADS ? a.heads - first : HEADS);
    EACH_PAIR(i, n, ROWS, HEADS) {
        const int64_t head = first + (n < heads ? n : 0);
        const float g = log_step_of(&a, chunk, head, i);
        const float s = a.s && i < chunk.rows.count ? a.s[(chunk.rows.first + i) * a.s_stride + head] : 0.0f;
        ENTRY(steps, i, n) = exp_f(g);
        ENTRY(starts, i, n) = a.s ? exp_f(s) : 1.0f;
        ENTRY(logs, i, n) = fmaxf(g * log2_e, LEAST_LOG);
        ENTRY(scales, i, n) = s * log2_e;
    }
    sync();
    BLOCK_WALK(x, 0.0f, walk, 3, n, HEADS, t, ROWS, {
        const int from_end = ROWS - 1 - t, to_half = HALF - 1 - t;
        if (walk == 0) ENTRY(upto, t, n) = x = t == 0 ? ENTRY(steps, t, n) : x * ENTRY(steps, t, n);
        if (walk == 1) {
            x = t == 0 ? 1.0f : x * ENTRY(steps, from_end + 1, n);
            ENTRY(after, from_end, n) = x * ENTRY(starts, from_end, n);
        }
        if (walk == 2 && ON_GPU) ENTRY(of_m, t, n) = x += ENTRY(logs, t, n);
        if (walk == 2 && !ON_GPU && t < HALF) {
            x = t == 0 ? 1.0f : x * ENTRY(steps, to_half + 1, n);
            ENTRY(of_m, to_half, n) = x * ENTRY(starts, to_half, n);
        }
    });
    sync();
    EACH_PAIR(n, i, HEADS, ROWS) {
        if (n < heads) {
            float *decays = decays_of(&a, program_y, program_x, first + n);
            const TokenDecays token = {ENTRY(of_m, i, n), ENTRY(steps, i, n), ENTRY(starts, i, n), ENTRY(scales, i, n)};
            store_of_m(decays, i, token);
            decays[UPTO * ROWS + i] = ENTRY(upto, i, n);
            decays[AFTER * ROWS + i] = ENTRY(after, i, n);
        }
    }
}

/* Computes P, without some of the entries above the diagonal, and (program_z 1) the product of a span's second chunk
 * with its first. Program: chunk, sequence and query head. */
KERNEL(chunk_simple_gla_products, ChunkSimpleGlaArguments) {
    TILE(q, ROWS, WIDTH_K);
    TILE(k, ROWS, WIDTH_K);
    ACCUMULATOR(P, ROWS, ROWS);
    const int64_t sequence = program_y / a.q_heads, q_head = program_y % a.q_heads, key_index = program_x - program_z;
    const int64_t products = products_offset(&a, sequence, program_x, q_head);
    if (program_z > 0 && !follows(program_x)) return;
    const Rows rows = rows_of_chunk(a.T, ROWS, sequence, program_x);
    const Rows key_rows = rows_of_chunk(a.T, ROWS, sequence, key_index);
    accumulator_zero(P);
    for (int64_t block = 0; block * WIDTH_K < a.K; block++) {
        tile_load_block(q, a.q, a.K, rows, q_head, block);
        tile_load_block(k, a.k, a.K, key_rows, q_head * a.k_heads / a.q_heads, block);
        sync();
        if (program_z == 0)
            lower_mma_nt(P, q, k);
        else
            mma_nt(P, q, k);
        sync();
    }
    MAP(P, i, j, x, x *= a.scale);
    accumulator_store_f32(P, (program_z == 0 ? a.products : a.crossing) + products, ROWS, ROWS, ROWS);
}

/* Computes o. Program: block of V, chunk, sequence and head. The next block of K is loaded while one is used. After the
 * last block, the values of the chunk before are loaded; their weights take the place of q. */
KERNEL(chunk_simple_gla_output, ChunkSimpleGlaArguments) {
    TILE(queries, 2 * ROWS, WIDTH_K);
    TILE(states, 2 * WIDTH_K, WIDTH_V);
    TILE(A, ROWS, ROWS);
    TILE(v, ROWS, WIDTH_V);
    MATRIX(decays, DECAYS, ROWS);
    MATRIX(earlier, 2, ROWS); /* u and w of the chunk before */
    PRODUCTS(P);
    ACCUMULATOR(crossing, HALF, ROWS);
    HALVES(o, WIDTH_V);
    const int heads = (int)a.heads, sequence = (int)program_z / heads, head = (int)program_z % heads;
    const int q_head = head * (int)a.q_heads / heads, v_head = head * (int)a.v_heads / heads, index = (int)program_y;
    const int blocks = (int)blocks_of(a.K, WIDTH_K), steps = blocks + follows(index);
    const int64_t cols_v = a.V - program_x * WIDTH_V, products = products_offset(&a, sequence, index, q_head);
    const Chunk chunk = chunk_at(a.segment, a.T, ROWS, sequence, index);
    halves_zero(o);
    for (int load = 0; load <= steps; load++) {
        if (load > 0) sync();
        if (load < steps) {
            TILE_VIEW(q, queries, load % 2 * ROWS, 0, ROWS, WIDTH_K);
            TILE_VIEW(S, states, load % 2 * WIDTH_K, 0, WIDTH_K, WIDTH_V);
            if (load < blocks) {
                const int64_t at = state_offset(&a, sequence, index, head, load * WIDTH_K, program_x * WIDTH_V);
                tile_load_block(q, a.q, a.K, chunk.rows, q_head, load);
                tile_load(S, (const element *)a.state + at, a.V, a.K - load * WIDTH_K, cols_v);
            } else {
                const Rows before = {chunk.rows.first - ROWS, ROWS};
                tile_load_block(S, a.v, a.V, before, v_head, program_x);
            }
        }
        if (load == 0) {
            matrix_load(decays, decays_of(&a, sequence, index, head), ROWS, DECAYS, ROWS);
            if (follows(index))
                matrix_load(earlier, decays_of(&a, sequence, index - 1, head) + UPTO * ROWS, ROWS, 2, ROWS);
            tile_load_block(v, a.v, a.V, chunk.rows, v_head, program_x);
            products_load(P, a.products + products);
            continue;
        }
        TILE_VIEW(q, queries, (load - 1) % 2 * ROWS, 0, ROWS, WIDTH_K);
        TILE_VIEW(S, states, (load - 1) % 2 * WIDTH_K, 0, WIDTH_K, WIDTH_V);
        if (load == 1) TILE_OF_A(A, P, decays, skip_of(&a, head));
        halves_mma_nn(o, q, S);
        if (load == blocks && follows(index)) {
            TILE_VIEW(weights, queries, load % 2 * ROWS, 0, ROWS, ROWS);
            TILE_OF_CROSSING(weights, crossing, a.crossing + products, i, j, ENTRY(earlier, 1, j));
            HALVES_MAP(o, i, j, x, x *= a.scale * ENTRY(earlier, 0, ROWS - 1));
        }
    }
    sync();
    const float scale = follows(index) ? 1.0f : a.scale;
    HALVES_MAP(o, i, j, x, x *= scale * ENTRY(decays, UPTO, i));
    halves_mma_lower(o, A, v);
    halves_store_block(o, a.o, a.V, chunk, head, program_x);
}

/* Computes the gradient of v. Program: block of V, chunk, sequence and value head. The next block of K is loaded while
 * one is used. After the last block, the gradients of the outputs of the chunk after are loaded; their weights take the
 * place of k. If a single head reads the values, w scales the sum, otherwise k. */
KERNEL(chunk_simple_gla_dv, ChunkSimpleGlaArguments) {
    TILE(keys, 2 * ROWS, WIDTH_K);
    TILE(dstates, 2 * WIDTH_K, WIDTH_V);
    TILE(A, ROWS, ROWS);
    TILE(dO, ROWS, WIDTH_V);
    MATRIX(decays, DECAYS, ROWS);
    MATRIX(later, 1, ROWS); /* u of the chunk after */
    PRODUCTS(P);
    ACCUMULATOR(crossing, HALF, ROWS);
    HALVES(dv, WIDTH_V);
    const int v_heads = (int)a.v_heads, sequence = (int)program_z / v_heads, v_head = (int)program_z % v_heads;
    const int group = (int)a.heads / v_heads, heads = (int)a.heads, index = (int)program_y;
    const int blocks = (int)blocks_of(a.K, WIDTH_K), steps = blocks + followed(&a, index);
    const int64_t cols_v = a.V - program_x * WIDTH_V;
    const bool sum_scaled = ON_GPU && group == 1;
    const Chunk chunk = chunk_at(a.segment, a.T, ROWS, sequence, index);
    halves_zero(dv);
    for (int head = v_head * group; head < (v_head + 1) * group; head++) {
        const int q_head = head * (int)a.q_heads / heads, k_head = head * (int)a.k_heads / heads;
        for (int load = 0; load <= steps; load++) {
            if (load > 0) sync();
            if (load < steps) {
                TILE_VIEW(k, keys, load % 2 * ROWS, 0, ROWS, WIDTH_K);
                TILE_VIEW(dS, dstates, load % 2 * WIDTH_K, 0, WIDTH_K, WIDTH_V);
                if (load < blocks) {
                    const int64_t at = state_offset(&a, sequence, index, head, load * WIDTH_K, program_x * WIDTH_V);
                    tile_load_block(k, a.k, a.K, chunk.rows, k_head, load);
                    tile_load(dS, (const element *)a.dstate + at, a.V, a.K - load * WIDTH_K, cols_v);
                } else {
                    const Rows behind = rows_of_chunk(a.T, ROWS, sequence, index + 1);
                    tile_load_block(dS, a.do_, a.V, behind, head, program_x);
                }
            }
            if (load == 0) {
                const float *P_of_chunk = a.products + products_offset(&a, sequence, index, q_head);
                matrix_load(decays, decays_of(&a, sequence, index, head), ROWS, DECAYS, ROWS);
                if (followed(&a, index))
                    matrix_load(later, decays_of(&a, sequence, index + 1, head) + UPTO * ROWS, ROWS, 1, ROWS);
                tile_load_block(dO, a.do_, a.V, chunk.rows, head, program_x);
                products_load(P, P_of_chunk);
            }
            copy_commit();
            if (load == 0) continue;
            TILE_VIEW(k, keys, (load - 1) % 2 * ROWS, 0, ROWS, WIDTH_K);
            TILE_VIEW(dS, dstates, (load - 1) % 2 * WIDTH_K, 0, WIDTH_K, WIDTH_V);
            if (load == 1) TILE_OF_A(A, P, decays, skip_of(&a, head));
            if (load > blocks) {
                halves_mma_tn(dv, k, dS);
                continue;
            }
            if (!sum_scaled) {
                const float through = followed(&a, index) ? ENTRY(later, 0, ROWS - 1) : 1.0f;
                EACH_TILE_STAGED(k, j, d, x, x *= ENTRY(decays, AFTER, j) * through);
                sync_after(1);
            }
            halves_mma_nn(dv, k, dS);
            if (load == blocks && followed(&a, index)) {
                const float *from = a.crossing + products_offset(&a, sequence, index + 1, q_head);
                TILE_VIEW(weights, keys, load % 2 * ROWS, 0, ROWS, ROWS);
                TILE_OF_CROSSING(weights, crossing, from, i, j,
                                 ENTRY(later, 0, i) * (sum_scaled ? 1.0f : ENTRY(decays, AFTER, j)));
                if (sum_scaled) HALVES_MAP(dv, j, d, x, x *= ENTRY(later, 0, ROWS - 1));
            }
        }
        if (sum_scaled) {
            HALVES_MAP(dv, j, d, x, x *= ENTRY(decays, AFTER, j));
            if (steps == 1) sync();
        }
        halves_mma_lower_tn(dv, A, dO);
        sync();
    }
    halves_store_block(dv, a.dv, a.V, chunk, v_head, program_x);
}

/* Computes the gradients of P and (program_z 1) of the product with the span's first chunk, and their parts of the
 * gradients of the gates. Program: chunk, sequence and query head. The tiles of the next head or block of V are loaded
 * while those of one are used. */
KERNEL(chunk_simple_gla_dproducts, ChunkSimpleGlaArguments) {
    TILE(values, 2 * ROWS, WIDTH_V);
    TILE(gradients, 2 * ROWS, WIDTH_V);
    MATRIX(decays, 2 * OF_M, ROWS); /* rows of M, or u of the chunk and w of the chunk before */
    VECTOR(of_rows, ROWS);
    MATRIX(of_columns, ROWS / 16, ROWS);
    VECTOR(diagonal, ROWS);
    ACCUMULATOR(dA, ROWS, ROWS);
    ACCUMULATOR(dP, ROWS, ROWS);
    const int sequence = (int)program_y / (int)a.q_heads, q_head = (int)program_y % (int)a.q_heads;
    const int index = (int)program_x, group = (int)a.heads / (int)a.q_heads, blocks = (int)blocks_of(a.V, WIDTH_V);
    const bool crosses = program_z > 0;
    if (crosses && !follows(index)) return;
    const Rows rows = rows_of_chunk(a.T, ROWS, sequence, index);
    const Rows value_rows = rows_of_chunk(a.T, ROWS, sequence, index - crosses);
    const int64_t products = products_offset(&a, sequence, index, q_head);
    const float *P = (crosses ? a.crossing : a.products) + products; /* read again for each head to save registers */
    int head = q_head * group, block = 0, used_head = head, used_block = 0;
    accumulator_zero(dP);
    for (int load = 0; load <= group * blocks; load++) {
        if (load > 0) sync();
        if (load < group * blocks) {
            TILE_VIEW(v, values, load % 2 * ROWS, 0, ROWS, WIDTH_V);
            TILE_VIEW(dO, gradients, load % 2 * ROWS, 0, ROWS, WIDTH_V);
            const float *of_chunk = decays_of(&a, sequence, index, head);
            tile_load_block(v, a.v, a.V, value_rows, head * (int)a.v_heads / (int)a.heads, block);
            tile_load_block(dO, a.do_, a.V, rows, head, block);
            if (crosses) {
                MATRIX_VIEW(upto, decays, load % 2 * OF_M, 0, 1, ROWS);
                MATRIX_VIEW(after, decays, load % 2 * OF_M + 1, 0, 1, ROWS);
                matrix_load(upto, of_chunk + UPTO * ROWS, ROWS, 1, ROWS);
                matrix_load(after, decays_of(&a, sequence, index - 1, head) + AFTER * ROWS, ROWS, 1, ROWS);
            } else {
                MATRIX_VIEW(of_m, decays, load % 2 * OF_M, 0, OF_M, ROWS);
                matrix_load(of_m, of_chunk, ROWS, OF_M, ROWS);
            }
            block = block + 1 < blocks ? block + 1 : 0;
            head += block == 0;
        }
        copy_commit();
        if (load == 0) continue;
        TILE_VIEW(v, values, (load - 1) % 2 * ROWS, 0, ROWS, WIDTH_V);
        TILE_VIEW(dO, gradients, (load - 1) % 2 * ROWS, 0, ROWS, WIDTH_V);
        MATRIX_VIEW(decay, decays, (load - 1) % 2 * OF_M, 0, OF_M, ROWS);
        if (used_block == 0) accumulator_zero(dA);
        if (crosses)
            mma_nt(dA, dO, v);
        else
            lower_mma_nt(dA, dO, v);
        used_block = used_block + 1 < blocks ? used_block + 1 : 0;
        if (used_block > 0) continue;
        if (a.parts) MAP(dA, i, j, x, if (i == j) diagonal[i] = x);
        if (crosses)
            MAP(dA, i, j, x, x *= ENTRY(decay, 0, i) * ENTRY(decay, 1, j));
        else
            MULTIPLY_BY_DECAYS(dA, decay);
        accumulator_add(dP, dA);
        if (!a.parts) continue;
        MAP(dA, i, j, x, x = j < i || crosses ? x * P[i * ROWS + j] : 0.0f);
        row_sum(of_rows, dA);
        column_sums(of_columns, dA);
        sync_after(1);
        float *parts = parts_of(&a, sequence, index, used_head);
        float *value_parts = parts_of(&a, sequence, index - crosses, used_head);
        EACH (i, ROWS) {
            parts[(crosses ? CROSS_ROWS : OF_ROWS) * ROWS + i] = of_rows[i];
            value_parts[(crosses ? CROSS_COLUMNS : OF_COLUMNS) * ROWS + i] =
                ENTRY(of_columns, 0, i) + ENTRY(of_columns, 1, i) + ENTRY(of_columns, 2, i) + ENTRY(of_columns, 3, i);
            if (!crosses) parts[DIAGONAL * ROWS + i] = diagonal[i];
        }
        used_head++;
    }
    MAP(dP, i, j, x, x *= a.scale);
    accumulator_store_f32(dP, (crosses ? a.dcrossing : a.dproducts) + products, ROWS, ROWS, ROWS);
}
