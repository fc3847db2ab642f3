/* Matrix products on the host's cores. */
#ifndef FLAME_CORE_CPU_GEMM_H
#define FLAME_CORE_CPU_GEMM_H

#include "core/device.h"

/* Device.gemm of the CPU. Results are bitwise reproducible, and the same on 1 to 4 threads: C is split into tiles by
 * its shape (beyond 4 threads also by the number of threads), and one thread computes each tile. Not reentrant. Ends
 * the job if the library fails (see cpu_gemm_supports). */
void cpu_gemm(const Gemm *gemm);
/* Whether this processor can multiply elements of `type`: F32 always, BF16 if oneDNN has bf16 code for it. */
bool cpu_gemm_supports(DType type);
/* "oneDNN 2.6.3 (OpenMP)". */
const char *cpu_gemm_library(void);

#endif
