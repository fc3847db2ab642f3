/* The kernels of nearest_codes for heads of up to HEAD columns. nearest_codes.tile.h includes this once per HEAD. */

/* Finds the nearest codes: argmin |k - c|^2 = argmax (k c - |c|^2 / 2). Program: tokens, head. */
CODES_KERNEL(nearest_codes) {
    TILE(k, CODE_TOKENS, HEAD);
    TILE(code, CODE_ROWS, HEAD);
    VECTOR(square, CODE_ROWS);
    ROW_VALUES(best, CODE_TOKENS);
    ROW_VALUES(index, CODE_TOKENS);
    ROW_VALUES(largest, CODE_TOKENS);
    ROW_VALUES(place, CODE_TOKENS);
    ACCUMULATOR(score, CODE_TOKENS, CODE_ROWS);
    ACCUMULATOR(candidate, CODE_TOKENS, CODE_ROWS);

    const int head = (int)program_y;
    const int64_t row0 = program_x * CODE_TOKENS;
    const Rows rows = {row0, a.rows - row0};
    tile_load_block(k, a.k, a.head_dim, rows, head, 0);
    EACH_ROW_VALUE(best, r, i) {
        best[r] = -INFINITY;
        index[r] = 0;
    }
    for (int s0 = 0; s0 < a.codes; s0 += CODE_ROWS) {
        const int64_t first = head * a.codes + s0;
        sync();
        tile_load(code, (const element *)a.code + first * a.head_dim, a.head_dim, a.codes - s0, a.head_dim);
        EACH (j, CODE_ROWS) square[j] = s0 + j < a.codes ? a.square[first + j] : INFINITY;
        sync();
        accumulator_zero(score);
        mma_nt(score, k, code);
        MAP(score, i, j, x, x -= 0.5f * square[j]);
        row_values_maximum(largest, score);
        MAP(candidate, i, j, x, x = PEER(score, i, j) == ROW_VALUE(largest, i) ? -(float)j : -INFINITY);
        row_values_maximum(place, candidate);
        EACH_ROW_VALUE(best, r, i) {
            if (largest[r] > best[r]) {
                best[r] = largest[r];
                index[r] = (float)s0 - place[r];
            }
        }
    }
    EACH_ROW_VALUE(index, r, i) {
        if (row0 + i < a.rows) a.index[(row0 + i) * a.heads + head] = (int32_t)index[r];
    }
}

/* Computes the sum and the number of the keys of each code, over a part of the tokens. Program: codes, head, part. */
CODES_KERNEL(nearest_codes_statistics) {
    TILE(chosen, CODE_TOKENS, CODE_ROWS); /* 1 where the token has the code */
    TILE(k, CODE_TOKENS, HEAD);
    VECTOR(count, CODE_ROWS);
    ACCUMULATOR(sum, CODE_ROWS, HEAD);

    const int s0 = (int)program_x * CODE_ROWS, head = (int)program_y;
    const int64_t part_first = program_z * a.rows_of_part, end = end_of_program(part_first, a.rows, a.rows_of_part);
    accumulator_zero(sum);
    EACH (j, CODE_ROWS) count[j] = 0;
    for (int64_t row0 = part_first; row0 < end; row0 += CODE_TOKENS) {
        const Rows rows = {row0, end - row0};
        sync();
        tile_load_block(k, a.k, a.head_dim, rows, head, 0);
        EACH_PAIR(i, j, CODE_TOKENS, CODE_ROWS)
        PUT(chosen, i, j,
            row0 + i < end && a.index[(row0 + i) * a.heads + head] == s0 + j && a.labels[row0 + i] != PADDING_LABEL
                ? 1.0f
                : 0.0f);
        sync();
        mma_tn(sum, chosen, k);
        EACH (j, CODE_ROWS) {
            for (int i = 0; i < CODE_TOKENS; i++) count[j] += AT(chosen, i, j);
        }
    }
    const int64_t first = (program_z * a.heads + head) * a.codes + s0;
    accumulator_store_f32(sum, a.sums + first * a.head_dim, a.head_dim, a.codes - s0, a.head_dim);
    EACH (j, CODE_ROWS) {
        if (s0 + j < a.codes) a.counts[first + j] = count[j];
    }
}

#undef HEAD
