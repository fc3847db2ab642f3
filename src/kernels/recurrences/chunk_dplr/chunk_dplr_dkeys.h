/* Included for each number of WRITERS. */

/* Adds the products past quarter c; see DECAY_BELOW in vector_gates.h. */
#define PASS_DOWN(dx, dAb, dAk, c)                                                                                     \
    do {                                                                                                               \
        if (steep) DECAY_BELOW(dx, inside, c);                                                                         \
        ADD_BELOW(dx, dAb, b_near, c);                                                                                 \
        if (TWO) ADD_BELOW(dx, dAk, k_near, c);                                                                        \
        if (!steep) DECAY_BELOW(dx, inside, c);                                                                        \
    } while (0)
#define PASS_UP(dy, dAq, dAa, c)                                                                                       \
    do {                                                                                                               \
        DECAY_ABOVE(dy, inside, c);                                                                                    \
        ADD_ABOVE(dy, dAq, q_near, c);                                                                                 \
        ADD_ABOVE(dy, dAa, a_near, c);                                                                                 \
    } while (0)
/* The same inside the quarters of a steep block, for the pairs of rows at the distance `apart`, given the decay between
 * them; also adds the gradient of g. */
#define STEEP_PAIRS(dx, dgx, dy, dA, x, y)                                                                             \
    do {                                                                                                               \
        MAP(dx, i, d, gradient, {                                                                                      \
            if (i % QUARTER >= apart) {                                                                                \
                const float part = AT(dA, i, i - apart) * AT(y, i - apart, d) * ENTRY(P, i - apart, d);                \
                gradient += part;                                                                                      \
                PEER(dgx, i, d) += AT(x, i, d) * part;                                                                 \
            }                                                                                                          \
        });                                                                                                            \
        MAP(dy, j, d, gradient, {                                                                                      \
            if (j % QUARTER + apart < QUARTER) {                                                                       \
                const float part = AT(dA, j + apart, j) * AT(x, j + apart, d) * ENTRY(P, j, d);                        \
                gradient += part;                                                                                      \
                PEER(dg, j, d) -= AT(y, j, d) * part;                                                                  \
            }                                                                                                          \
        });                                                                                                            \
    } while (0)
#define STORE_GRADIENT(accumulator, heads) accumulator_store_block(accumulator, heads, a.K, chunk.rows, head, program_x)

/* The steps of chunk_dplr_dkeys, which use its names. First the state's parts of the gradients and of the sum of S
 * S_next': q~' = o' S^T, a~' = R' S^T, b~' = U S_next'^T, k~' = v S_next'^T. */
#define add_state_products()                                                                                           \
    do {                                                                                                               \
        for (int64_t block = 0; block * WIDTH_V < a.V; block++) {                                                      \
            const int64_t first_v = block * WIDTH_V;                                                                   \
            tile_load_block(dO, a.do_, a.V, chunk.rows, head, block);                                                  \
            tile_load_block(dR, a.dr, a.V, chunk.rows, head, block);                                                   \
            tile_load_block(u, a.u, a.V, chunk.rows, head, block);                                                     \
            tile_load(S, state + first_v * a.K, a.K, a.V - first_v, cols);                                             \
            tile_load(dS, dstate + first_v * a.K, a.K, a.V - first_v, cols);                                           \
            if (TWO) tile_load_block(v, a.v, a.V, chunk.rows, head, block);                                            \
            sync();                                                                                                    \
            mma_nn(dq, dO, S);                                                                                         \
            mma_nn(da, dR, S);                                                                                         \
            mma_nn(db, u, dS);                                                                                         \
            if (TWO) mma_nn(dk, v, dS);                                                                                \
            BLOCK_WALK(sum, 0.0f, n, CHUNK_QUARTERS, d, WIDTH_K, i, QUARTER,                                           \
                       sum += AT(S, n * QUARTER + i, d) * AT(dS, n * QUARTER + i, d);                                  \
                       if (i == QUARTER - 1) ENTRY(through, n, d) += sum);                                             \
            sync();                                                                                                    \
        }                                                                                                              \
    } while (0)
