/* The attention kernels for heads of up to HEAD columns; included by attention.tile.h once per HEAD, which names them.
 *
 * Sums over the keys j that query i sees, or over the queries i that see key j; do is the gradient of o:
 * - s_ij = scale q_i k_j, p_ij = e^(s_ij - lse_i), o_i = sum_j p_ij v_j
 * - ds_ij = p_ij (do_i v_j - delta_i), dv_j = sum_i p_ij do_i
 * - dq_i = scale sum_j ds_ij k_j, dk_j = scale sum_i ds_ij q_i
 *
 * Tiles of keys or queries that see nothing of each other are not visited; only tiles at a boundary are masked. */

#define COLS (HEAD < 128 ? HEAD : 128)

/* Flash attention (arXiv 2307.08691): keys in tiles, with the maximum and the sum of e^(s - maximum) so far. */
ATTENTION_KERNEL(attention_forward) {
    TILE(q, ATTENTION_ROWS, HEAD);
    TILE(k, ATTENTION_ROWS, HEAD);
    TILE(v, ATTENTION_ROWS, HEAD);
    TILE(p, ATTENTION_ROWS, ATTENTION_ROWS);
    VECTOR(first, ATTENTION_ROWS); /* key, counted from t0 */
    VECTOR(maximum, ATTENTION_ROWS);
    VECTOR(sum, ATTENTION_ROWS);
    VECTOR(tile_maximum, ATTENTION_ROWS);
    VECTOR(tile_sum, ATTENTION_ROWS);
    VECTOR(rescale, ATTENTION_ROWS);
    ACCUMULATOR(scores, ATTENTION_ROWS, ATTENTION_ROWS);
    ACCUMULATOR(out, ATTENTION_ROWS, HEAD);

    const int64_t sequence = program_z * a.T, head = program_y, kv_head = head / (a.heads / a.kv_heads);
    const int64_t t0 = ((a.T - 1) / ATTENTION_ROWS - program_x) * ATTENTION_ROWS; /* the longest first */
    const int64_t rows = a.T - t0 < ATTENTION_ROWS ? a.T - t0 : ATTENTION_ROWS;
    const int32_t *segment = a.segment + sequence;
    const element *all_k = (const element *)a.k + sequence * a.k_stride + kv_head * a.head_dim;
    const element *all_v = (const element *)a.v + sequence * a.v_stride + kv_head * a.head_dim;

    tile_load(q, (const element *)a.q + (sequence + t0) * a.q_stride + head * a.head_dim, a.q_stride, rows, a.head_dim);
    EACH (i, ATTENTION_ROWS) {
        first[i] = (float)(first_key(segment, a.window, t0 + (i < rows ? i : rows - 1)) - t0);
        maximum[i] = -1e30f; /* finite: a row may see nothing of its first tiles */
        sum[i] = 0;
    }
    accumulator_zero(out);
    const int64_t start = first_key(segment, a.window, t0), all_start = first_key(segment, a.window, t0 + rows - 1);
    for (int64_t s0 = start / ATTENTION_ROWS * ATTENTION_ROWS; s0 < t0 + rows; s0 += ATTENTION_ROWS) {
        sync();
        tile_load(k, all_k + s0 * a.k_stride, a.k_stride, a.T - s0, a.head_dim);
        tile_load(v, all_v + s0 * a.v_stride, a.v_stride, a.T - s0, a.head_dim);
        sync();
        accumulator_zero(scores);
        mma_nt(scores, q, k);
        if (s0 == t0 || s0 < all_start) {
            const int shift = (int)(s0 - t0);
            MAP(scores, i, j, x, x = j + shift <= i && (float)(j + shift) >= first[i] ? x : -INFINITY);
        }
        row_maximum(tile_maximum, scores);
        sync();
        EACH (i, ATTENTION_ROWS) {
            const float before = maximum[i];
            maximum[i] = larger(before, tile_maximum[i]);
            rescale[i] = exp_f((before - maximum[i]) * a.scale);
        }
        sync();
        MAP_INTO(p, scores, i, j, x, x = exp_f((x - maximum[i]) * a.scale));
        row_sum(tile_sum, scores);
        MAP(out, i, j, x, x *= rescale[i]);
        sync();
        EACH (i, ATTENTION_ROWS) sum[i] = sum[i] * rescale[i] + tile_sum[i];
        mma_nn(out, p, v);
    }
    sync();
    MAP(out, i, j, x, x /= sum[i]);
    accumulator_store(out, (element *)a.out + (sequence + t0) * a.out_stride + head * a.head_dim, a.out_stride, rows,
                      a.head_dim);
    EACH (i, rows) a.log_sum_exp[(sequence + t0 + i) * a.heads + head] = maximum[i] * a.scale + logf(sum[i]);
}

