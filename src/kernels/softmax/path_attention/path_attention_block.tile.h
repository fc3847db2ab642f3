/* The work of path_attention inside blocks, WIDTH columns of the heads at a time. */
#include "tile/tile.h"
#include "kernels/softmax/path_attention/path_attention.h"
#include "kernels/softmax/path_attention/path_attention_block.h"
#include "kernels/triangular_inverse.h"

enum { WIDTH = 64 };

/* Loads beta of the block's tokens, 0 past the end. */
#define load_beta(to, rows, head)                                                                                      \
    EACH (i_, ROWS) (to)[i_] = i_ < (rows).count ? a.beta[((rows).first + i_) * a.beta_stride + (head)] : 0.0f

/* Computes and stores f and e of the block's tokens. */
#define store_gates(from_start, to_end, rows, sequence, index, head)                                                   \
    do {                                                                                                               \
        const float *forget_ = a.forget + (rows).first * a.forget_stride + (head);                                     \
        EACH (i_, ROWS) {                                                                                              \
            from_start[i_] = i_ < (rows).count ? forget_[i_ * a.forget_stride] : 0.0f;                                 \
            to_end[i_] = i_ + 1 < (rows).count ? forget_[(i_ + 1) * a.forget_stride] : 0.0f;                           \
        }                                                                                                              \
        sync();                                                                                                        \
        vector_cumsum(from_start);                                                                                     \
        vector_cumsum_reverse(to_end);                                                                                 \
        sync();                                                                                                        \
        float *gates_ = a.gates + chunk_offset(a.blocks, a.heads, sequence, index, head, 2 * ROWS);                    \
        EACH (i_, ROWS) {                                                                                              \
            gates_[i_] = from_start[i_];                                                                               \
            gates_[ROWS + i_] = to_end[i_];                                                                            \
        }                                                                                                              \
    } while (0)