/* Loads q, a, b, k and A' and takes the diagonals out of Aqb' and Aqk'. */
#define load_inside()                                                                                                  \
    do {                                                                                                               \
        tile_load_block(q, a.q, a.K, chunk.rows, head, program_x);                                                     \
        tile_load_block(k, a.k, a.K, chunk.rows, head, program_x);                                                     \
        tile_load(dAqb, products_at(&a, a.dproducts[0], sequence, program_y, head), ROWS, ROWS, ROWS);                 \
        tile_load(dAab, products_at(&a, a.dproducts[1], sequence, program_y, head), ROWS, ROWS, ROWS);                 \
        if (TWO) {                                                                                                     \
            tile_load_block(a_row, a.a, a.K, chunk.rows, head, program_x);                                             \
            tile_load_block(b, a.b, a.K, chunk.rows, head, program_x);                                                 \
            tile_load(dAqk, products_at(&a, a.dproducts[2], sequence, program_y, head), ROWS, ROWS, ROWS);             \
            tile_load(dAak, products_at(&a, a.dproducts[3], sequence, program_y, head), ROWS, ROWS, ROWS);             \
        }                                                                                                              \
        matrix_load_block(g, a.g, a.K, chunk.rows, head, program_x);                                                   \
        sync();                                                                                                        \
        EACH (i, ROWS) {                                                                                               \
            diagonal_b[i] = AT(dAqb, i, i);                                                                            \
            diagonal_k[i] = TWO ? AT(dAqk, i, i) : 0.0f;                                                               \
            PUT(dAqb, i, i, 0.0f);                                                                                     \
            if (TWO) PUT(dAqk, i, i, 0.0f);                                                                            \
        }                                                                                                              \
    } while (0)
/* Decays q and a from the start of their quarter, and b and k to it, or to its end if the block is steep. */
#define decay_operands()                                                                                               \
    do {                                                                                                               \
        DECAYS_TO_END(inside, to_end, sums, steep);                                                                    \
        EACH_ROW_VECTOR(row, d, ROWS, WIDTH_K) {                                                                       \
            READ_MATRIX(sum, P, row, d);                                                                               \
            READ_MATRIX(sum_before, P, row % QUARTER && TWO ? row - 1 : row, d);                                       \
            READ_TILE(query, q, row, d);                                                                               \
            READ_TILE(reader, a_row, row, d);                                                                          \
            EACH_LANE(e) {                                                                                             \
                const float factor = DECAY(sum[e]);                                                                    \
                query[e] *= factor;                                                                                    \
                reader[e] *= !TWO ? factor : row % QUARTER ? DECAY(sum_before[e]) : 1.0f;                              \
            }                                                                                                          \
            WRITE_TILE(q_near, row, d, query);                                                                         \
            WRITE_TILE(a_near, row, d, reader);                                                                        \
        }                                                                                                              \
        if (steep) {                                                                                                   \
            sync();                                                                                                    \
            SUM_GATES_AFTER(g, row, d, sum, ENTRY(P, row, d) = -sum);                                                  \
            sync();                                                                                                    \
        }                                                                                                              \
        EACH_ROW_VECTOR(row, d, ROWS, WIDTH_K) {                                                                       \
            READ_MATRIX(sum, P, row, d);                                                                               \
            READ_TILE(b_row, b, row, d);                                                                               \
            READ_TILE(k_row, k, row, d);                                                                               \
            EACH_LANE(e) {                                                                                             \
                const float factor = DECAY(-sum[e]);                                                                   \
                b_row[e] *= factor;                                                                                    \
                k_row[e] *= factor;                                                                                    \
            }                                                                                                          \
            WRITE_TILE(b_near, row, d, b_row);                                                                         \
            if (TWO) WRITE_TILE(k_near, row, d, k_row);                                                                \
        }                                                                                                              \
        sync();                                                                                                        \
    } while (0)
/* Masks the state's parts by documents, and sums b and k times those of b' and k' for g'. */
#define mask_state_products()                                                                                          \
    do {                                                                                                               \
        MAP(db, j, d, x, x *= enters[j]; PEER(product, j, d) = AT(b_near, j, d) * x * ENTRY(to_end, j / QUARTER, d));  \
        if (TWO)                                                                                                       \
            MAP(dk, j, d, x, x *= enters[j];                                                                           \
                PEER(product, j, d) += AT(k_near, j, d) * x * ENTRY(to_end, j / QUARTER, d));                          \
        column_sums(carried, product);                                                                                 \
        MAP(dq, i, d, x, x *= a.scale * sees[i]);                                                                      \
        MAP(da, i, d, x, x *= TWO ? sees[i] : -sees[i]);                                                               \
    } while (0)
