/* Products of tiles on the host's cores with the processor's instructions for bf16. */
#ifndef FLAME_TILE_BF16_PRODUCT_H
#define FLAME_TILE_BF16_PRODUCT_H

#include <stdbool.h>
#include <stdint.h>

/* A factor of a product: rows of floats, `stride` entries apart, or their packed form, made by bf16_pack_left or
 * bf16_pack_right. */
typedef struct Factor {
    const float *data;
    int stride;
    bool transposed;
    const uint32_t *packed; /* NULL: not packed yet */
} Factor;

enum { BF16_PRODUCT_SIDE = 256 }; /* the most rows, columns and depth */

/* d[rows, cols] += a b, where a is [rows, depth] and b is [depth, cols], or is stored as the transpose of that. Rows,
 * columns and depth are multiples of 16. */
typedef void Bf16Product(float *d, int d_stride, int rows, int cols, int depth, Factor a, Factor b);

/* Packs a factor, which brings it into the order that the product needs, once for several products. A left factor is
 * [side, depth], a right one [depth, side]. `to` has room for side x depth words and begins at a multiple of 64
 * bytes. */
typedef void Bf16Pack(uint32_t *to, int side, int depth, Factor factor);

/* The product with the tiles of AMX, and with the products of pairs of AVX-512. As on a GPU, the entries of a and b are
 * rounded to bf16 and the sums are fp32. Each is NULL if the processor or the system lacks the instructions.
 * bf16_product_by_tiles asks the system for permission to use tiles. */
Bf16Product *bf16_product_by_tiles(void);
Bf16Product *bf16_product_by_pairs(void);
/* The product in fp32, without rounding (plain_product.c). */
Bf16Product bf16_product_plain;
Bf16Pack bf16_pack_left_plain, bf16_pack_right_plain;
/* The packing for both products in bf16. */
Bf16Pack bf16_pack_left_pairs, bf16_pack_right_pairs;

/* The fastest product that the processor has. Until bf16_product_choose is called, the plain one. */
extern Bf16Product *bf16_product;
extern Bf16Pack *bf16_pack_left, *bf16_pack_right;
void bf16_product_choose(void);
/* The name of the product in use: "AMX", "AVX-512" or "fp32". */
const char *bf16_product_name(void);

#endif