/* Computes Ti, Z, R and Kt, and for every query head f, e, A and Qt. Program: block, sequence and key-value head. */
KERNEL(path_attention_prepare, PathAttentionArguments) {
    TILE(q, ROWS, WIDTH);
    TILE(k, ROWS, WIDTH);
    TILE(w, ROWS, WIDTH);
    TILE(Z, ROWS, ROWS);
    TILE(Ti, ROWS, ROWS); /* first Ti, then -M */
    TILE(X, ROWS, ROWS);  /* strict_tril(diag(b) W K^T), then -Y */
    MATRIX(lower, ROWS, ROWS);
    MATRIX(inverse, ROWS, ROWS);
    VECTOR(beta, ROWS);
    VECTOR(from_start, ROWS);
    VECTOR(to_end, ROWS);
    ACCUMULATOR(by_w, ROWS, ROWS);
    ACCUMULATOR(by_k, ROWS, ROWS);
    ACCUMULATOR(turned, ROWS, WIDTH);
    const int64_t sequence = program_y / a.kv_heads, kv_head = program_y % a.kv_heads, group = a.heads / a.kv_heads;
    const int64_t at = square_at(&a, a.kv_heads, sequence, program_x, kv_head);
    const Rows rows = rows_of_chunk(a.T, ROWS, sequence, program_x);
    load_beta(beta, rows, kv_head);
    accumulator_zero(by_w);
    accumulator_zero(by_k);
    for (int64_t block = 0; block * WIDTH < a.head_dim; block++) {
        tile_load_block(w, a.w, a.head_dim, rows, kv_head, block);
        tile_load_block(k, a.k, a.head_dim, rows, kv_head, block);
        sync();
        mma_nt(by_w, w, w);
        mma_nt(by_k, w, k);
        sync();
    }
    MAP(by_w, i, j, x, ENTRY(lower, i, j) = beta[i] * x);
    MAP_INTO(X, by_k, i, j, x, x = j < i ? beta[i] * x : 0.0f);
    sync();
    triangular_inverse(inverse, lower);
    EACH_ROW_VECTOR(i, j, ROWS, ROWS) {
        READ_MATRIX(x, inverse, i, j);
        WRITE_TILE(Ti, i, j, x);
    }
    sync();
    tile_store(Ti, (element *)a.inverse + at, ROWS, ROWS, ROWS);
    accumulator_zero(by_k);
    mma_nn(by_k, Ti, X);
    accumulator_store(by_k, (element *)a.between + at, ROWS, ROWS, ROWS);
    tile_cast(Z, by_k);
    sync();
    EACH_TILE(Ti, i, j, x, x *= -beta[j]);
    for (int64_t block = 0; block * WIDTH < a.head_dim; block++) {
        tile_load_block(w, a.w, a.head_dim, rows, kv_head, block);
        tile_load_block(k, a.k, a.head_dim, rows, kv_head, block);
        sync();
        accumulator_zero(turned);
        mma_nn(turned, Ti, w);
        accumulator_store_block(turned, a.turn, a.head_dim, rows, kv_head, block);
        accumulator_zero(turned);
        mma_tn(turned, Z, w);
        MAP(turned, i, j, x, x = AT(k, i, j) - x);
        accumulator_store_block(turned, a.turned_k, a.head_dim, rows, kv_head, block);
        sync();
    }
    for (int64_t head = kv_head * group; head < (kv_head + 1) * group; head++) {
        if (a.forget) store_gates(from_start, to_end, rows, sequence, program_x, head);
        accumulator_zero(by_w);
        accumulator_zero(by_k);
        for (int64_t block = 0; block * WIDTH < a.head_dim; block++) {
            tile_load_block(q, a.q, a.head_dim, rows, head, block);
            tile_load_block(k, a.k, a.head_dim, rows, kv_head, block);
            tile_load_block(w, a.w, a.head_dim, rows, kv_head, block);
            sync();
            mma_nt(by_w, q, w);
            mma_nt(by_k, q, k);
            sync();
        }
        MAP_INTO(X, by_w, i, j, x, x = j <= i ? -x : 0.0f);
        sync();
        mma_nn(by_k, X, Z);
        accumulator_store_f32(by_k, a.logits + square_at(&a, a.heads, sequence, program_x, head), ROWS, ROWS, ROWS);
        for (int64_t block = 0; block * WIDTH < a.head_dim; block++) {
            tile_load_block(q, a.q, a.head_dim, rows, head, block);
            tile_load_block(w, a.turn, a.head_dim, rows, kv_head, block);
            sync();
            accumulator_zero(turned);
            mma_nn(turned, X, w);
            MAP(turned, i, j, x, x = AT(q, i, j) - x);
            accumulator_store_block(turned, a.turned_q, a.head_dim, rows, head, block);
            sync();
        }
    }
}

/* The address of WIDTH columns of the sums of a block of tokens. */
#define sums_at(sums) ((sums) + rows.first * a.sums_stride + kv_head * a.head_dim + block * WIDTH)
/* Adds square^T tile to these sums, and leaves the result in the accumulator. */
#define add_to_sums(accumulator, sums, square, tile)                                                                   \
    do {                                                                                                               \
        accumulator_load(accumulator, sums_at(sums), a.sums_stride, rows.count, a.head_dim - block * WIDTH);           \
        mma_tn(accumulator, square, tile);                                                                             \
        accumulator_store_f32(accumulator, sums_at(sums), a.sums_stride, rows.count, a.head_dim - block * WIDTH);      \
    } while (0)

/* Computes the gradients from the query heads inside a block: dq, and their parts of the gradients of k, v, w, R and Z.
 * With dA = P (dP - delta) scale, and dQt, the gradient of Qt from the blocks of keys before:
 *   dY = tril(dQt R^T - dA Z^T),   dZ = -Y^T dA,   dR += Y^T dQt,   dQ = dQt + dA K + dY W
 *   dV += P^T dO,   dK = dA^T Q,   dW += dY^T Q
 * Program: block, sequence and key-value head. */
