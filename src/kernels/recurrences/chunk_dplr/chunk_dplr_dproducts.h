/* Included by chunk_dplr_backward.tile.h for each number of WRITERS. */

/* Computes A' and R'; with one writer also beta', and v' = beta R' in place of R'. Program: chunk, sequence and
 * head. */
WRITERS_KERNEL(chunk_dplr_dproducts) {
    enum { TWO = WRITERS == 2 };
    TILE(work, (TWO ? 5 : 4) * ROWS, ROWS);
    SQUARE(T, 0); /* without its diagonal; with one writer M^T, likewise */
    SQUARE(M, 0);
    SQUARE(dO, 1);
    SQUARE(dU, 2);
    SQUARE(u, 3);
    SQUARE(v, TWO ? 4 : 3);
    VECTOR(document, ROWS);
    VECTOR(beta, ROWS);
    VECTOR(dots, ROWS);
    ACCUMULATOR(Aqb, ROWS, ROWS);
    ACCUMULATOR(Aab, ROWS, ROWS);
    ACCUMULATOR(Aqk, ROWS, ROWS);
    ACCUMULATOR(Aak, ROWS, ROWS);
    ACCUMULATOR(dr, ROWS, WIDTH_V);
    ACCUMULATOR(dots_by_entry, ROWS, WIDTH_V); /* v' U, whose sums over the columns come later */
    const int64_t sequence = program_y / a.heads, head = program_y % a.heads;
    const Chunk chunk = chunk_at(a.segment, a.T, ROWS, sequence, program_x);
    rows_documents(document, a.segment, chunk.rows);
    EACH (i, ROWS) beta[i] = beta_of_row(&a, chunk.rows, head, i);
    tile_load(T, products_at(&a, TWO ? a.inverse : a.solve, sequence, program_x, head), ROWS, ROWS, ROWS);
    accumulator_zero(Aqb);
    accumulator_zero(Aab);
    if (TWO) {
        accumulator_zero(Aqk);
        accumulator_zero(Aak);
    } else {
        accumulator_zero(dots_by_entry);
    }
    for (int64_t block = 0; block * WIDTH_V < a.V; block++) {
        tile_load_block(dO, a.do_, a.V, chunk.rows, head, block);
        tile_load_block(dU, a.du, a.V, chunk.rows, head, block);
        tile_load_block(u, a.u, a.V, chunk.rows, head, block);
        if (TWO) tile_load_block(v, a.v, a.V, chunk.rows, head, block);
        sync();
        MAP(dr, i, j, x, x = (TWO ? 1.0f : beta[i]) * AT(dU, i, j));
        if (TWO) mma_tn(dr, T, dU);
        if (!TWO) {
            mma_nn(dr, M, dU);
            MAP(dots_by_entry, i, j, x, x += PEER(dr, i, j) * AT(u, i, j));
        }
        accumulator_store_block(dr, a.dr, a.V, chunk.rows, head, block);
        mma_nt(Aqb, dO, u);
        accumulator_mma_nt(Aab, dr, u);
        if (TWO) {
            mma_nt(Aqk, dO, v);
            accumulator_mma_nt(Aak, dr, v);
        }
        sync();
    }
    MAP(Aqb, i, j, x, x = (j <= i) & (document[i] == document[j]) ? a.scale * x : 0.0f);
    MAP(Aab, i, j, x, x = (j < i) & (document[i] == document[j]) ? (TWO ? x : -x) : 0.0f);
    accumulator_store(Aqb, products_at(&a, a.dproducts[0], sequence, program_x, head), ROWS, ROWS, ROWS);
    accumulator_store(Aab, products_at(&a, a.dproducts[1], sequence, program_x, head), ROWS, ROWS, ROWS);
    if (TWO) {
        MAP(Aqk, i, j, x, x = (j <= i) & (document[i] == document[j]) ? a.scale * x : 0.0f);
        MAP(Aak, i, j, x, x = (j < i) & (document[i] == document[j]) ? x : 0.0f);
        accumulator_store(Aqk, products_at(&a, a.dproducts[2], sequence, program_x, head), ROWS, ROWS, ROWS);
        accumulator_store(Aak, products_at(&a, a.dproducts[3], sequence, program_x, head), ROWS, ROWS, ROWS);
    } else {
        row_sum(dots, dots_by_entry);
        sync();
        EACH (i, chunk.rows.count) {
            const int64_t at = (chunk.rows.first + i) * a.beta_stride + head;
            a.dbeta[at] = fabsf(beta[i]) > SMALLEST_BETA ? divide_f(dots[i], beta[i] * beta[i]) : 0.0f;
        }
    }
}

#undef WRITERS
