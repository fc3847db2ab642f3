/* Products of tiles on the host's cores with the processor's instructions for bf16. */
#ifndef FLAME_TILE_BF16_PRODUCT_H
#define FLAME_TILE_BF16_PRODUCT_H

#include <stdbool.h>
#include <stdint.h>

/* A factor of a product: rows of floats, `stride` apart, or what bf16_pack_left or bf16_pack_right made of them. */
typedef struct Factor {
    const float *data;
    int stride;
    bool transposed;
    const uint32_t *packed; /* NULL: not yet */
} Factor;

enum { BF16_PRODUCT_SIDE = 256 }; /* the most rows, columns and depth */

/* d[rows, cols] += a b over `depth`, where a is [rows, depth], b [depth, cols], or the transpose of that. Rows, columns
 * and depth are multiples of 16. */
typedef void Bf16Product(float *d, int d_stride, int rows, int cols, int depth, Factor a, Factor b);

/* Brings a factor into the order that the product wants, once for several products: a left one of side x depth entries,
 * a right one of depth x side. `to` has room for side x depth words and begins at a multiple of 64 bytes. */
typedef void Bf16Pack(uint32_t *to, int side, int depth, Factor factor);

/* With AMX's tiles, and with AVX-512's products of pairs: as on a GPU, the entries of a and b are rounded to bf16 and
 * the sums are fp32. NULL where the processor or the system lacks them; the first asks the system for the use of tiles.
 */
Bf16Product *bf16_product_by_tiles(void);
Bf16Product *bf16_product_by_pairs(void);
/* All in fp32 (plain_product.c). */
Bf16Product bf16_product_plain;
Bf16Pack bf16_pack_left_plain, bf16_pack_right_plain;
/* For both of the others. */
Bf16Pack bf16_pack_left_pairs, bf16_pack_right_pairs;

/* The fastest that there is, once bf16_product_choose has been called; before, the plain one. */
extern Bf16Product *bf16_product;
extern Bf16Pack *bf16_pack_left, *bf16_pack_right;
void bf16_product_choose(void);
/* "AMX", "AVX-512" or "fp32". */
const char *bf16_product_name(void);

#endif