/* Adds the products inside the chunk: A' and A'^T times the decayed operands. */
#define add_inside_products()                                                                                          \
    do {                                                                                                               \
        PASS_DOWN(dq, dAqb, dAqk, 0);                                                                                  \
        PASS_DOWN(dq, dAqb, dAqk, 1);                                                                                  \
        PASS_DOWN(dq, dAqb, dAqk, 2);                                                                                  \
        PASS_DOWN(da, dAab, dAak, 0);                                                                                  \
        PASS_DOWN(da, dAab, dAak, 1);                                                                                  \
        PASS_DOWN(da, dAab, dAak, 2);                                                                                  \
        PASS_UP(db, dAqb, dAab, 3);                                                                                    \
        PASS_UP(db, dAqb, dAab, 2);                                                                                    \
        PASS_UP(db, dAqb, dAab, 1);                                                                                    \
        if (TWO) {                                                                                                     \
            PASS_UP(dk, dAqk, dAak, 3);                                                                                \
            PASS_UP(dk, dAqk, dAak, 2);                                                                                \
            PASS_UP(dk, dAqk, dAak, 1);                                                                                \
        }                                                                                                              \
        if (!steep) {                                                                                                  \
            MAP(db, j, d, x, x *= ENTRY(inside, j / QUARTER, d));                                                      \
            ADD_INSIDE(dq, db, dAqb, q_near, b_near);                                                                  \
            ADD_INSIDE(da, db, dAab, a_near, b_near);                                                                  \
            if (TWO) {                                                                                                 \
                MAP(dk, j, d, x, x *= ENTRY(inside, j / QUARTER, d));                                                  \
                ADD_INSIDE(dq, dk, dAqk, q_near, k_near);                                                              \
                ADD_INSIDE(da, dk, dAak, a_near, k_near);                                                              \
            }                                                                                                          \
        }                                                                                                              \
    } while (0)
/* dg = q q' - b b' - k k', and a a'. Uses the operands of the products, so that the pairs of rows that cancel do so to
 * the last bit. */
#define start_gate_gradient()                                                                                          \
    do {                                                                                                               \
        MAP(dg, i, d, x, x = AT(q_near, i, d) * PEER(dq, i, d) - AT(b_near, i, d) * PEER(db, i, d));                   \
        if (TWO) {                                                                                                     \
            MAP(dg, i, d, x, x -= AT(k_near, i, d) * PEER(dk, i, d));                                                  \
            MAP(dg_before, i, d, x, x = AT(a_near, i, d) * PEER(da, i, d));                                            \
        } else {                                                                                                       \
            MAP(dg, i, d, x, x += AT(a_near, i, d) * PEER(da, i, d));                                                  \
        }                                                                                                              \
    } while (0)
/* Turns the gradients of the decayed operands into those of q, a, b and k. */
#define decay_gradients()                                                                                              \
    do {                                                                                                               \
        MAP(db, j, d, x, x *= DECAY(-ENTRY(P, j, d)));                                                                 \
        if (TWO) MAP(dk, j, d, x, x *= DECAY(-ENTRY(P, j, d)));                                                        \
        if (steep) {                                                                                                   \
            sync();                                                                                                    \
            SUM_GATES(sums, g, row, d, sum, ENTRY(P, row, d) = sum);                                                   \
            sync();                                                                                                    \
        }                                                                                                              \
        MAP(dq, i, d, x, x *= DECAY(ENTRY(P, i, d)));                                                                  \
        if (TWO) MAP(da, i, d, x, x *= i % QUARTER ? DECAY(ENTRY(P, i - 1, d)) : 1.0f);                                \
        if (!TWO) MAP(da, i, d, x, x *= DECAY(ENTRY(P, i, d)));                                                        \
        sync();                                                                                                        \
    } while (0)
