/* Included for each number of WRITERS. */
#include "kernels/triangular_inverse.h"

/* A += the products inside the quarters of a steep block, with the decay over the rows after j up to i - lag. */
#define ADD_STEEP(A, x, y, lag)                                                                                        \
    do {                                                                                                               \
        for (int apart = 1; apart < QUARTER; apart++) {                                                                \
            MAP(product, j, d, p, {                                                                                    \
                p = 0;                                                                                                 \
                if (j % QUARTER + apart < QUARTER) {                                                                   \
                    p = apart > 1 ? ENTRY(from_row, j, d) : AT(y, j, d);                                               \
                    if (apart > (lag)) p *= DECAY(ENTRY(g, j + apart - (lag), d));                                     \
                    ENTRY(from_row, j, d) = p;                                                                         \
                    p *= AT(x, j + apart, d);                                                                          \
                }                                                                                                      \
            });                                                                                                        \
            row_sum((&ENTRY(band, apart, 0)), product);                                                                \
        }                                                                                                              \
        sync();                                                                                                        \
        MAP(A, i, j, p, if (i / QUARTER == j / QUARTER && i > j) p += ENTRY(band, i - j, j));                          \
        sync();                                                                                                        \
    } while (0)

/* dots[i] = q_i y_i, without decay. */
#define DOTS_OF_ROWS(dots, y)                                                                                          \
    do {                                                                                                               \
        MAP(product, i, d, p, p = AT(q, i, d) * AT(y, i, d));                                                          \
        row_sum(dots, product);                                                                                        \
    } while (0)
/* A = scale A within documents, with the given diagonal. Stores it in `to`. */
#define STORE_OF_QUERIES(A, diagonal, to)                                                                              \
    do {                                                                                                               \
        MAP(A, i, j, x, {                                                                                              \
            const float on_diagonal_ = diagonal[i], entry_ = j < i ? x : on_diagonal_;                                 \
            x = (j <= i) & (document[i] == document[j]) ? a.scale * entry_ : 0.0f;                                     \
        });                                                                                                            \
        accumulator_store(A, products_at(&a, to, sequence, program_x, head), ROWS, ROWS, ROWS);                        \
    } while (0)

/* The steps of chunk_dplr_products, which use its names. First, if the block is steep, the products inside quarters. */
#define add_steep_products()                                                                                           \
    do {                                                                                                               \
        ADD_STEEP(Aqb, q, b, 0);                                                                                       \
        ADD_STEEP(Aab, a_row, b, LAG);                                                                                 \
        if (TWO) {                                                                                                     \
            ADD_STEEP(Aqk, q, k, 0);                                                                                   \
            ADD_STEEP(Aak, a_row, k, LAG);                                                                             \
        }                                                                                                              \
        DECAYS_OF_ROWS(to_row, from_row, sums, g);                                                                     \
    } while (0)
/* Decays q and a from the start of their quarter, and to q~ and a~ from that of the chunk. */
#define decay_readers()                                                                                                \
    do {                                                                                                               \
        EACH_ROW_VECTOR(row, d, ROWS, WIDTH_K) {                                                                       \
            const float sees = document[row] == before_document ? 1.0f : 0.0f;                                         \
            READ_MATRIX(decay, to_row, row, d);                                                                        \
            READ_MATRIX(decay_before, to_row, row % QUARTER && TWO ? row - 1 : row, d);                                \
            READ_TILE(query, q, row, d);                                                                               \
            READ_TILE(reader, a_row, row, d);                                                                          \
            EACH_LANE(e) {                                                                                             \
                query[e] *= decay[e];                                                                                  \
                reader[e] *= TWO && row % QUARTER == 0 ? 1.0f : decay_before[e];                                       \
            }                                                                                                          \
            WRITE_READER(query, row, d, before, inside, q_near, q_half, q, sees *a.scale);                             \
            WRITE_READER(reader, row, d, before, inside, a_near, a_half, a_out, TWO ? sees : -beta[row] * sees);       \
        }                                                                                                              \
    } while (0)
/* Decays b and k to the start of their quarter, or to its end if the block is steep, and to b~ and k~ to the end of the
 * chunk. */
#define decay_writers()                                                                                                \
    do {                                                                                                               \
        if (steep) {                                                                                                   \
            sync();                                                                                                    \
            SUM_GATES_AFTER(g, row, d, sum, ENTRY(from_row, row, d) = DECAY(sum));                                     \
            sync();                                                                                                    \
        }                                                                                                              \
        EACH_ROW_VECTOR(row, d, ROWS, WIDTH_K) {                                                                       \
            const float enters = document[row] == last_document ? 1.0f : 0.0f;                                         \
            READ_MATRIX(factor, from_row, row, d);                                                                     \
            READ_TILE(b_row, b, row, d);                                                                               \
            READ_TILE(k_row, k, row, d);                                                                               \
            WRITE_WRITER(b_row, row, d, factor, steep, inside, after, b_start, b_ahead, b, enters);                    \
            if (TWO) WRITE_WRITER(k_row, row, d, factor, steep, inside, after, k_start, k_ahead, k, enters);           \
        }                                                                                                              \
    } while (0)
