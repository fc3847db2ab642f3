/* A device: memory, matrix products, and the kernels of kernels/kernels.def. One static table each:
 *   cpu       the host's cores
 *   counting  does nothing and owns no memory: the memory plan and the FLOP count come from running the program on it
 *   emulator  the CUDA form of every kernel, one thread after another (tests only)
 * Work on a device is done in the order it was asked for. */
#ifndef FLAME_CORE_DEVICE_H
#define FLAME_CORE_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/dtype.h"

/* C[m,n] = op(A) op(B), or C += op(A) op(B). All matrices row-major; ld* is the distance between rows in elements.
 * op(A) is [m,k]: A is stored [m,k], or [k,m] if transpose_a. op(B) is [k,n]: B is stored [k,n], or [n,k] if
 * transpose_b. A and B have one element type (F32 or BF16), C its own; sums are fp32. */
typedef struct Gemm {
    bool transpose_a, transpose_b, accumulate;
    int64_t m, n, k;
    const void *a, *b;
    void *c;
    int64_t lda, ldb, ldc;
    DType type, c_type;
} Gemm;

/* Every kernel of the program, by the list in kernels/kernels.def. */
typedef enum Kernel {
#define KERNEL_ENTRY(name) KERNEL_##name,
#include "kernels/kernels.def"
#undef KERNEL_ENTRY
    KERNELS
} Kernel;

/* How many programs of a kernel run; they are independent of each other and may run in any order. */
typedef struct Grid {
    int64_t x, y, z;
} Grid;

typedef struct Device {
    const char *name;
    bool computes; /* false: the counting device */
    /* Memory, aligned to 64 bytes at least; NULL if there is not enough. */
    void *(*allocate)(int64_t bytes);
    void (*release)(void *memory, int64_t bytes);
    /* `rows` rows of `bytes` bytes each, `stride` bytes apart. */
    void (*fill)(void *to, int value, int64_t rows, int64_t bytes, int64_t stride);
    void (*copy)(void *to, int64_t to_stride, const void *from, int64_t from_stride, int64_t rows, int64_t bytes);
    void (*gemm)(const Gemm *gemm);
    /* Runs the kernel compiled for elements of `type` over the grid. `arguments` is the kernel's own struct. */
    void (*launch)(Kernel kernel, DType type, Grid grid, const void *arguments);
    /* Waits until everything asked for is done. */
    void (*synchronize)(void);
} Device;

const Device *device_cpu(void);
const Device *device_counting(void);
/* Defined in the emulator library only, which tests link. */
const Device *device_emulator(void);

/* Names and versions of the libraries behind the CPU's matrix products, for --version. */
const char *device_cpu_libraries(void);

#endif
