/* Products of tiles and accumulators, by 4 warps with mma.sync; part of tile_simt.h. */
#ifndef FLAME_TILE_TILE_PRODUCT_H
#define FLAME_TILE_TILE_PRODUCT_H

#define mma_nn(accumulator, a, b)                                                                                      \
    mma(accumulator, accumulator##_rows, accumulator##_cols, a##_cols, a, a##_stride, false, b, b##_stride, false,     \
        false)
#define mma_nt(accumulator, a, b)                                                                                      \
    mma(accumulator, accumulator##_rows, accumulator##_cols, a##_cols, a, a##_stride, false, b, b##_stride, true, false)
#define mma_tn(accumulator, a, b)                                                                                      \
    mma(accumulator, accumulator##_rows, accumulator##_cols, a##_rows, a, a##_stride, true, b, b##_stride, false, false)
#define lower_mma_nt(accumulator, a, b)                                                                                \
    do {                                                                                                               \
        TILE_ASSERT(accumulator##_rows == 64, "the blocks below the diagonal are those of 64 rows");                   \
        mma(accumulator, accumulator##_rows, accumulator##_cols, a##_cols, a, a##_stride, false, b, b##_stride, true,  \
            true);                                                                                                     \
    } while (0)

/* d += A B, where A has `depth` columns; with `lower`, only the blocks of 16 x 16 on and below the diagonal. A is
 * stored by rows, or by columns if a_transposed; B likewise. Tiles and views, and their rows, begin at multiples of 16
 * bytes. Each piece of B is read once for all of a warp's blocks of rows. */
#if defined(TILE_ELEMENT_F32)
DEVICE void mma(float *d, int rows, int cols, int depth, const element *a, int a_stride, bool a_transposed,
                const element *b, int b_stride, bool b_transposed, bool lower) {
    const int a_row = a_transposed ? 1 : a_stride, a_col = a_transposed ? a_stride : 1;
    const int b_row = b_transposed ? 1 : b_stride, b_col = b_transposed ? b_stride : 1;
    for (int k = 0; k < depth; k++) {
        TILE_UNROLL for (int e = 0; e < ACCUMULATOR_SIZE(rows, cols); e++) {
            const int i = fragment_row(e, rows, cols), j = fragment_col(e, rows, cols);
            const bool wanted = fragment_inside(i, j, rows, cols) && !(lower && j / 16 > i / 16);
            if (wanted) d[e] += a[i * a_row + k * a_col] * b[k * b_row + j * b_col];
        }
    }
}
#else
DEVICE void mma(float *d, int rows, int cols, int depth, const element *a, int a_stride, bool a_transposed,
                const element *b, int b_stride, bool b_transposed, bool lower) {
    const int lane = lane_index(), row = lane % 8, low = lane / 8 % 2 * 8, high = lane / 16;
    const int down = warp_index() % WARPS_DOWN(rows), across = warp_index() / WARPS_DOWN(rows);
    if (across >= WARPS_ACROSS(rows)) return;
    TILE_UNROLL_PRODUCT for (int k = 0; k < depth; k += 16) {
        uint32_t left[MOST_BLOCKS_DOWN][4];
        TILE_UNROLL for (int m = 0; m < BLOCKS_DOWN(rows); m++) {
            const int i = (m * WARPS_DOWN(rows) + down) * 16;
            if (i >= rows) break;
            if (a_transposed)
                matrix_read_transposed(left[m], a + (k + high * 8 + row) * a_stride + i + low);
            else
                matrix_read(left[m], a + (i + low + row) * a_stride + k + high * 8);
        }
        TILE_UNROLL for (int n = 0; n < BLOCKS_ACROSS(rows, cols); n += 2) {
            const int j = (across * BLOCKS_ACROSS(rows, cols) + n) * 8, mine = j + high * 8;
            if (j >= cols || (lower && j > down * 16)) break;
            uint32_t right[4];
            if (b_transposed)
                matrix_read(right, b + (mine + row) * b_stride + k + low);
            else
                matrix_read_transposed(right, b + (k + low + row) * b_stride + mine);
            TILE_UNROLL for (int m = 0; m < BLOCKS_DOWN(rows); m++) {
                if ((m * WARPS_DOWN(rows) + down) * 16 >= rows) break;
                float *sum = d + (m * BLOCKS_ACROSS(rows, cols) + n) * 4;
                warp_mma(sum, left[m], right);
                warp_mma(sum + 4, left[m], right + 2);
            }
        }
    }
}
#endif

/* The thread's part of the sum of a b over the entries of two tiles. This sum is the trace of A B^T; each warp computes
 * the diagonal for its blocks of 16 rows. */
DEVICE float dot_of_tiles(const element *a, int a_stride, const element *b, int b_stride, int rows, int cols) {
    const int lane = lane_index();
#if defined(TILE_ELEMENT_F32)
    float sum = 0;
    for (int i = warp_index(); i < rows; i += WARPS)
        for (int j = lane; j < cols; j += WARP) sum += a[i * a_stride + j] * b[i * b_stride + j];
    return sum;
#else
    const int row = lane % 8, low = lane / 8 % 2 * 8, high = lane / 16 * 8;
    float d[8] = {0};
    for (int i = warp_index() * 16; i < rows; i += WARPS * 16) {
        TILE_UNROLL for (int k = 0; k < cols; k += 16) {
            uint32_t left[4], right[4];
            matrix_read(left, a + (i + low + row) * a_stride + k + high);
            matrix_read(right, b + (i + high + row) * b_stride + k + low);
            warp_mma(d, left, right);
            warp_mma(d + 4, left, right + 2);
        }
    }
    float sum = 0;
    TILE_UNROLL for (int e = 0; e < 2; e++) sum += lane / 4 == lane % 4 * 2 + e ? d[e] + d[6 + e] : 0.0f;
    return sum;
#endif
}

#define block_mma_nn(accumulator, i, j, a, b) BLOCK_MMA(accumulator, i, j, b##_cols, a##_cols, a, false, b, false)
#define block_mma_nt(accumulator, i, j, a, b) BLOCK_MMA(accumulator, i, j, b##_rows, a##_cols, a, false, b, true)
#define block_mma_tn(accumulator, i, j, a, b) BLOCK_MMA(accumulator, i, j, b##_cols, a##_rows, a, true, b, false)
#define BLOCK_MMA(accumulator, i, j, cols, depth, a, a_transposed, b, b_transposed)                                    \
    do {                                                                                                               \
        ONE_WARP_ACROSS(accumulator##_rows);                                                                           \
        block_mma(accumulator, accumulator##_rows, accumulator##_cols, i, j, cols, depth, a, a##_stride, a_transposed, \
                  b, b##_stride, b_transposed);                                                                        \
    } while (0)
DEVICE void block_mma(float *d, int all_rows, int all_cols, int row, int col, int cols, int depth, const element *a,
                      int a_stride, bool a_transposed, const element *b, int b_stride, bool b_transposed) {
    const int lane = lane_index();
    if (row / 16 % WARPS_DOWN(all_rows) != warp_index()) return;
    const int down = BLOCKS_DOWN(all_rows) > 1 ? row / 16 / WARPS_DOWN(all_rows) : 0;
    float *const start = d + (down * (all_cols / 8) + col / 8) * 4;
#if defined(TILE_ELEMENT_F32)
    const int a_row = a_transposed ? 1 : a_stride, a_col = a_transposed ? a_stride : 1;
    const int b_row = b_transposed ? 1 : b_stride, b_col = b_transposed ? b_stride : 1;
    for (int k = 0; k < depth; k++) {
        TILE_UNROLL for (int e = 0; e < cols / 2; e++) {
            const int i = lane / 4 + e / 2 % 2 * 8, j = e / 4 * 8 + lane % 4 * 2 + e % 2;
            start[e] += a[i * a_row + k * a_col] * b[k * b_row + j * b_col];
        }
    }
#else
    const int near = lane % 8, low = lane / 8 % 2 * 8, high = lane / 16;
    TILE_UNROLL_BY_2 for (int k = 0; k < depth; k += 16) {
        uint32_t left[4];
        if (a_transposed)
            matrix_read_transposed(left, a + (k + high * 8 + near) * a_stride + low);
        else
            matrix_read(left, a + (low + near) * a_stride + k + high * 8);
        TILE_UNROLL for (int j = 0; j < cols; j += 16) {
            uint32_t right[4];
            if (b_transposed)
                matrix_read(right, b + (j + high * 8 + near) * b_stride + k + low);
            else
                matrix_read_transposed(right, b + (k + low + near) * b_stride + j + high * 8);
            warp_mma(start + j / 2, left, right);
            warp_mma(start + j / 2 + 4, left, right + 2);
        }
    }
#endif
}

/* An accumulator as the left operand: the registers of two neighbouring blocks of 16 x 8 entries are, rounded, those of
 * a block of 16 x 16 of A. One warp spans the columns. */
#define accumulator_mma_nn(accumulator, p, b)           MMA_OF_ACCUMULATOR(accumulator, p, b, false, false)
#define accumulator_mma_nt(accumulator, p, b)           MMA_OF_ACCUMULATOR(accumulator, p, b, true, false)
#define accumulator_mma_nn_with_rest(accumulator, p, b) MMA_OF_ACCUMULATOR(accumulator, p, b, false, true)
#define accumulator_mma_nt_with_rest(accumulator, p, b) MMA_OF_ACCUMULATOR(accumulator, p, b, true, true)
#define MMA_OF_ACCUMULATOR(accumulator, p, b, b_transposed, with_rest)                                                 \
    do {                                                                                                               \
        ONE_WARP_ACROSS(p##_rows);                                                                                     \
        mma_of_accumulator(accumulator, accumulator##_rows, accumulator##_cols, p##_cols, p, b, b##_stride,            \
                           b_transposed, with_rest);                                                                   \
    } while (0)
#if defined(TILE_ELEMENT_F32)
/* A lane holds a quarter of the columns of each of its rows of p, and the three lanes beside it hold the others. */
DEVICE void mma_of_accumulator(float *d, int rows, int cols, int depth, const float *p, const element *b, int b_stride,
                               bool b_transposed, bool with_rest) {
    (void)with_rest; /* nothing is rounded */
    const int b_row = b_transposed ? 1 : b_stride, b_col = b_transposed ? b_stride : 1;
    const int lane = lane_index();
    TILE_UNROLL for (int e = 0; e < ACCUMULATOR_SIZE(rows, depth); e++) {
        TILE_ROLLED for (int owner = 0; owner < 4; owner++) {
            const float x = warp_shuffle(p[e], lane / 4 * 4 + owner);
            const int k = e / 4 % BLOCKS_ACROSS(rows, depth) * 8 + owner * 2 + e % 2;
            TILE_UNROLL for (int n = 0; n < BLOCKS_ACROSS(rows, cols) * 2; n++) {
                const int j = n / 2 * 8 + lane % 4 * 2 + n % 2;
                const int block = e / 4 / BLOCKS_ACROSS(rows, depth) * BLOCKS_ACROSS(rows, cols) + n / 2;
                if (fragment_row(e, rows, depth) < rows)
                    d[block * 4 + e / 2 % 2 * 2 + n % 2] += x * b[k * b_row + j * b_col];
            }
        }
    }
}
#else
DEVICE void mma_of_accumulator(float *d, int rows, int cols, int depth, const float *p, const element *b, int b_stride,
                               bool b_transposed, bool with_rest) {
    const int lane = lane_index(), row = lane % 8, low = lane / 8 % 2 * 8, high = lane / 16;
    TILE_UNROLL for (int k = 0; k < depth; k += 16) {
        uint32_t left[MOST_BLOCKS_DOWN][4], rest[MOST_BLOCKS_DOWN][4];
        TILE_UNROLL for (int m = 0; m < BLOCKS_DOWN(rows); m++) {
            const float *const at = p + (m * (depth / 8) + k / 8) * 4;
            TILE_UNROLL for (int n = 0; n < 4; n++) {
                const float x = at[2 * n], y = at[2 * n + 1];
                left[m][n] = round_pair(x, y);
                if (with_rest) rest[m][n] = round_pair(x - to_float(to_element(x)), y - to_float(to_element(y)));
            }
        }
        TILE_UNROLL for (int j = 0; j < cols; j += 16) {
            const int mine = j + high * 8;
            uint32_t right[4];
            if (b_transposed)
                matrix_read(right, b + (mine + row) * b_stride + k + low);
            else
                matrix_read_transposed(right, b + (k + low + row) * b_stride + mine);
            TILE_UNROLL for (int m = 0; m < BLOCKS_DOWN(rows); m++) {
                if ((m * WARPS_DOWN(rows) + warp_index()) * 16 >= rows) break;
                float *sum = d + (m * (cols / 8) + j / 8) * 4;
                warp_mma(sum, left[m], right);
                warp_mma(sum + 4, left[m], right + 2);
                if (!with_rest) continue;
                warp_mma(sum, rest[m], right);
                warp_mma(sum + 4, rest[m], right + 2);
            }
        }
    }
}
#endif

#define LEFT_OPERANDS(name, tile, rows)  TILE_VIEW(name, tile, 0, 0, rows, tile##_cols)
#define LEFT_OPERAND(name, blocks, b)    TILE_VIEW(name, blocks, (b)*blocks##_rows, 0, blocks##_rows, blocks##_cols)
#define RIGHT_OPERAND(name, tile)        OPERAND_OF(name, tile, tile##_rows, tile##_cols, 0)
#define RIGHT_OPERAND_T(name, tile)      OPERAND_OF(name, tile, tile##_cols, tile##_rows, 1)
#define RIGHT_OPERANDS(name, tile, rows) LEFT_OPERANDS(name, tile, rows)
#define RIGHT_OPERAND_OF(name, blocks, b)                                                                              \
    TILE_VIEW(name##_view, blocks, (b)*blocks##_rows, 0, blocks##_rows, blocks##_cols);                                \
    OPERAND_OF(name, name##_view, blocks##_rows, blocks##_cols, 0)
#define OPERAND_OF(name, tile, rows, cols, turned)                                                                     \
    TILE_SIZES(name, rows, cols, tile##_stride);                                                                       \
    enum { name##_transposed = (turned) };                                                                             \
    element *const name = tile
#define operand_mma(accumulator, a, b)                                                                                 \
    mma(accumulator, accumulator##_rows, accumulator##_cols, a##_cols, a, a##_stride, false, b, b##_stride,            \
        b##_transposed, false)
#define accumulator_operand_mma(accumulator, p, b)    MMA_OF_ACCUMULATOR(accumulator, p, b, b##_transposed, false)
#define accumulator_operand_mma_tn(accumulator, p, b) ((void)(b)) /* for CPUs */

#endif
