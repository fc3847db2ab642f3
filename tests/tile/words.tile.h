/* One small kernel per word of the tile language. */
#include "tile/tile.h"
#include "tile/words.h"

#define DUMP(tile, to)                                                                                                 \
    EACH (e, tile##_rows * tile##_cols) (to)[e] = AT(tile, (int)e / tile##_cols, (int)e % tile##_cols)

KERNEL(words_load, WordsArguments) {
    TILE(tile, 32, 48);
    tile_load(tile, (const element *)a.a, a.stride, a.rows, a.cols);
    sync();
    DUMP(tile, a.out_f32);
}

KERNEL(words_load_f32, WordsArguments) {
    TILE(tile, 32, 48);
    tile_load_f32(tile, a.f, a.stride, a.rows, a.cols);
    sync();
    DUMP(tile, a.out_f32);
}

KERNEL(words_load_unaligned, WordsArguments) {
    TILE(tile, 32, 48);
    tile_load(tile, (const element *)a.a + 1, a.stride, a.rows, a.cols);
    sync();
    DUMP(tile, a.out_f32);
}

KERNEL(words_load_f32_unaligned, WordsArguments) {
    TILE(tile, 32, 48);
    tile_load_f32(tile, a.f + 1, a.stride, a.rows, a.cols);
    sync();
    DUMP(tile, a.out_f32);
}

/* Twice the entries. */
KERNEL(words_matrix, WordsArguments) {
    MATRIX(twice, 32, 48);
    matrix_load(twice, a.f, a.stride, a.rows, a.cols);
    sync();
    EACH_ENTRY(twice, i, j, x, x *= i + 2 * j < 0 ? 1 : 2);
    sync();
    EACH (e, 32 * 48) a.out_f32[e] = ENTRY(twice, e / 48, e % 48);
}

/* 2 f + 100 i + j, as fp32 and as elements. */
KERNEL(words_accumulator, WordsArguments) {
    ACCUMULATOR(x, 32, 48);
    ACCUMULATOR(y, 32, 48);
    accumulator_load(x, a.f, a.stride, a.rows, a.cols);
    accumulator_zero(y);
    accumulator_add(y, x);
    accumulator_add(y, x);
    MAP(y, i, j, value, value += 100 * i + j);
    accumulator_store_f32(y, a.out_f32, 48, a.rows, a.cols);
    accumulator_store(y, (element *)a.out, 48, a.rows, a.cols);
}

/* f as elements, 64 x 64 entries, and 32 x 64 of them 64 rows below. */
KERNEL(words_accumulator_wide, WordsArguments) {
    ACCUMULATOR(x, 64, 64);
    ACCUMULATOR(y, 32, 64);
    accumulator_load(x, a.f, a.stride, 64, 64);
    accumulator_load(y, a.f, a.stride, 32, 64);
    accumulator_store(x, (element *)a.out, a.stride, a.rows, a.cols);
    accumulator_store(y, (element *)a.out + 64 * a.stride, a.stride, a.rows, a.cols);
}

/* a and f as they are; f by way of the lower right corner of a matrix. */
KERNEL(words_store, WordsArguments) {
    TILE(tile, 32, 48);
    PADDED_MATRIX(matrix, 48, 64);
    MATRIX_VIEW(corner, matrix, 16, 16, 32, 48);
    tile_load(tile, (const element *)a.a, a.stride, 32, 48);
    matrix_load(corner, a.f, a.stride, 32, 48);
    sync();
    tile_store(tile, (element *)a.out, a.stride, a.rows, a.cols);
    matrix_store(corner, a.out_f32, a.stride, a.rows, a.cols);
}

/* f, with products of 16 rows in rows 16 and 32 and columns 16 to 47. */
#define WORDS_BLOCK(name, word, rows, left_row, left_col, left_rows, left_cols)                                        \
    KERNEL(name, WordsArguments) {                                                                                     \
        TILE(left, 32, 32);                                                                                            \
        TILE(right, 32, 32);                                                                                           \
        ACCUMULATOR(x, rows, 64);                                                                                      \
        tile_load(left, (const element *)a.a, a.stride, 32, 32);                                                       \
        tile_load(right, (const element *)a.b, a.stride, 32, 32);                                                      \
        accumulator_load(x, a.f, a.stride, rows, 64);                                                                  \
        TILE_VIEW(half, left, left_row, left_col, left_rows, left_cols);                                               \
        sync();                                                                                                        \
        for (int i = 16; i < 48; i += 16) word(x, i, 16, half, right);                                                 \
        accumulator_store_f32(x, a.out_f32, 64, rows, 64);                                                             \
    }
WORDS_BLOCK(words_block_nn, block_mma_nn, 64, 16, 0, 16, 32)
WORDS_BLOCK(words_block_nt, block_mma_nt, 128, 16, 0, 16, 32)
WORDS_BLOCK(words_block_tn, block_mma_tn, 64, 0, 16, 32, 16)

KERNEL(words_cast, WordsArguments) {
    TILE(tile, 16, 80);
    ACCUMULATOR(x, 16, 80);
    accumulator_load(x, a.f, a.stride, 16, 80);
    tile_cast(tile, x);
    sync();
    DUMP(tile, a.out_f32);
}

/* x + j / 4 in the tile, then in the accumulator. */
KERNEL(words_map_into, WordsArguments) {
    TILE(tile, 16, 80);
    ACCUMULATOR(x, 16, 80);
    accumulator_load(x, a.f, a.stride, 16, 80);
    MAP_INTO(tile, x, i, j, value, value += i < 16 ? 0.25f * (float)j : 0.0f);
    sync();
    DUMP(tile, a.out_f32);
    accumulator_store_f32(x, a.out_f32 + 16 * 80, 80, 16, 80);
}

KERNEL(words_each_tile, WordsArguments) {
    TILE(tile, 32, 48);
    VECTOR(scale, 32);
    tile_load(tile, (const element *)a.a, a.stride, 32, 48);
    EACH (i, 32) scale[i] = 1.0f + i;
    sync();
    EACH_TILE(tile, i, j, x, x = j < 40 ? x * scale[i] : 0);
    sync();
    DUMP(tile, a.out_f32);
}

/* 1 + 2 (the sum of a b over 32 x 48 entries) */
KERNEL(words_tile_dot, WordsArguments) {
    TILE(left, 32, 48);
    TILE(right, 32, 48);
    tile_load(left, (const element *)a.a, a.stride, 32, 48);
    tile_load(right, (const element *)a.b, a.stride, 32, 48);
    sync();
    float sum = 0;
    tile_dot(sum, left, right);
    tile_dot(sum, left, right);
    PROGRAM_SUM(sum);
    EACH (i, 200) a.out_f32[i] = sum + 1;
}

/* The product of the lower right 16 x 16 blocks, A B^T. */
KERNEL(words_view, WordsArguments) {
    TILE(left, 32, 64);
    TILE(right, 32, 64);
    ACCUMULATOR(product, 16, 16);
    tile_load(left, (const element *)a.a, a.stride, 32, 64);
    tile_load(right, (const element *)a.b, a.stride, 32, 64);
    TILE_VIEW(left_corner, left, 16, 48, 16, 16);
    TILE_VIEW(right_corner, right, 16, 48, 16, 16);
    sync();
    accumulator_zero(product);
    mma_nt(product, left_corner, right_corner);
    accumulator_store_f32(product, a.out_f32, 16, 16, 16);
}

/* Rows of a.f, four of them at once on a GPU: their sums in out_f32, twice their entries as elements. */
KERNEL(words_warps, WordsArguments) {
    EACH_ROW (row, 0, a.rows) {
        const float *from = a.f + row * a.stride;
        float sum = 1;
        WARP_SUM(sum, j, a.cols, from[j]);
        WARP_EACH(j, a.cols)((element *)a.out)[row * a.stride + j] = to_element(2 * from[j]);
        a.out_f32[row] = sum;
    }
}

KERNEL(words_pairs, WordsArguments) {
    EACH_PAIR(i, j, 12, 48) a.out_f32[i * 48 + j] = a.f[i * a.stride + j] + (float)(100 * i + j);
}

/* The alternating sums down the columns of f, and down blocks of four rows from the number of the block on. */
KERNEL(words_walk, WordsArguments) {
    COLUMN_WALK(x, j, 48, i, 20, x = a.f[i * a.stride + j] - x; a.out_f32[i * 48 + j] = x);
    BLOCK_WALK(x, (float)b, b, 5, j, 48, i, 4, x = a.f[(4 * b + i) * a.stride + j] - x;
               a.out_f32[(20 + 4 * b + i) * 48 + j] = x);
}

/* The running sums of f, which begin anew every 10 rows. */
KERNEL(words_walks, WordsArguments) {
    BLOCK_WALK(x, 0.0f, b, 3, j, 48, i, 10, x += a.f[(b * 10 + i) * a.stride + j];
               a.out_f32[(b * 10 + i) * 48 + j] = x);
}

/* The sums of the first rows of f over 128 columns. */
KERNEL(words_column_values, WordsArguments) {
    VECTOR(parts, COLUMN_PARTS * COLUMN_TOTALS);
    COLUMN_VALUES(x, COLUMN_TOTALS);
    TILE_UNROLL for (int n = 0; n < COLUMN_TOTALS; n++) EACH_COLUMN (c) COLUMN_VALUE(x, n, c) = a.f[n * a.stride + c];
    column_totals(parts, x);
    sync();
    EACH (n, COLUMN_TOTALS) {
        a.out_f32[n] = 0;
        for (int p = 0; p < COLUMN_PARTS; p++) a.out_f32[n] += parts[p * COLUMN_TOTALS + n];
    }
}

/* From row 0 of a and f: out = a f, out_f32 = a + f, and the sums of a + 1, a f at the end of out_f32. `rows` is where
 * the arrays begin. */
KERNEL(words_vectors, WordsArguments) {
    const element *from = (const element *)a.a + a.rows;
    element *to = (element *)a.out + a.rows;
    float sum = 0, product = 0;
    EACH_VECTOR(i, a.cols) {
        READ(x, from + i);
        READ_F32(y, a.f + a.rows + i);
        float z[VECTOR], w[VECTOR];
        EACH_LANE(e) {
            z[e] = x[e] * y[e];
            w[e] = x[e] + y[e];
        }
        WRITE(to + i, z);
        WRITE_F32(a.out_f32 + a.rows + i, w);
    }
    SUM_VECTOR(i, a.cols, sum, product) {
        READ(x, from + i);
        READ_F32(y, a.f + a.rows + i);
        EACH_LANE(e) {
            sum += LANE_INSIDE(e) ? x[e] + 1 : 0;
            product += x[e] * y[e];
        }
    }
    PROGRAM_SUM(sum);
    PROGRAM_SUM(product);
    EACH (i, 1) {
        a.out_f32[1000] = sum;
        a.out_f32[1001] = product;
    }
}

/* The same by warp, rows of a and f. */
KERNEL(words_warp_vectors, WordsArguments) {
    EACH_ROW (row, 0, a.rows) {
        const element *from = (const element *)a.a + row * a.stride;
        float sum = 0;
        WARP_SUM_VECTOR(i, a.cols, sum) {
            READ(x, from + i);
            EACH_LANE(e) sum += x[e];
        }
        WARP_TOTAL(sum);
        WARP_VECTOR(i, a.cols) {
            READ(x, from + i);
            READ_F32(y, a.f + row * a.stride + i);
            EACH_LANE(e) x[e] += y[e] + sum;
            WRITE_F32(a.out_f32 + row * a.stride + i, x);
        }
    }
}

/* a in rows of as many groups of a.cols columns as fit into a.stride, or of one: out = twice a; out_f32 = the groups'
 * sums, from 8192 on the columns' sums over all groups and rows, from 12288 on the squares of those. */
KERNEL(words_groups, WordsArguments) {
    COLUMNS(sums, 2, 2048);
    float *const squares = COLUMNS_ROW(sums, 2048, 1);
    const int64_t groups = a.cols < a.stride ? a.stride / a.cols : 1;
    columns_zero(sums, 2048, a.cols);
    columns_zero(squares, 2048, a.cols);
    EACH_GROUP (row, group, 0, a.rows, groups, a.cols) {
        const element *from = (const element *)a.a + (row * groups + group) * a.cols;
        element *to = (element *)a.out + (row * groups + group) * a.cols;
        VECTORS_OF(from, to);
        float sum = 1, total = 0;
        WARP_SUM_VECTOR(i, a.cols, sum) {
            READ(x, from + i);
            EACH_LANE(e) sum += x[e];
        }
        sum -= 1; /* every lane has begun with 1 */
        WARP_TOTAL(sum);
        WARP_SUM(total, i, a.cols, to_float(from[i]));
        float largest = -INFINITY, above = 0, equal = 0;
        WARP_MAXIMUM(largest, i, a.cols, to_float(from[i]));
        WARP_SUM(above, i, a.cols, to_float(from[i]) > largest ? 1.0f : 0.0f);
        WARP_SUM(equal, i, a.cols, to_float(from[i]) == largest ? 1.0f : 0.0f);
        const bool right = sum == total && above == 0 && equal > 0;
        WARP_EACH(one, 1) a.out_f32[row * groups + group] = right ? sum : NAN;
        WARP_VECTOR(i, a.cols) {
            READ(x, from + i);
            ADD_COLUMNS(sums, i, x);
            READ_COLUMNS(square, squares, i);
            EACH_LANE(e) {
                square[e] += x[e] * x[e];
                x[e] *= 2;
            }
            WRITE_COLUMNS(squares, i, square);
            WRITE(to + i, x);
        }
    }
    sync();
    EACH_VECTOR(i, a.cols) {
        READ_TOTALS(sum, sums, i, a.cols);
        READ_TOTALS(square, squares, i, a.cols);
        WRITE_F32(a.out_f32 + 8192 + i, sum);
        WRITE_F32(a.out_f32 + 12288 + i, square);
    }
}

/* Twice the sum of the 16 x 16 tiles of a that lie below each other, the next one on its way while one is added. */
KERNEL(words_stages, WordsArguments) {
    TILE(stage, 2 * 16, 16);
    const element *from = (const element *)a.a;
    MATRIX(sum, 16, 16);
    EACH (e, 256) sum[e] = 0;
    TILE_VIEW(first, stage, 0, 0, 16, 16);
    tile_load(first, from, a.stride, 16, 16);
    copy_commit();
    for (int n = 0; n < 5; n++) {
        TILE_VIEW(next, stage, (n + 1) % 2 * 16, 0, 16, 16);
        TILE_VIEW(now, stage, n % 2 * 16, 0, 16, 16);
        tile_load(next, from + (n + 1) * 16 * a.stride, a.stride, n < 4 ? 16 : 0, 16);
        copy_commit();
        sync_after(1);
        EACH_TILE_STAGED(now, i, j, x, x *= 2);
        sync_after(1);
        EACH (e, 256) sum[e] += AT(now, (int)e / 16, (int)e % 16);
        sync();
    }
    EACH (e, 256) a.out_f32[e] = sum[e];
}

/* Row 2 of f, columns 16 .. 47, loaded into a row of a matrix and read as a part of it. */
KERNEL(words_matrix_view, WordsArguments) {
    MATRIX(rows, 3, 64);
    MATRIX_VIEW(row, rows, 2, 16, 1, 32);
    matrix_load(row, a.f + 2 * a.stride + 16, a.stride, 1, 32);
    sync();
    MATRIX_VIEW(part, row, 0, 4, 1, 28);
    EACH (j, 32) a.out_f32[j] = ENTRY(rows, 2, 16 + j);
    EACH (j, 28) a.out_f32[32 + j] = ENTRY(part, 0, j);
}

/* Rows of a, and of b from row 1 on, in two steps of 16 rows. If they are not multiples of 16 bytes, they do not begin
 * at one either. */
KERNEL(words_tiles_walk, WordsArguments) {
    TILE(x, 32, 64);
    TILE(y, 32, 64);
    const bool aligned = a.cols % 8 == 0;
    const int64_t first = aligned ? 0 : 1;
    TILES_WALK(walk, x, (const element *)a.a, first, a.stride, (const element *)a.b, a.stride + first, a.stride, a.cols,
               aligned);
    for (int i = 0; i < 32; i += 16) {
        TILE_VIEW(x_rows_, x, i, 0, 16, 64);
        TILE_VIEW(y_rows_, y, i, 0, 16, 64);
        walk_load(x_rows_, y_rows_, walk, (int)a.rows - i);
    }
    sync();
    DUMP(x, a.out_f32);
    DUMP(y, a.out_f32 + 32 * 64);
}

/* The same in two steps of 32 columns. */
KERNEL(words_tiles_across, WordsArguments) {
    TILE(x, 32, 64);
    TILE(y, 32, 64);
    TILE_VIEW(any, x, 0, 0, 32, 32);
    const bool aligned = a.cols % 8 == 0;
    const int64_t first = aligned ? 0 : 1;
    TILES_WALK(walk, any, (const element *)a.a, first, a.stride, (const element *)a.b, a.stride + first, a.stride, 32,
               aligned);
    for (int j = 0; j < 64; j += 32) {
        TILE_VIEW(x_cols_, x, 0, j, 32, 32);
        TILE_VIEW(y_cols_, y, 0, j, 32, 32);
        walk_load_across(x_cols_, y_cols_, walk, a.rows, a.cols - j);
    }
    sync();
    DUMP(x, a.out_f32);
    DUMP(y, a.out_f32 + 32 * 64);
    (void)any;
}

/* The first 3 x 48 entries of f, and the last row of these once more. */
KERNEL(words_matrix_whole, WordsArguments) {
    MATRIX(whole, 4, 48);
    MATRIX_VIEW(top, whole, 0, 0, 3, 48);
    MATRIX_VIEW(bottom, whole, 3, 0, 1, 48);
    matrix_load_whole(top, a.f);
    matrix_load_whole(bottom, a.f + 2 * 48);
    sync();
    EACH (e, 4 * 48) a.out_f32[e] = ENTRY(whole, e / 48, e % 48);
}

/* f - (its row's maximum) + (its row's sum), and twice that sum. */
#define WORDS_ROW_VALUES(name, rows, cols)                                                                             \
    KERNEL(name, WordsArguments) {                                                                                     \
        ACCUMULATOR(x, rows, cols);                                                                                    \
        ROW_VALUES(sum, rows);                                                                                         \
        ROW_VALUES(twice, rows);                                                                                       \
        ROW_VALUES(maximum, rows);                                                                                     \
        accumulator_load(x, a.f, a.stride, rows, cols);                                                                \
        row_values_share(sum, x);                                                                                      \
        EACH_ROW_VALUE(sum, r, i) twice[r] = 2 * sum[r];                                                               \
        row_values_total(sum);                                                                                         \
        row_values_total(twice);                                                                                       \
        row_values_maximum(maximum, x);                                                                                \
        MAP(x, i, j, value, value += ROW_VALUE(sum, i) - ROW_VALUE(maximum, i));                                       \
        EACH_ROW_VALUE(twice, r, i) a.out_f32[rows * cols + i] = twice[r];                                             \
        accumulator_store_f32(x, a.out_f32, cols, rows, cols);                                                         \
    }
WORDS_ROW_VALUES(words_row_values_64x32, 64, 32)
WORDS_ROW_VALUES(words_row_values_80x16, 80, 16)
WORDS_ROW_VALUES(words_row_values_128x64, 128, 64)

/* f + P B and f + P B^T with P = a in an accumulator. */
#define WORDS_CHAINED(name, word, rows, cols, depth, right_rows, right_cols)                                           \
    KERNEL(name, WordsArguments) {                                                                                     \
        TILE(right, right_rows, right_cols);                                                                           \
        ACCUMULATOR(p, rows, depth);                                                                                   \
        ACCUMULATOR(product, rows, cols);                                                                              \
        tile_load(right, (const element *)a.b, a.stride, right_rows, right_cols);                                      \
        MAP(p, i, j, x, x = to_float(((const element *)a.a)[i * a.stride + j]));                                       \
        accumulator_load(product, a.f, a.stride, rows, cols);                                                          \
        sync();                                                                                                        \
        word(product, p, right);                                                                                       \
        accumulator_store_f32(product, a.out_f32, cols, rows, cols);                                                   \
    }
WORDS_CHAINED(words_chained_nn_64, accumulator_mma_nn, 64, 32, 48, 48, 32)
WORDS_CHAINED(words_chained_nt_64, accumulator_mma_nt, 64, 32, 48, 32, 48)
WORDS_CHAINED(words_chained_nn_128, accumulator_mma_nn, 128, 64, 64, 64, 64)
WORDS_CHAINED(words_chained_nt_128, accumulator_mma_nt, 128, 64, 64, 64, 64)

/* f + 33 P B and f + 33 P B^T: 33 P are no elements. */
#define chained_nn_with_rest(product, p, right)                                                                        \
    do {                                                                                                               \
        MAP(p, i, j, x, x *= 33);                                                                                      \
        accumulator_mma_nn_with_rest(product, p, right);                                                               \
    } while (0)
#define chained_nt_with_rest(product, p, right)                                                                        \
    do {                                                                                                               \
        MAP(p, i, j, x, x *= 33);                                                                                      \
        accumulator_mma_nt_with_rest(product, p, right);                                                               \
    } while (0)
WORDS_CHAINED(words_chained_nn_with_rest, chained_nn_with_rest, 64, 32, 48, 48, 32)
WORDS_CHAINED(words_chained_nt_with_rest, chained_nt_with_rest, 64, 32, 48, 32, 48)

#define chained_operand(product, p, right)                                                                             \
    do {                                                                                                               \
        RIGHT_OPERAND(operand, right);                                                                                 \
        accumulator_operand_mma(product, p, operand);                                                                  \
    } while (0)
#define chained_operand_t(product, p, right)                                                                           \
    do {                                                                                                               \
        RIGHT_OPERAND_T(operand, right);                                                                               \
        accumulator_operand_mma(product, p, operand);                                                                  \
    } while (0)
WORDS_CHAINED(words_chained_operand, chained_operand, 64, 32, 48, 48, 32)
WORDS_CHAINED(words_chained_operand_t, chained_operand_t, 64, 64, 64, 64, 64)

/* f + A B^T, 64 x 48 each, in two blocks of A's rows, and below it f + A B of the blocks of 32 rows of B = b[64, 48]
 * and of A = a[64, 32]. */
KERNEL(words_operands, WordsArguments) {
    TILE(left, 64, 48);
    TILE(right, 64, 48);
    ACCUMULATOR(product, 32, 64);
    ACCUMULATOR(of_blocks, 32, 48);
    tile_load(left, (const element *)a.a, a.stride, 64, 48);
    tile_load(right, (const element *)a.b, a.stride, 64, 48);
    sync();
    TILE_VIEW(narrow, left, 0, 0, 64, 32);
    LEFT_OPERANDS(lefts, left, 32);
    LEFT_OPERANDS(narrow_lefts, narrow, 32);
    RIGHT_OPERANDS(rights, right, 32);
    RIGHT_OPERAND_T(turned, right);
    for (int b = 0; b < 2; b++) {
        LEFT_OPERAND(left_now, lefts, b);
        LEFT_OPERAND(narrow_now, narrow_lefts, b);
        RIGHT_OPERAND_OF(right_now, rights, b);
        accumulator_load(product, a.f + 32 * b * a.stride, a.stride, 32, 64);
        accumulator_load(of_blocks, a.f + 32 * b * a.stride, a.stride, 32, 48);
        operand_mma(product, left_now, turned);
        operand_mma(of_blocks, narrow_now, right_now);
        accumulator_store_f32(product, a.out_f32 + b * 32 * 64, 64, 32, 64);
        accumulator_store_f32(of_blocks, a.out_f32 + 64 * 64 + b * 32 * 48, 48, 32, 48);
    }
}

/* f plus 100 times the number of its row's band, as row values and as bands of 64 of 128 rows on the CPU. */
KERNEL(words_bands, WordsArguments) {
    enum { ROWS = ON_GPU ? 64 : 128 };
    ACCUMULATOR(x, ROWS, 32);
    ROW_VALUES(value, ROWS);
    accumulator_load(x, a.f, a.stride, ROWS, 32);
    EACH_BAND(b, 64, ROWS) {
        ACCUMULATOR_BAND(band, x, b, 64);
        ROW_VALUES_BAND(value_of_band, value, b, 64);
        EACH_ROW_VALUE(value_of_band, r, i) value_of_band[r] = (float)(100 * b + i);
        MAP(band, i, j, entry, entry += ROW_VALUE(value_of_band, i));
    }
    accumulator_store_f32(x, a.out_f32, 32, ROWS, 32);
    EACH_ROW_VALUE(value, r, i) a.out_f32[128 * 32 + i] = value[r];
}

/* The sums of f's columns over every 16 rows. */
KERNEL(words_columns, WordsArguments) {
    ACCUMULATOR(x, 128, 32);
    MATRIX(sums, 8, 32);
    accumulator_load(x, a.f, a.stride, 128, 32);
    column_sums(sums, x);
    sync();
    EACH_PAIR(b, j, 8, 32) a.out_f32[b * 32 + j] = ENTRY(sums, b, j);
}

#define WORDS_ROWS(name, rows, cols)                                                                                   \
    KERNEL(name, WordsArguments) {                                                                                     \
        ACCUMULATOR(x, rows, cols);                                                                                    \
        VECTOR(sum, rows);                                                                                             \
        accumulator_load(x, a.f, a.stride, rows, cols);                                                                \
        row_sum(sum, x);                                                                                               \
        sync();                                                                                                        \
        EACH (i, rows) a.out_f32[i] = sum[i];                                                                          \
    }
WORDS_ROWS(words_rows_64x64, 64, 64)
WORDS_ROWS(words_rows_128x16, 128, 16)

KERNEL(words_vector, WordsArguments) {
    VECTOR(forward, 80);
    VECTOR(reverse, 80);
    VECTOR(product, 80);
    EACH (i, 80) forward[i] = a.f[i];
    EACH (i, 80) reverse[i] = a.f[i];
    EACH (i, 80) product[i] = i % 40 == 7 ? -0.5f : i % 2 ? 2.0f : 0.5f;
    sync();
    vector_cumsum(forward);
    vector_cumsum_reverse(reverse);
    vector_cumprod(product);
    sync();
    EACH (i, 80) a.out_f32[160 + i] = product[i];
    EACH (i, 80) a.out_f32[i] = forward[i];
    EACH (i, 80) a.out_f32[80 + i] = reverse[i];
}

KERNEL(words_reductions, WordsArguments) {
    float sum = 1, largest = -1000;
    SUM(sum, i, a.cols, a.f[i]);
    SUM(sum, i, a.cols, 2 * a.f[i]);
    MAXIMUM(largest, i, a.cols, a.f[i]);
    EACH (i, 200) a.out_f32[i] = sum;
    EACH (i, 200) a.out_f32[200 + i] = largest;
}

#undef WORDS_MMA
#define WORDS_MMA(name, rows, cols, depth)                                                                             \
    WORDS_PRODUCT(words_mma_nn_##name, mma_nn, rows, cols, rows, depth, depth, cols)                                   \
    WORDS_PRODUCT(words_mma_nt_##name, mma_nt, rows, cols, rows, depth, cols, depth)                                   \
    WORDS_PRODUCT(words_mma_tn_##name, mma_tn, rows, cols, depth, rows, depth, cols)
#define WORDS_PRODUCT(name, word, rows, cols, left_rows, left_cols, right_rows, right_cols)                            \
    KERNEL(name, WordsArguments) {                                                                                     \
        TILE(left, left_rows, left_cols);                                                                              \
        TILE(right, right_rows, right_cols);                                                                           \
        ACCUMULATOR(product, rows, cols);                                                                              \
        tile_load(left, (const element *)a.a, a.stride, left_rows, left_cols);                                         \
        tile_load(right, (const element *)a.b, a.stride, right_rows, right_cols);                                      \
        accumulator_load(product, a.f, a.stride, rows, cols);                                                          \
        sync();                                                                                                        \
        word(product, left, right);                                                                                    \
        accumulator_store_f32(product, a.out_f32, cols, rows, cols);                                                   \
    }
WORDS_MMA_SIZES
WORDS_PRODUCT(words_lower_nt, lower_mma_nt, 64, 64, 64, 48, 64, 48)

#if defined(TILE_EMULATOR)
/* Programs with a mistake, which the emulator must find. */
KERNEL(words_divergent, WordsArguments) {
    if (thread_index() < 64) sync();
    a.out_f32[0] = 0;
}
KERNEL(words_outside, WordsArguments) {
    TILE(tile, 16, 16);
    EACH (i, 16) PUT(tile, 3, (int)i + 1, 0.0f);
    a.out_f32[0] = 0;
}
/* Row 16 belongs to different warps in accumulators of 32 and of 16 rows. */
KERNEL(words_two_writers, WordsArguments) {
    MATRIX(sum, 32, 32);
    ACCUMULATOR(whole, 32, 32);
    ACCUMULATOR(lower, 16, 32);
    EACH_ENTRY(sum, i, j, x, x = 0);
    sync();
    MAP(whole, i, j, x, x = 1; ENTRY(sum, i, j) += x);
    MAP(lower, i, j, x, x = 1; ENTRY(sum, 16 + i, j) += x);
    a.out_f32[0] = 0;
}
/* Columns 8 .. 23 of a tile start at a multiple of 16 bytes, columns 4 .. 19 do not. */
/* Vector accesses to shared memory by the instructions for global memory. */
KERNEL(words_global_store, WordsArguments) {
    MATRIX(matrix, 16, 16);
    sixteen_store(matrix, sixteen_load(a.f));
}

KERNEL(words_global_store_of_8, WordsArguments) {
    MATRIX(matrix, 16, 16);
    eight_store(matrix, sixteen_load(a.f));
}

KERNEL(words_global_load, WordsArguments) {
    MATRIX(matrix, 16, 16);
    sixteen_store(a.out_f32, sixteen_load(matrix));
}

KERNEL(words_misaligned, WordsArguments) {
    TILE(tile, 16, 32);
    ACCUMULATOR(product, 16, 16);
    EACH_TILE(tile, i, j, x, x = (float)(i + j));
    TILE_VIEW(aligned, tile, 0, 8, 16, 16);
    TILE_VIEW(misaligned, tile, 0, 4, 16, 16);
    sync();
    accumulator_zero(product);
    mma_nt(product, aligned, misaligned);
    accumulator_store_f32(product, a.out_f32, 16, 16, 16);
}
/* `f` ends after row rows - 1, or begins at row 0. */
KERNEL(words_reads_after, WordsArguments) {
    MATRIX(x, 16, 16);
    matrix_load(x, a.f, a.stride, a.rows + 1, a.cols);
    sync();
    a.out_f32[0] = 0;
}
KERNEL(words_reads_before, WordsArguments) {
    float sum = 0;
    SUM(sum, i, a.cols, a.f[i - 1]);
    a.out_f32[0] = sum;
}
KERNEL(words_writes_after, WordsArguments) {
    EACH (i, a.cols + 1) a.out_f32[i] = 0;
}
/* What a copy brings is there after the next sync(), also for the thread that loads. */
KERNEL(words_not_awaited, WordsArguments) {
    MATRIX(x, 4, 128);
    matrix_load(x, a.f, a.stride, 4, 128);
    EACH (i, 128) a.out_f32[i] = x[i];
    sync();
}
/* A stage that is still under way. */
KERNEL(words_stage_not_awaited, WordsArguments) {
    MATRIX(x, 4, 128);
    matrix_load(x, a.f, a.stride, 4, 128);
    copy_commit();
    sync_after(1);
    EACH (i, 128) a.out_f32[i] = x[i];
    sync();
}
/* Ends before its copies have. */
KERNEL(words_left_copies, WordsArguments) {
    MATRIX(x, 64, 128);
    matrix_load(x, a.f, a.stride, 64, 128);
    copy_commit();
    a.out_f32[0] = 0;
}
KERNEL(words_unsynchronised, WordsArguments) {
    VECTOR(x, 128);
    EACH (i, 128) x[i] = 1;
    EACH (i, 128) a.out_f32[i] = x[127 - i];
}
#endif
