/* Matrix products without a library: for builds that have to be small. */
#ifndef FLAME_CORE_OWN_PRODUCT_H
#define FLAME_CORE_OWN_PRODUCT_H

#include "core/device.h"

/* The product by the calling thread, in F32 or BF16 with sums in fp32. At most a few thousand rows and columns: packed
 * operands and sums are kept for the next call. */
void own_product(const Gemm *gemm);

#endif
