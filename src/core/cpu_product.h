/* One single-threaded matrix product by the library that the build chose: oneDNN, OpenBLAS or BLIS. */
#ifndef FLAME_CORE_CPU_PRODUCT_H
#define FLAME_CORE_CPU_PRODUCT_H

#include "core/device.h"

typedef struct CpuProduct CpuProduct; /* what the library made for one shape */

/* Makes room for `count` products. All that were prepared before may be destroyed. */
void cpu_product_reserve(int count);
/* What multiplies this shape fastest; NULL where the library needs nothing made. Not for several threads at once. */
const CpuProduct *cpu_product_prepare(const Gemm *shape);
/* The product, by what was prepared for its shape. */
void cpu_product_multiply(const CpuProduct *product, const Gemm *gemm);
/* What cpu_gemm.h says of both. */
bool cpu_product_supports(DType type);
const char *cpu_product_library(void);

#endif
