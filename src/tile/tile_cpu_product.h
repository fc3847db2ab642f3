/* What tile_cpu.h makes of tiles with vector registers: products in fp32, sums of rows, transposes. */
#ifndef FLAME_TILE_TILE_CPU_PRODUCT_H
#define FLAME_TILE_TILE_CPU_PRODUCT_H

/* Products in blocks of at most LANES_HELD vector registers, which stay there for the whole sum. */
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

/* The same of two factors, the second of which is not transposed. */
DEVICE void mma_of_factors(float *d, int d_stride, int rows, int cols, int depth, Factor a, Factor b) {
    if (a.transposed)
        mma(d, d_stride, rows, cols, depth, a.data, 1, a.stride, b.data, b.stride);
    else
        mma(d, d_stride, rows, cols, depth, a.data, a.stride, 1, b.data, b.stride);
}

/* to[i] = the sum of row i, for LANES rows. Interleaving as in transpose_square, but adding the two halves each time,
 * leaves one register with the sums in order. */
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

/* to[cols, rows] = from[rows, cols]^T, in squares of LANES x LANES: interleaving row i with row i + LANES/2,
 * log2(LANES) times, transposes a square. */
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

#endif
