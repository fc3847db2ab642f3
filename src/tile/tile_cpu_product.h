/* The words for products of tiles on the host's cores, and the functions of tile_cpu.h that are written with vector
 * registers: products in fp32, sums of rows, transposes. */
#ifndef FLAME_TILE_TILE_CPU_PRODUCT_H
#define FLAME_TILE_TILE_CPU_PRODUCT_H

/* Products are made in blocks whose sums fit into LANES_HELD vector registers and stay there until they are
 * complete. */
#if defined(__AVX512F__)
enum { LANES = 16, LANES_HELD = 16 };
#define INTERLEAVE_LOW(x, y) __builtin_shufflevector(x, y, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define INTERLEAVE_HIGH(x, y)                                                                                          \
    __builtin_shufflevector(x, y, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#else
enum { LANES = 8, LANES_HELD = 8 };
#define INTERLEAVE_LOW(x, y)  __builtin_shufflevector(x, y, 0, 8, 1, 9, 2, 10, 3, 11)
#define INTERLEAVE_HIGH(x, y) __builtin_shufflevector(x, y, 4, 12, 5, 13, 6, 14, 7, 15)
#endif
#if defined(__clang__)
#define TILE_UNROLL _Pragma("clang loop unroll(full)")
#else
#define TILE_UNROLL _Pragma("GCC unroll 16")
#endif
typedef float Lanes __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

DEVICE void mma_block(float *d, int d_stride, int depth, const float *a, int a_row, int a_col, const float *b,
                      int b_stride, const int height, const int width) {
    Lanes sum[LANES_HELD];
    TILE_UNROLL for (int i = 0; i < height; i++) {
        TILE_UNROLL for (int j = 0; j < width; j++) sum[i * width + j] = *(const Lanes *)(d + i * d_stride + j * LANES);
    }
    for (int k = 0; k < depth; k++) {
        Lanes row[2];
        TILE_UNROLL for (int j = 0; j < width; j++) row[j] = *(const Lanes *)(b + k * b_stride + j * LANES);
        TILE_UNROLL for (int i = 0; i < height; i++) {
            const float x = a[i * a_row + k * a_col];
            TILE_UNROLL for (int j = 0; j < width; j++) sum[i * width + j] += x * row[j];
        }
    }
    TILE_UNROLL for (int i = 0; i < height; i++) {
        TILE_UNROLL for (int j = 0; j < width; j++) * (Lanes *)(d + i * d_stride + j * LANES) = sum[i * width + j];
    }
}

/* d[rows, cols] += sum over k < depth of a[i * a_row + k * a_col] b[k * b_stride + j]. */
DEVICE void mma(float *d, int d_stride, int rows, int cols, int depth, const float *a, int a_row, int a_col,
                const float *b, int b_stride) {
    enum { WIDE = 2, TALL = LANES_HELD / WIDE };
    int j = 0;
    for (; j + WIDE * LANES <= cols; j += WIDE * LANES)
        for (int i = 0; i < rows; i += TALL)
            mma_block(d + i * d_stride + j, d_stride, depth, a + i * a_row, a_row, a_col, b + j, b_stride, TALL, WIDE);
    for (; j < cols; j += LANES)
        for (int i = 0; i < rows; i += LANES_HELD)
            mma_block(d + i * d_stride + j, d_stride, depth, a + i * a_row, a_row, a_col, b + j, b_stride, LANES_HELD,
                      1);
}

/* The same for two factors; b is not transposed. */
DEVICE void mma_of_factors(float *d, int d_stride, int rows, int cols, int depth, Factor a, Factor b) {
    if (a.transposed)
        mma(d, d_stride, rows, cols, depth, a.data, 1, a.stride, b.data, b.stride);
    else
        mma(d, d_stride, rows, cols, depth, a.data, a.stride, 1, b.data, b.stride);
}

/* to[i] = the sum of row i, for LANES rows. Interleaves as transpose_square does, but adds the two halves each time,
 * which leaves the sums in order in one register. */
DEVICE void sums_of_rows(float *to, const float *from, int stride, int cols) {
    Lanes x[LANES];
    TILE_UNROLL for (int i = 0; i < LANES; i++) {
        x[i] = *(const Lanes *)(from + i * stride);
        for (int j = LANES; j < cols; j += LANES) x[i] += *(const Lanes *)(from + i * stride + j);
    }
    TILE_UNROLL for (int count = LANES / 2; count > 0; count /= 2) {
        TILE_UNROLL for (int i = 0; i < count; i++) x[i] =
            INTERLEAVE_LOW(x[i], x[i + count]) + INTERLEAVE_HIGH(x[i], x[i + count]);
    }
    *(Lanes *)to = x[0];
}

/* to[cols, rows] = from[rows, cols]^T, in squares of LANES x LANES: interleaving row i with row i + LANES/2 transposes
 * a square when it is done log2(LANES) times. */
DEVICE void transpose_square(float *to, int to_stride, const float *from, int from_stride) {
    Lanes x[LANES], y[LANES];
    TILE_UNROLL for (int i = 0; i < LANES; i++) x[i] = *(const Lanes *)(from + i * from_stride);
    for (int round = 1; round < LANES; round *= 2) {
        TILE_UNROLL for (int i = 0; i < LANES / 2; i++) {
            y[2 * i] = INTERLEAVE_LOW(x[i], x[i + LANES / 2]);
            y[2 * i + 1] = INTERLEAVE_HIGH(x[i], x[i + LANES / 2]);
        }
        TILE_UNROLL for (int i = 0; i < LANES; i++) x[i] = y[i];
    }
    TILE_UNROLL for (int i = 0; i < LANES; i++) * (Lanes *)(to + i * to_stride) = x[i];
}

DEVICE void transpose(float *to, const float *from, int rows, int cols, int stride) {
    for (int i = 0; i < rows; i += LANES)
        for (int j = 0; j < cols; j += LANES) transpose_square(to + j * rows + i, rows, from + i * stride + j, stride);
}

/* accumulator += A B, A B^T or A^T B, where A and B are tiles or views. If elements are bf16 and the processor has
 * instructions for bf16 (bf16_product.h), all but the smallest products round their operands to bf16. */
#define mma_nn(accumulator, a, b)                                                                                      \
    do {                                                                                                               \
        MMA_FITS(accumulator##_rows - a##_rows, accumulator##_cols - b##_cols, a##_cols - b##_rows);                   \
        if (IN_BF16(a##_rows, b##_cols, a##_cols))                                                                     \
            bf16_product(accumulator, accumulator##_stride, a##_rows, b##_cols, a##_cols, FACTOR(a, false),            \
                         FACTOR(b, false));                                                                            \
        else                                                                                                           \
            mma(accumulator, accumulator##_stride, a##_rows, b##_cols, a##_cols, a, a##_stride, 1, b, b##_stride);     \
    } while (0)
#define mma_tn(accumulator, a, b)                                                                                      \
    do {                                                                                                               \
        MMA_FITS(accumulator##_rows - a##_cols, accumulator##_cols - b##_cols, a##_rows - b##_rows);                   \
        if (IN_BF16(a##_cols, b##_cols, a##_rows))                                                                     \
            bf16_product(accumulator, accumulator##_stride, a##_cols, b##_cols, a##_rows, FACTOR(a, true),             \
                         FACTOR(b, false));                                                                            \
        else                                                                                                           \
            mma(accumulator, accumulator##_stride, a##_cols, b##_cols, a##_rows, a, 1, a##_stride, b, b##_stride);     \
    } while (0)
#define mma_nt(accumulator, a, b)                                                                                      \
    do {                                                                                                               \
        MMA_FITS(accumulator##_rows - a##_rows, accumulator##_cols - b##_rows, a##_cols - b##_cols);                   \
        if (IN_BF16(a##_rows, b##_rows, a##_cols)) {                                                                   \
            bf16_product(accumulator, accumulator##_stride, a##_rows, b##_rows, a##_cols, FACTOR(a, false),            \
                         FACTOR(b, true));                                                                             \
        } else {                                                                                                       \
            float transposed_[b##_rows * b##_cols] __attribute__((aligned(64)));                                       \
            transpose(transposed_, b, b##_rows, b##_cols, b##_stride);                                                 \
            mma(accumulator, accumulator##_stride, a##_rows, b##_rows, a##_cols, a, a##_stride, 1, transposed_,        \
                b##_rows);                                                                                             \
        }                                                                                                              \
    } while (0)
/* lower_mma_nt(accumulator, a, b): adds the lower triangle of A B^T to that of the accumulator, of 64 rows and columns.
 * The entries above the diagonal are undefined: some of them get their sums, others do not. */
#define lower_mma_nt(accumulator, a, b)                                                                                \
    do {                                                                                                               \
        MMA_FITS(accumulator##_rows - 64, accumulator##_cols - 64, a##_cols - b##_cols);                               \
        if (IN_BF16(64, 64, a##_cols)) {                                                                               \
            bf16_product(accumulator, accumulator##_stride, 64, 64, a##_cols, FACTOR(a, false), FACTOR(b, true));      \
        } else {                                                                                                       \
            float transposed_[64 * b##_cols] __attribute__((aligned(64)));                                             \
            transpose(transposed_, b, 64, b##_cols, b##_stride);                                                       \
            mma(accumulator, accumulator##_stride, 32, 32, a##_cols, a, a##_stride, 1, transposed_, 64);               \
            mma(accumulator + 32 * accumulator##_stride, accumulator##_stride, 32, 64, a##_cols, a + 32 * a##_stride,  \
                a##_stride, 1, transposed_, 64);                                                                       \
        }                                                                                                              \
    } while (0)
#if defined(TILE_ELEMENT_BF16)
enum { LEAST_IN_BF16 = 16 * 64 * 16 }; /* in smaller products, packing the operands costs more than it saves */
#define IN_BF16(rows, cols, depth) ((rows) * (cols) * (depth) >= LEAST_IN_BF16)
#else
#define IN_BF16(rows, cols, depth) false
#endif
#define FACTOR(tile, transposed)                                                                                       \
    (Factor) { tile, tile##_stride, transposed, NULL }
#define MMA_FITS(rows, cols, depth)                                                                                    \
    TILE_ASSERT((rows) == 0 && (cols) == 0 && (depth) == 0, "the tiles of a product do not fit")

/* Adds A B, A B^T or A^T B to the block of the accumulator that begins at row i and column j, has 16 rows, and is as
 * wide as the product; j is a constant. The accumulator has 64 rows or more. On a GPU one warp, chosen by row i, does
 * the work, so that the products of four neighbouring blocks of rows run side by side. */
#define block_mma_nn(accumulator, i, j, a, b)                                                                          \
    do {                                                                                                               \
        ACCUMULATOR_BLOCK(block_, accumulator, i, j, b##_cols);                                                        \
        mma_nn(block_, a, b);                                                                                          \
    } while (0)
#define block_mma_nt(accumulator, i, j, a, b)                                                                          \
    do {                                                                                                               \
        ACCUMULATOR_BLOCK(block_, accumulator, i, j, b##_rows);                                                        \
        mma_nt(block_, a, b);                                                                                          \
    } while (0)
#define block_mma_tn(accumulator, i, j, a, b)                                                                          \
    do {                                                                                                               \
        ACCUMULATOR_BLOCK(block_, accumulator, i, j, b##_cols);                                                        \
        mma_tn(block_, a, b);                                                                                          \
    } while (0)
#define ACCUMULATOR_BLOCK(name, accumulator, i, j, cols) TILE_VIEW(name, accumulator, i, j, 16, cols)

/* accumulator += P B, or P B^T, where P is an accumulator of 64 rows or more, which is rounded to elements on a GPU.
 * accumulator_mma_nn_with_rest, accumulator_mma_nt_with_rest: P as the sum of two elements, that and what rounding took
 * from it. */
#define accumulator_mma_nn(accumulator, p, b)           mma_nn(accumulator, p, b)
#define accumulator_mma_nt(accumulator, p, b)           mma_nt(accumulator, p, b)
#define accumulator_mma_nn_with_rest(accumulator, p, b) MMA_WITH_REST(mma_nn, accumulator, p, b)
#define accumulator_mma_nt_with_rest(accumulator, p, b) MMA_WITH_REST(mma_nt, accumulator, p, b)
#define MMA_WITH_REST(product, accumulator, p, b)                                                                      \
    do {                                                                                                               \
        ACCUMULATOR(rounded_, p##_rows, p##_cols);                                                                     \
        ACCUMULATOR(rest_, p##_rows, p##_cols);                                                                        \
        MAP(rounded_, i_, j_, x_, x_ = to_float(to_element(PEER(p, i_, j_))));                                         \
        MAP(rest_, i_, j_, x_, x_ = PEER(p, i_, j_) - PEER(rounded_, i_, j_));                                         \
        product(accumulator, rounded_, b);                                                                             \
        product(accumulator, rest_, b);                                                                                \
    } while (0)

/* Operands that several products share, made of tiles or views that must not change until the last of these products.
 * On the CPU an operand is brought into the order that products need once, at its declaration; on a GPU it is the tile
 * itself.
 * - LEFT_OPERANDS(name, tile, rows) is A in blocks of `rows` rows; LEFT_OPERAND(name, blocks, b) is block b of them.
 * - RIGHT_OPERAND(name, tile) is B, RIGHT_OPERAND_T(name, tile) is B^T.
 * - RIGHT_OPERANDS(name, tile, rows) and RIGHT_OPERAND_OF(name, blocks, b) do the same for B.
 * operand_mma(accumulator, a, b): accumulator += A B. accumulator_operand_mma(accumulator, p, b): accumulator += P B,
 * where P is an accumulator of 64 rows or more. On a GPU, P is rounded to elements. */
#define LEFT_OPERAND(name, blocks, b)                                                                                  \
    enum { name##_rows = blocks##_rows, name##_cols = blocks##_cols };                                                 \
    const Factor name = {blocks + (b)*blocks##_rows * blocks##_stride, blocks##_stride, false, PACKED_BLOCK(blocks, b)}
#define RIGHT_OPERAND_OF(name, blocks, b) LEFT_OPERAND(name, blocks, b)
#define operand_mma(accumulator, a, b)                                                                                 \
    do {                                                                                                               \
        MMA_FITS(accumulator##_rows - a##_rows, accumulator##_cols - b##_cols, a##_cols - b##_rows);                   \
        OPERAND_PRODUCT(accumulator, accumulator##_stride, a##_rows, b##_cols, a##_cols, a, b);                        \
    } while (0)
#define accumulator_operand_mma(accumulator, p, b)                                                                     \
    do {                                                                                                               \
        MMA_FITS(accumulator##_rows - p##_rows, accumulator##_cols - b##_cols, p##_cols - b##_rows);                   \
        OPERAND_PRODUCT(accumulator, accumulator##_stride, p##_rows, b##_cols, p##_cols, FACTOR(p, false), b);         \
    } while (0)
/* accumulator += P^T B, only in code that runs on the CPU alone: threads of a GPU cannot read each other's
 * registers. */
#define accumulator_operand_mma_tn(accumulator, p, b)                                                                  \
    do {                                                                                                               \
        MMA_FITS(accumulator##_rows - p##_cols, accumulator##_cols - b##_cols, p##_rows - b##_rows);                   \
        OPERAND_PRODUCT(accumulator, accumulator##_stride, p##_cols, b##_cols, p##_rows, FACTOR(p, true), b);          \
    } while (0)
#define RIGHT_SIZES(name, rows, cols) enum { name##_rows = (rows), name##_cols = (cols) }
#if defined(TILE_ELEMENT_BF16)
#define LEFT_OPERANDS(name, tile, rows)  OPERANDS(name, tile, rows, bf16_pack_left)
#define RIGHT_OPERANDS(name, tile, rows) OPERANDS(name, tile, rows, PACK_RIGHT_BLOCK)
#define OPERANDS(name, tile, rows, pack_block)                                                                         \
    enum { name##_rows = (rows), name##_cols = tile##_cols, name##_stride = tile##_stride };                           \
    const float *const name = tile;                                                                                    \
    uint32_t name##_packed[tile##_rows * tile##_cols] __attribute__((aligned(64)));                                    \
    for (int i_ = 0; i_ < tile##_rows; i_ += name##_rows)                                                              \
    pack_block(name##_packed + i_ * name##_cols, name##_rows, name##_cols,                                             \
               (Factor){tile + i_ * tile##_stride, tile##_stride, false, NULL})
#define PACK_RIGHT_BLOCK(to, rows, cols, ...) bf16_pack_right(to, cols, rows, __VA_ARGS__)
#define PACKED_BLOCK(blocks, b)               blocks##_packed + (b)*blocks##_rows *blocks##_cols
#define RIGHT_OPERAND(name, tile)                                                                                      \
    RIGHT_SIZES(name, tile##_rows, tile##_cols);                                                                       \
    PACK_RIGHT(name, tile##_rows, tile##_cols, FACTOR(tile, false))
#define RIGHT_OPERAND_T(name, tile)                                                                                    \
    RIGHT_SIZES(name, tile##_cols, tile##_rows);                                                                       \
    PACK_RIGHT(name, tile##_cols, tile##_rows, FACTOR(tile, true))
#define PACK_RIGHT(name, rows, cols, factor)                                                                           \
    uint32_t name##_packed[(rows) * (cols)] __attribute__((aligned(64)));                                              \
    bf16_pack_right(name##_packed, cols, rows, factor);                                                                \
    const Factor name = {NULL, 0, false, name##_packed}
#define OPERAND_PRODUCT bf16_product
#else
#define LEFT_OPERANDS(name, tile, rows)                                                                                \
    enum { name##_rows = (rows), name##_cols = tile##_cols, name##_stride = tile##_stride };                           \
    const float *const name = tile
#define RIGHT_OPERANDS(name, tile, rows) LEFT_OPERANDS(name, tile, rows)
#define PACKED_BLOCK(blocks, b)          NULL
#define RIGHT_OPERAND(name, tile)                                                                                      \
    RIGHT_SIZES(name, tile##_rows, tile##_cols);                                                                       \
    const Factor name = FACTOR(tile, false)
#define RIGHT_OPERAND_T(name, tile)                                                                                    \
    RIGHT_SIZES(name, tile##_cols, tile##_rows);                                                                       \
    float name##_transposed[tile##_rows * tile##_cols] __attribute__((aligned(64)));                                   \
    transpose(name##_transposed, tile, tile##_rows, tile##_cols, tile##_stride);                                       \
    const Factor name = {name##_transposed, tile##_rows, false, NULL}
#define OPERAND_PRODUCT mma_of_factors
#endif

#endif