/* Adds the products of rows of different quarters and, if the block is not steep, of the same one. */
#define add_products()                                                                                                 \
    do {                                                                                                               \
        ADD_QUARTER_PRODUCTS(Aqb, q_near, q_half, b_start, b_ahead, steep);                                            \
        ADD_QUARTER_PRODUCTS(Aab, a_near, a_half, b_start, b_ahead, steep);                                            \
        if (TWO) {                                                                                                     \
            ADD_QUARTER_PRODUCTS(Aqk, q_near, q_half, k_start, k_ahead, steep);                                        \
            ADD_QUARTER_PRODUCTS(Aak, a_near, a_half, k_start, k_ahead, steep);                                        \
        }                                                                                                              \
    } while (0)
/* Computes and stores T and M. */
#define store_inverse()                                                                                                \
    do {                                                                                                               \
        triangular_inverse(inverse, lower);                                                                            \
        EACH_ROW_VECTOR(i, j, ROWS, ROWS) {                                                                            \
            READ_MATRIX(x, inverse, i, j);                                                                             \
            EACH_LANE(e) x[e] = i == j + e ? 0.0f : x[e];                                                              \
            WRITE_TILE(T, i, j, x);                                                                                    \
            if (!TWO) {                                                                                                \
                EACH_LANE(e) x[e] = i == j + e ? 0.0f : beta[i] * ENTRY(inverse, j + e, i);                            \
                WRITE_TILE(M, i, j, x);                                                                                \
            }                                                                                                          \
        }                                                                                                              \
        sync();                                                                                                        \
        if (TWO) {                                                                                                     \
            tile_store(T, products_at(&a, a.inverse, sequence, program_x, head), ROWS, ROWS, ROWS);                    \
            mma_nn(Aak, T, overlaps);                                                                                  \
            MAP(Aak, i, j, x, PUT(M, j, i, x));                                                                        \
            sync();                                                                                                    \
        }                                                                                                              \
        tile_store(M, products_at(&a, a.solve, sequence, program_x, head), ROWS, ROWS, ROWS);                          \
    } while (0)
/* Computes W = T a~ and stores it in place of a~. */
#define store_W()                                                                                                      \
    do {                                                                                                               \
        for (int64_t block = 0; block * ROWS < a.K; block++) {                                                         \
            tile_load_block(operand, a.a_decayed, a.K, chunk.rows, head, block);                                       \
            sync();                                                                                                    \
            MAP(result, i, d, x, x = AT(operand, i, d));                                                               \
            mma_nn(result, T, operand);                                                                                \
            accumulator_store_block(result, a.a_decayed, a.K, chunk.rows, head, block);                                \
            sync();                                                                                                    \
        }                                                                                                              \
    } while (0)