/* dq of 64 queries. */
ATTENTION_KERNEL(attention_queries) {
    TILE(q, ATTENTION_ROWS, HEAD);
    TILE(k, ATTENTION_ROWS, HEAD);
    TILE(v, ATTENTION_ROWS, HEAD);
    TILE(out_gradient, ATTENTION_ROWS, HEAD);
    TILE(ds, ATTENTION_ROWS, ATTENTION_ROWS);
    VECTOR(first, ATTENTION_ROWS);
    VECTOR(log_sum_exp, ATTENTION_ROWS);
    VECTOR(delta, ATTENTION_ROWS);
    ACCUMULATOR(scores, ATTENTION_ROWS, ATTENTION_ROWS);
    ACCUMULATOR(dp, ATTENTION_ROWS, ATTENTION_ROWS);
    ACCUMULATOR(dq, ATTENTION_ROWS, HEAD);

    const int64_t sequence = program_z * a.T, head = program_y, kv_head = head / (a.heads / a.kv_heads);
    const int64_t t0 = ((a.T - 1) / ATTENTION_ROWS - program_x) * ATTENTION_ROWS;
    const int64_t rows = a.T - t0 < ATTENTION_ROWS ? a.T - t0 : ATTENTION_ROWS;
    const int64_t q_at = (sequence + t0) * a.q_stride + head * a.head_dim;
    const int64_t out_at = (sequence + t0) * a.out_stride + head * a.head_dim;
    const int32_t *segment = a.segment + sequence;
    const element *all_k = (const element *)a.k + sequence * a.k_stride + kv_head * a.head_dim;
    const element *all_v = (const element *)a.v + sequence * a.v_stride + kv_head * a.head_dim;

    tile_load(q, (const element *)a.q + q_at, a.q_stride, rows, a.head_dim);
    tile_load(out_gradient, (const element *)a.out_gradient + out_at, a.out_stride, rows, a.head_dim);
    EACH (i, ATTENTION_ROWS) {
        const int64_t t = t0 + (i < rows ? i : rows - 1), at = (sequence + t) * a.heads + head;
        first[i] = (float)(first_key(segment, a.window, t) - t0);
        log_sum_exp[i] = a.log_sum_exp[at];
        delta[i] = a.delta[at];
    }
    accumulator_zero(dq);
    const int64_t start = first_key(segment, a.window, t0), all_start = first_key(segment, a.window, t0 + rows - 1);
    for (int64_t s0 = start / ATTENTION_ROWS * ATTENTION_ROWS; s0 < t0 + rows; s0 += ATTENTION_ROWS) {
        sync();
        tile_load(k, all_k + s0 * a.k_stride, a.k_stride, a.T - s0, a.head_dim);
        tile_load(v, all_v + s0 * a.v_stride, a.v_stride, a.T - s0, a.head_dim);
        sync();
        accumulator_zero(scores);
        mma_nt(scores, q, k);
        accumulator_zero(dp);
        mma_nt(dp, out_gradient, v);
        if (s0 == t0 || s0 < all_start) {
            const int shift = (int)(s0 - t0);
            MAP(scores, i, j, x, x = j + shift <= i && (float)(j + shift) >= first[i] ? x : -INFINITY);
        }
        MAP_INTO(ds, dp, i, j, x, x = (x - delta[i]) * exp_f(PEER(scores, i, j) * a.scale - log_sum_exp[i]));
        sync();
        mma_nn(dq, ds, k);
    }
    MAP(dq, i, j, x, x *= a.scale);
    accumulator_store(dq, (element *)a.q_gradient + q_at, a.q_stride, rows, a.head_dim);
}

/* dk and dv of 64 keys: the sum over the queries of every head that reads them. COLS columns of both at a time, which
 * is what a GPU has registers for. */