KERNEL(path_attention_inside, PathAttentionArguments) {
    TILE(q, ROWS, WIDTH); /* in turn q and dO */
    TILE(k, ROWS, WIDTH); /* in turn K, V, R */
    TILE(w, ROWS, WIDTH);
    TILE(dq, ROWS, WIDTH); /* dQt */
    TILE(Y, ROWS, ROWS);   /* first P, then Y */
    TILE(dY, ROWS, ROWS);
    TILE(dA, ROWS, ROWS);
    TILE(Z, ROWS, ROWS); /* -Z */
    MATRIX(parts, ROWS / 16, ROWS);
    VECTOR(from_start, ROWS);
    VECTOR(by_query, ROWS);
    ROW_VALUES(row_value, ROWS);
    ACCUMULATOR(p, ROWS, ROWS);
    ACCUMULATOR(ds, ROWS, ROWS);
    ACCUMULATOR(dZ, ROWS, ROWS); /* -dZ */
    ACCUMULATOR(sum, ROWS, WIDTH);
    const int64_t sequence = program_y / a.kv_heads, kv_head = program_y % a.kv_heads, group = a.heads / a.kv_heads;
    const int64_t at = square_at(&a, a.kv_heads, sequence, program_x, kv_head), t0 = program_x * ROWS;
    const Rows rows = rows_of_chunk(a.T, ROWS, sequence, program_x);
    const float exponent_scale = a.scale * LOG2_E;
    tile_load(Z, (const element *)a.between + at, ROWS, ROWS, ROWS);
    EACH_TILE(Z, i, j, x, x = -x);
    accumulator_zero(dZ);
    for (int64_t head = kv_head * group; head < (kv_head + 1) * group; head++) {
        const int64_t first_token = entry_of_token(&a, sequence, head, t0);
        EACH (i, ROWS) from_start[i] = from_start_of(&a, sequence, program_x, head, i);
        accumulator_zero(ds);
        for (int64_t block = 0; block * WIDTH < a.head_dim; block++) {
            tile_load_block(q, a.dout, a.head_dim, rows, head, block);
            tile_load_block(k, a.v, a.head_dim, rows, kv_head, block);
            sync();
            mma_nt(ds, q, k);
            sync();
        }
        accumulator_load(p, a.logits + square_at(&a, a.heads, sequence, program_x, head), ROWS, ROWS, ROWS);
        if (a.forget) MAP(p, i, j, x, x += from_start[i] - from_start[j]);
        mask_diagonal(p, row_value, rows, a.first_key, t0);
        EACH_ROW_VALUE(row_value, r, i) row_value[r] = i < rows.count ? a.log_sum_exp[first_token + i] : 0.0f;
        MAP_INTO(Y, p, i, j, x, x = exp2_f(x * exponent_scale - ROW_VALUE(row_value, i)));
        EACH_ROW_VALUE(row_value, r, i) row_value[r] = i < rows.count ? a.delta[first_token + i] : 0.0f;
        MAP_INTO(dA, ds, i, j, x, x = (x - ROW_VALUE(row_value, i)) * PEER(p, i, j) * a.scale);
        if (a.dforget) {
            column_sums(parts, ds);
            row_sum(by_query, ds);
        }
        sync();
        if (a.dforget)
            EACH (j, rows.count)
                a.forget_sums[first_token + j] +=
                    by_query[j] - ENTRY(parts, 0, j) - ENTRY(parts, 1, j) - ENTRY(parts, 2, j) - ENTRY(parts, 3, j);
        for (int64_t block = 0; block * WIDTH < a.head_dim; block++) {
            tile_load_block(q, a.dout, a.head_dim, rows, head, block);
            sync();
            add_to_sums(sum, a.v_sums, Y, q);
            if (a.dv.data && head + 1 == (kv_head + 1) * group)
                accumulator_store_block(sum, a.dv, a.head_dim, rows, kv_head, block);
            sync();
        }
        accumulator_zero(p);
        accumulator_zero(ds);
        for (int64_t block = 0; block * WIDTH < a.head_dim; block++) {
            tile_load_block(q, a.q, a.head_dim, rows, head, block);
            tile_load_block(w, a.w, a.head_dim, rows, kv_head, block);
            tile_load_block(k, a.turn, a.head_dim, rows, kv_head, block);
            tile_load_block(dq, a.dturned_q, a.head_dim, rows, head, block);
            sync();
            mma_nt(p, q, w);
            mma_nt(ds, dq, k);
            sync();
        }
        mma_nt(ds, dA, Z);
        MAP_INTO(Y, p, i, j, x, x = j <= i ? x : 0.0f);
        MAP_INTO(dY, ds, i, j, x, x = j <= i ? x : 0.0f);
        sync();
        mma_tn(dZ, Y, dA);
        for (int64_t block = 0; block * WIDTH < a.head_dim; block++) {
            tile_load_block(q, a.q, a.head_dim, rows, head, block);
            tile_load_block(k, a.k, a.head_dim, rows, kv_head, block);
            tile_load_block(w, a.w, a.head_dim, rows, kv_head, block);
            tile_load_block(dq, a.dturned_q, a.head_dim, rows, head, block);
            sync();
            add_to_sums(sum, a.turn_sums, Y, dq);
            add_to_sums(sum, a.k_sums, dA, q);
            add_to_sums(sum, a.w_sums, dY, q);
            MAP(sum, i, j, x, x = AT(dq, i, j));
            mma_nn(sum, dA, k);
            mma_nn(sum, dY, w);
            if (a.dq.data) accumulator_store_block(sum, a.dq, a.head_dim, rows, head, block);
            sync();
        }
    }
    accumulator_store_f32(dZ, a.dbetween + at, ROWS, ROWS, ROWS);
}

