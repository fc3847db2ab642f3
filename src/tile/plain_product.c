/* The product of bf16_product.h in fp32, with the code that fp32 kernels have. */
#define TILE_ELEMENT_F32
#include "tile/tile.h"
#include "tile/bf16_product.h"

void bf16_product_plain(float *d, int d_stride, int rows, int cols, int depth, Factor a, Factor b) {
    float turned[BF16_PRODUCT_SIDE * BF16_PRODUCT_SIDE] __attribute__((aligned(64)));
    if (b.transposed) {
        transpose(turned, b.data, cols, depth, b.stride);
        b = (Factor){turned, cols, false};
    }
    mma(d, d_stride, rows, cols, depth, a.data, a.transposed ? 1 : a.stride, a.transposed ? a.stride : 1, b.data,
        b.stride);
}