/* Adds the pairs of rows inside the quarters of a steep block. */
#define add_steep_pairs()                                                                                              \
    do {                                                                                                               \
        MAP(product, j, d, x, ENTRY(P, j, d) = 1);                                                                     \
        sync();                                                                                                        \
        for (int apart = 1; apart < QUARTER; apart++) {                                                                \
            if (TWO) { /* a reads the state before its own row's decay */                                              \
                STEEP_PAIRS(da, dg_before, db, dAab, a_row, b);                                                        \
                STEEP_PAIRS(da, dg_before, dk, dAak, a_row, k);                                                        \
                sync();                                                                                                \
            }                                                                                                          \
            MAP(product, j, d, x,                                                                                      \
                ENTRY(P, j, d) *= j % QUARTER + apart < QUARTER ? DECAY(ENTRY(g, j + apart, d)) : 0.0f);               \
            sync();                                                                                                    \
            STEEP_PAIRS(dq, dg, db, dAqb, q, b);                                                                       \
            if (TWO) STEEP_PAIRS(dq, dg, dk, dAqk, q, k);                                                              \
            if (!TWO) STEEP_PAIRS(da, dg, db, dAab, a_row, b);                                                         \
            if (!TWO) sync();                                                                                          \
        }                                                                                                              \
        sync();                                                                                                        \
    } while (0)
/* Adds the diagonals of Aqb' and Aqk', and stores all gradients but that of g. */
#define store_gradients()                                                                                              \
    do {                                                                                                               \
        MAP(dq, i, d, x, x += diagonal_b[i] * AT(b, i, d));                                                            \
        MAP(db, j, d, x, x += diagonal_b[j] * AT(q, j, d));                                                            \
        MAP(dg, i, d, x, ENTRY(g, i, d) = x);                                                                          \
        if (TWO) {                                                                                                     \
            MAP(dq, i, d, x, x += diagonal_k[i] * AT(k, i, d));                                                        \
            MAP(dk, j, d, x, x += diagonal_k[j] * AT(q, j, d));                                                        \
            MAP(dg_before, i, d, x, ENTRY(P, i, d) = x);                                                               \
            STORE_GRADIENT(da, a.da);                                                                                  \
            STORE_GRADIENT(db, a.db);                                                                                  \
            STORE_GRADIENT(dk, a.dk);                                                                                  \
        } else {                                                                                                       \
            accumulator_add(db, da);                                                                                   \
            STORE_GRADIENT(db, a.dk);                                                                                  \
        }                                                                                                              \
        STORE_GRADIENT(dq, a.dq);                                                                                      \
    } while (0)
/* g'_t = the sum of dg over the rows from t on, and the state's part. */
#define sum_gate_gradient()                                                                                            \
    do {                                                                                                               \
        BLOCK_WALK(sum, 0.0f, n, CHUNK_QUARTERS, d, WIDTH_K, i, QUARTER,                                               \
                   const int row = n * QUARTER + QUARTER - 1 - i;                                                      \
                   sum += ENTRY(g, row, d); ENTRY(g, row, d) = sum; if (TWO) sum += ENTRY(P, row, d);                  \
                   if (i == QUARTER - 1) ENTRY(sums, n, d) = sum);                                                     \
        sync();                                                                                                        \
        BLOCK_WALK(rest, 0.0f, n, CHUNK_QUARTERS, d, WIDTH_K, i, QUARTER,                                              \
                   if (i == 0) rest = SUM_AFTER(sums, n, d) + SUM_ALL(carried, d) +                                    \
                                      (d < cols ? decay[d] : 0.0f) * SUM_ALL(through, d);                              \
                   ENTRY(g, n * QUARTER + i, d) += rest);                                                              \
    } while (0)