/* Computes dk, dw and dbeta from the gradients of Kt, R and Z. With U = Ti^T dR:
 *   dZ -= W dKt^T,   dX = Ti^T dZ,   E = -strict_tril(dX Z^T + U R^T),   dX <- strict_tril(dX)
 *   dK += dKt + dX^T diag(b) W
 *   dW += diag(b) dX K - Z dKt - diag(b) U + (diag(b) E + E^T diag(b)) W
 *   db_i = sum_j (dX_ij w_i k_j + E_ij w_i w_j) - u_i w_i
 * X is strict_tril(diag(b) W K^T), and E the gradient of strict_tril(diag(b) W W^T).
 * Program: block, sequence and key-value head. */
KERNEL(path_attention_finish, PathAttentionArguments) {
    TILE(w, ROWS, WIDTH);
    TILE(k, ROWS, WIDTH);  /* in turn K and R */
    TILE(dk, ROWS, WIDTH); /* dKt */
    TILE(dr, ROWS, WIDTH); /* dR, then U */
    TILE(Ti, ROWS, ROWS);  /* first Ti, then M */
    TILE(Z, ROWS, ROWS);
    TILE(dX, ROWS, ROWS); /* first dZ, then diag(b) dX */
    TILE(E, ROWS, ROWS);  /* diag(b) E */
    VECTOR(beta, ROWS);
    VECTOR(by_keys, ROWS);
    VECTOR(by_turns, ROWS);
    ROW_VALUES(along_w, ROWS); /* U times w */
    ROW_VALUES(share, ROWS);
    ACCUMULATOR(by_k, ROWS, ROWS);
    ACCUMULATOR(by_w, ROWS, ROWS);
    ACCUMULATOR(dx, ROWS, ROWS); /* first -dZ, then dX */
    ACCUMULATOR(e, ROWS, ROWS);
    ACCUMULATOR(u, ROWS, WIDTH); /* first U, then what is subtracted from dw */
    ACCUMULATOR(sum, ROWS, WIDTH);
    const int64_t sequence = program_y / a.kv_heads, kv_head = program_y % a.kv_heads;
    const int64_t at = square_at(&a, a.kv_heads, sequence, program_x, kv_head);
    const Rows rows = rows_of_chunk(a.T, ROWS, sequence, program_x);
    load_beta(beta, rows, kv_head);
    tile_load(Ti, (const element *)a.inverse + at, ROWS, ROWS, ROWS);
    tile_load(Z, (const element *)a.between + at, ROWS, ROWS, ROWS);
    accumulator_load(dx, a.dbetween + at, ROWS, ROWS, ROWS);
    accumulator_zero(e);
    accumulator_zero(by_k);
    accumulator_zero(by_w);
    EACH_ROW_VALUE(along_w, r, i) along_w[r] = 0;
    for (int64_t block = 0; block * WIDTH < a.head_dim; block++) {
        const int64_t cols = a.head_dim - block * WIDTH;
        tile_load_block(w, a.w, a.head_dim, rows, kv_head, block);
        tile_load_block(k, a.k, a.head_dim, rows, kv_head, block);
        tile_load_f32(dk, sums_at(a.turned_k_sums), a.sums_stride, rows.count, cols);
        tile_load_f32(dr, sums_at(a.turn_sums), a.sums_stride, rows.count, cols);
        sync();
        mma_nt(dx, w, dk);
        mma_nt(by_k, w, k);
        mma_nt(by_w, w, w);
        accumulator_zero(u);
        mma_tn(u, Ti, dr);
        sync();
        tile_load_block(k, a.turn, a.head_dim, rows, kv_head, block);
        tile_cast(dr, u);
        MAP(u, i, j, x, x *= AT(w, i, j));
        row_values_share(share, u);
        EACH_ROW_VALUE(along_w, r, i) along_w[r] += share[r];
        sync();
        mma_nt(e, dr, k);
        sync();
    }
    row_values_total(along_w);
    MAP_INTO(dX, dx, i, j, x, x = -x);
    sync();
    accumulator_zero(dx);
    mma_tn(dx, Ti, dX);
    accumulator_mma_nt(e, dx, Z);
    MAP(dx, i, j, x, x = j < i ? x : 0.0f; PEER(by_k, i, j) *= x; x *= beta[i]);
    MAP(e, i, j, x, x = j < i ? -x : 0.0f; PEER(by_w, i, j) *= x; x *= beta[i]);
    row_sum(by_keys, by_k);
    row_sum(by_turns, by_w);
    sync();
    tile_cast(dX, dx);
    tile_cast(E, e);
    EACH_TILE(Ti, i, j, x, x *= beta[j]);
    if (a.dbeta) EACH_ROW_VALUE(along_w, r, i)
    if (i < rows.count) a.dbeta[(rows.first + i) * a.beta_stride + kv_head] = by_keys[i] + by_turns[i] - along_w[r];
    for (int64_t block = 0; block * WIDTH < a.head_dim; block++) {
        const int64_t cols = a.head_dim - block * WIDTH;
        tile_load_block(w, a.w, a.head_dim, rows, kv_head, block);
        tile_load_block(k, a.k, a.head_dim, rows, kv_head, block);
        tile_load_f32(dk, sums_at(a.turned_k_sums), a.sums_stride, rows.count, cols);
        tile_load_f32(dr, sums_at(a.turn_sums), a.sums_stride, rows.count, cols);
        accumulator_load(sum, sums_at(a.k_sums), a.sums_stride, rows.count, cols);
        sync();
        MAP(sum, i, j, x, x += AT(dk, i, j));
        mma_tn(sum, dX, w);
        if (a.dk.data) accumulator_store_block(sum, a.dk, a.head_dim, rows, kv_head, block);
        accumulator_load(sum, sums_at(a.w_sums), a.sums_stride, rows.count, cols);
        mma_nn(sum, dX, k);
        mma_nn(sum, E, w);
        mma_tn(sum, E, w);
        accumulator_zero(u);
        mma_nn(u, Z, dk);
        mma_tn(u, Ti, dr);
        MAP(sum, i, j, x, x -= PEER(u, i, j));
        if (a.dw.data) accumulator_store_block(sum, a.dw, a.head_dim, rows, kv_head, block);
        sync();
    }
}