/* Computes the products A, T and M, the decayed q, b and k, and W. Program: chunk, sequence and head. */
WRITERS_KERNEL(chunk_dplr_products) {
    enum { TWO = WRITERS == 2, LAG = TWO };
    TILE(work, (TWO ? 6 : 4) * ROWS, ROWS);
    HALF_SQUARE(q, 0);      /* q, then q~ */
    HALF_SQUARE(b, 1);      /* b, then b~ */
    HALF_SQUARE(a_out, 2);  /* a~ */
    HALF_SQUARE(q_near, 3); /* q decayed from the start of its quarter */
    HALF_SQUARE(a_near, 4);
    HALF_SQUARE(b_start, 5); /* b e^(-P) */
    HALF_SQUARE(b_ahead, 6);
    HALF_SQUARE(halves, 7);      /* q and a of the last quarter, decayed from the middle of the chunk */
    HALF_SQUARE(k, TWO ? 8 : 1); /* k, like b */
    HALF_SQUARE(k_start, TWO ? 9 : 5);
    HALF_SQUARE(k_ahead, TWO ? 10 : 6);
    HALF_SQUARE(a_row, TWO ? 2 : 1); /* a */
    TILE_VIEW(q_half, halves, 0, 0, QUARTER, WIDTH_K);
    TILE_VIEW(a_half, halves, QUARTER, 0, QUARTER, WIDTH_K);
    SQUARE(T, 0);                /* without its diagonal, so that it is not rounded */
    SQUARE(M, 1);                /* M^T */
    SQUARE(operand, 2);          /* a~ */
    SQUARE(overlaps, 3);         /* Aak */
    MATRIX(lower, ROWS, ROWS);   /* -Aab */
    MATRIX(inverse, ROWS, ROWS); /* T */
    MATRIX_VIEW(g, lower, 0, 0, ROWS, WIDTH_K);
    MATRIX_VIEW(from_row, lower, 0, WIDTH_K, ROWS, WIDTH_K); /* e^(-P); if steep, the decay after the row */
    MATRIX_VIEW(to_row, inverse, 0, 0, ROWS, WIDTH_K);       /* e^P */
    MATRIX_VIEW(band, inverse, 0, 0, QUARTER, ROWS);         /* entry (n, j): the product of rows j + n and j */
    MATRIX(sums, CHUNK_QUARTERS, WIDTH_K);
    MATRIX(inside, CHUNK_QUARTERS,
           WIDTH_K); /* e^(sum over the quarter); below over the quarters before it, and after it */
    MATRIX(before, CHUNK_QUARTERS, WIDTH_K);
    MATRIX(after, CHUNK_QUARTERS, WIDTH_K);
    VECTOR(document, ROWS);
    VECTOR(beta, ROWS);
    VECTOR(diagonal_b, ROWS); /* the diagonals of Aqb and Aqk, from undecayed q, b and k */
    VECTOR(diagonal_k, ROWS);
    VECTOR(dots_b, ROWS);
    VECTOR(dots_k, ROWS);
    ACCUMULATOR(Aqb, ROWS, ROWS);
    ACCUMULATOR(Aab, ROWS, ROWS);
    ACCUMULATOR(Aqk, ROWS, ROWS);
    ACCUMULATOR(Aak, ROWS, ROWS);    /* Aak, then M */
    ACCUMULATOR(result, ROWS, ROWS); /* W */
    ACCUMULATOR(product, ROWS, WIDTH_K);
    const int64_t sequence = program_y / a.heads, head = program_y % a.heads;
    const Chunk chunk = chunk_at(a.segment, a.T, ROWS, sequence, program_x);
    const float stays = chunk.before == chunk.last ? 1.0f : 0.0f;
    const float before_document = (float)(chunk.before - a.segment[chunk.rows.first]);
    const float last_document = (float)(chunk.last - a.segment[chunk.rows.first]);
    rows_documents(document, a.segment, chunk.rows);
    EACH (i, ROWS) {
        diagonal_b[i] = 0;
        diagonal_k[i] = 0;
        beta[i] = beta_of_row(&a, chunk.rows, head, i);
        if (!TWO) betas_at(&a, sequence, program_x, head)[i] = beta[i];
    }
    accumulator_zero(Aqb);
    accumulator_zero(Aab);
    if (TWO) {
        accumulator_zero(Aqk);
        accumulator_zero(Aak);
    }
    for (int64_t block = 0; block * WIDTH_K < a.K; block++) {
        const int64_t cols = a.K - block * WIDTH_K;
        tile_load_block(q, a.q, a.K, chunk.rows, head, block);
        tile_load_block(k, a.k, a.K, chunk.rows, head, block);
        if (TWO) {
            tile_load_block(a_row, a.a, a.K, chunk.rows, head, block);
            tile_load_block(b, a.b, a.K, chunk.rows, head, block);
        }
        matrix_load_block(g, a.g, a.K, chunk.rows, head, block);
        sync();
        DOTS_OF_ROWS(dots_b, b);
        if (TWO) DOTS_OF_ROWS(dots_k, k);
        DECAYS_OF_ROWS(to_row, from_row, sums, g);
        sync();
        EACH (i, ROWS) {
            diagonal_b[i] += dots_b[i];
            if (TWO) diagonal_k[i] += dots_k[i];
        }
        float steepest = 0;
        MAXIMUM(steepest, e, CHUNK_QUARTERS * WIDTH_K, -sums[e]);
        const bool steep = steepest > GATE_LIMIT;
        if (steep) add_steep_products();
        DECAYS_OF_QUARTERS(inside, before, after, sums);
        sync();
        decay_readers();
        decay_writers();
        float *decay = decay_at(&a, sequence, program_x, head, block * WIDTH_K);
        EACH (d, WIDTH_K)
            if (d < cols) decay[d] = stays * DECAY(SUM_ALL(sums, d));
        sync();
        add_products();
        tile_store_block(q, a.q_decayed, a.K, chunk.rows, head, block);
        tile_store_block(a_out, a.a_decayed, a.K, chunk.rows, head, block);
        tile_store_block(b, a.b_decayed, a.K, chunk.rows, head, block);
        if (TWO) tile_store_block(k, a.k_decayed, a.K, chunk.rows, head, block);
        sync();
    }
    STORE_OF_QUERIES(Aqb, diagonal_b, a.products[0]);
    MAP(Aab, i, j, x, ENTRY(lower, i, j) = (j < i) & (document[i] == document[j]) ? (TWO ? -x : beta[i] * x) : 0.0f);
    if (TWO) {
        STORE_OF_QUERIES(Aqk, diagonal_k, a.products[1]);
        MAP_INTO(overlaps, Aak, i, j, x, x = (j < i) & (document[i] == document[j]) ? x : 0.0f);
    }
    store_inverse();
    store_W();
}
