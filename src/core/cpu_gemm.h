/* Matrix products on the host's cores. */
#ifndef FLAME_CORE_CPU_GEMM_H
#define FLAME_CORE_CPU_GEMM_H

#include "core/device.h"

/* Device.gemm of the CPU. The same bits from run to run, and on 1 to 4 threads: C is cut into tiles by its shape (with
 * more threads by their number too), and one thread makes a tile. One caller at a time. Ends the job if the library
 * cannot (see cpu_gemm_supports). */
void cpu_gemm(const Gemm *gemm);
/* Whether products of this type work here: F32 always, BF16 unless oneDNN has no bf16 code for this processor. */
bool cpu_gemm_supports(DType type);
/* "oneDNN 2.6.3 (OpenMP)". */
const char *cpu_gemm_library(void);

#endif
