/* The product of bf16_product.h in fp32, with the code of fp32 kernels. Packed factors are fp32 too. */
#define TILE_ELEMENT_F32
#include "tile/tile.h"
#include "tile/bf16_product.h"

static void copy(float *to, int rows, int cols, Factor from) {
    if (from.transposed)
        transpose(to, from.data, cols, rows, from.stride);
    else
        for (int i = 0; i < rows; i++)
            EACH (j, cols) to[i * cols + j] = from.data[i * from.stride + j];
}

void bf16_pack_left_plain(uint32_t *to, int rows, int depth, Factor a) { copy((float *)to, rows, depth, a); }
void bf16_pack_right_plain(uint32_t *to, int cols, int depth, Factor b) { copy((float *)to, depth, cols, b); }

void bf16_product_plain(float *d, int d_stride, int rows, int cols, int depth, Factor a, Factor b) {
    float turned[BF16_PRODUCT_SIDE * BF16_PRODUCT_SIDE] __attribute__((aligned(64)));
    if (a.packed) a = (Factor){(const float *)a.packed, depth, false, NULL};
    if (b.packed) {
        b = (Factor){(const float *)b.packed, cols, false, NULL};
    } else if (b.transposed) {
        transpose(turned, b.data, cols, depth, b.stride);
        b = (Factor){turned, cols, false, NULL};
    }
    mma(d, d_stride, rows, cols, depth, a.data, a.transposed ? 1 : a.stride, a.transposed ? a.stride : 1, b.data,
        b.stride);
}