/* Computes the gradient of forget from that of its sums: a token gets the sum from the token to the end of its
 * document. The walk goes from the last block to the first. Program: head, sequence. */
KERNEL(path_attention_forget, PathAttentionArguments) {
    VECTOR(sums, ROWS);
    VECTOR(gradient, ROWS);
    const int64_t head = program_x, sequence = program_y;
    EACH (i, ROWS) gradient[i] = 0;
    sync();
    for (int64_t index = a.blocks - 1; index >= 0; index--) {
        const Rows rows = rows_of_chunk(a.T, ROWS, sequence, index);
        const int64_t t0 = index * ROWS;
        const float from_next_block = gradient[0];
        EACH (i, ROWS) sums[i] = i < rows.count ? a.forget_sums[entry_of_token(&a, sequence, head, t0 + i)] : 0.0f;
        sync();
        vector_cumsum_reverse(sums);
        sync();
        EACH (i, rows.count) {
            const int64_t last = a.last_query[rows.first + i] - t0;
            const float behind = last >= ROWS ? from_next_block : last < ROWS - 1 ? -sums[last + 1] : 0.0f;
            gradient[i] = sums[i] + behind;
            a.dforget[(rows.first + i) * a.forget_stride + head] = gradient[i];
        }
        sync();
    }
}