/* Computes the gradients of q, a, b, k and g. Program: block of K, chunk, sequence and head. */
WRITERS_KERNEL(chunk_dplr_dkeys) {
    enum { TWO = WRITERS == 2 };
    TILE(work, (TWO ? 8 : 5) * ROWS, ROWS);
    PADDED_MATRIX(g, ROWS, WIDTH_K); /* g, in the end its gradient */
    PADDED_MATRIX(P, ROWS, WIDTH_K); /* P, in the end what the gradient of g of earlier rows also gets */
    MATRIX(sums, CHUNK_QUARTERS, WIDTH_K);
    MATRIX(inside, CHUNK_QUARTERS, WIDTH_K);  /* e^(sum over the quarter) */
    MATRIX(to_end, CHUNK_QUARTERS, WIDTH_K);  /* e^(sum of the gates from the row to which b_near is decayed) */
    MATRIX(carried, CHUNK_QUARTERS, WIDTH_K); /* the sums over the quarter of b and k (the state's part of b' and k') */
    MATRIX(through, CHUNK_QUARTERS, WIDTH_K); /* parts of the sum of S S_next' */
    VECTOR(sees, ROWS);
    VECTOR(enters, ROWS);
    VECTOR(diagonal_b, ROWS);
    VECTOR(diagonal_k, ROWS);
    ACCUMULATOR(dq, ROWS, WIDTH_K);
    ACCUMULATOR(da, ROWS, WIDTH_K);
    ACCUMULATOR(db, ROWS, WIDTH_K);
    ACCUMULATOR(dk, ROWS, WIDTH_K);
    ACCUMULATOR(dg, ROWS, WIDTH_K); /* sum of q q' - b b' - k k' (and a a'), without the terms i = j, which cancel */
    ACCUMULATOR(dg_before, ROWS, WIDTH_K); /* a a', which goes to the gates of the rows before */
    ACCUMULATOR(product, ROWS, WIDTH_K);
    /* First, products with the states, */
    SQUARE(dO, 0);
    SQUARE(dR, 1);
    SQUARE(u, 2);
    HALF_SQUARE(S, 6);
    HALF_SQUARE(dS, 7);
    SQUARE(v, TWO ? 4 : 2);
    /* then products inside the chunk. */
    HALF_SQUARE(q_near, 0); /* q e^P */
    HALF_SQUARE(a_near, 1);
    HALF_SQUARE(b_near, 2); /* b e^(-P); if steep, b decayed to the end of its quarter */
    HALF_SQUARE(k_near, TWO ? 3 : 2);
    HALF_SQUARE(q, 4);
    HALF_SQUARE(b, 5);
    HALF_SQUARE(k, TWO ? 6 : 5);
    HALF_SQUARE(a_row, TWO ? 7 : 5);
    SQUARE(dAqb, TWO ? 4 : 3);
    SQUARE(dAab, TWO ? 5 : 4);
    SQUARE(dAqk, TWO ? 6 : 3);
    SQUARE(dAak, TWO ? 7 : 4);
    const int64_t sequence = program_z / a.heads, head = program_z % a.heads, cols = a.K - program_x * WIDTH_K;
    const Chunk chunk = chunk_at(a.segment, a.T, ROWS, sequence, program_y);
    const element *state = state_at(&a, a.state, sequence, program_y, head, 0, program_x * WIDTH_K);
    const element *dstate = state_at(&a, a.dstate, sequence, program_y, head, 0, program_x * WIDTH_K);
    const float *decay = decay_at(&a, sequence, program_y, head, program_x * WIDTH_K);
    rows_of_document(sees, a.segment, chunk.rows, chunk.before);
    rows_of_document(enters, a.segment, chunk.rows, chunk.last);
    EACH_PAIR(n, d, CHUNK_QUARTERS, WIDTH_K) ENTRY(through, n, d) = 0;
    accumulator_zero(dq);
    accumulator_zero(da);
    accumulator_zero(db);
    if (TWO) accumulator_zero(dk);
    add_state_products();
    load_inside();
    SUM_GATES(sums, g, row, d, sum, ENTRY(P, row, d) = sum);
    sync();
    float steepest = 0;
    MAXIMUM(steepest, e, CHUNK_QUARTERS * WIDTH_K, -sums[e]);
    const bool steep = steepest > GATE_LIMIT;
    decay_operands();
    mask_state_products();
    add_inside_products();
    start_gate_gradient();
    decay_gradients();
    if (steep) add_steep_pairs();
    store_gradients();
    sync();
    sum_gate_gradient();
    sync();
    matrix_store_block(g, a.dg, a.K, chunk.rows, head, program_x);
}