ATTENTION_KERNEL(attention_keys) {
    TILE(q, ATTENTION_ROWS, HEAD);
    TILE(k, ATTENTION_ROWS, HEAD);
    TILE(v, ATTENTION_ROWS, HEAD);
    TILE(out_gradient, ATTENTION_ROWS, HEAD);
    TILE(p, ATTENTION_ROWS, ATTENTION_ROWS);
    TILE(ds, ATTENTION_ROWS, ATTENTION_ROWS);
    VECTOR(first, ATTENTION_ROWS); /* key, counted from s0 */
    VECTOR(log_sum_exp, ATTENTION_ROWS);
    VECTOR(delta, ATTENTION_ROWS);
    ACCUMULATOR(scores, ATTENTION_ROWS, ATTENTION_ROWS); /* then p, then do v^T, then ds */
    ACCUMULATOR(dk, ATTENTION_ROWS, COLS);
    ACCUMULATOR(dv, ATTENTION_ROWS, COLS);

    const int64_t sequence = program_z * a.T, kv_head = program_y, group = a.heads / a.kv_heads;
    const int64_t s0 = program_x * ATTENTION_ROWS;
    const int64_t rows = a.T - s0 < ATTENTION_ROWS ? a.T - s0 : ATTENTION_ROWS;
    const int64_t k_at = (sequence + s0) * a.k_stride + kv_head * a.head_dim;
    const int64_t v_at = (sequence + s0) * a.v_stride + kv_head * a.head_dim;
    const int32_t *segment = a.segment + sequence;
    const int64_t last = last_query(segment, a.window, a.T, s0 + rows - 1);

    tile_load(k, (const element *)a.k + k_at, a.k_stride, rows, a.head_dim);
    tile_load(v, (const element *)a.v + v_at, a.v_stride, rows, a.head_dim);
    for (int c = 0; c < a.head_dim; c += COLS) {
        TILE_VIEW(q_columns, q, 0, c, ATTENTION_ROWS, COLS);
        TILE_VIEW(out_gradient_columns, out_gradient, 0, c, ATTENTION_ROWS, COLS);
        accumulator_zero(dk);
        accumulator_zero(dv);
        for (int64_t head = kv_head * group; head < (kv_head + 1) * group; head++) {
            for (int64_t t0 = s0; t0 <= last; t0 += ATTENTION_ROWS) {
                const int64_t t_last = t0 + ATTENTION_ROWS < a.T ? t0 + ATTENTION_ROWS - 1 : a.T - 1;
                const int64_t q_at = (sequence + t0) * a.q_stride + head * a.head_dim;
                const int64_t out_at = (sequence + t0) * a.out_stride + head * a.head_dim;
                sync();
                tile_load(q, (const element *)a.q + q_at, a.q_stride, a.T - t0, a.head_dim);
                tile_load(out_gradient, (const element *)a.out_gradient + out_at, a.out_stride, a.T - t0, a.head_dim);
                EACH (i, ATTENTION_ROWS) {
                    const int64_t t = t0 + i < a.T ? t0 + i : a.T - 1, at = (sequence + t) * a.heads + head;
                    first[i] = (float)(first_key(segment, a.window, t) - s0);
                    log_sum_exp[i] = t0 + i < a.T ? a.log_sum_exp[at] : INFINITY; /* p = 0 past the end */
                    delta[i] = a.delta[at];
                }
                sync();
                accumulator_zero(scores);
                mma_nt(scores, q, k);
                if (t0 == s0 || first_key(segment, a.window, t_last) > s0) {
                    const int shift = (int)(t0 - s0);
                    MAP(scores, i, j, x, x = j <= i + shift && (float)j >= first[i] ? x : -INFINITY);
                }
                MAP_INTO(p, scores, i, j, x, x = exp_f(x * a.scale - log_sum_exp[i]));
                accumulator_zero(scores);
                mma_nt(scores, out_gradient, v);
                MAP_INTO(ds, scores, i, j, x, x = (x - delta[i]) * AT(p, i, j));
                sync();
                mma_tn(dv, p, out_gradient_columns);
                mma_tn(dk, ds, q_columns);
            }
        }
        MAP(dk, i, j, x, x *= a.scale);
        if (a.k_gradient) accumulator_store(dk, (element *)a.k_gradient + k_at + c, a.k_stride, rows, a.head_dim - c);
        if (a.v_gradient) accumulator_store(dv, (element *)a.v_gradient + v_at + c, a.v_stride, rows, a.head_dim - c);
    }
}

#undef HEAD
#undef COLS
#undef attention_forward
#undef attention_queries
#undef attention_keys
