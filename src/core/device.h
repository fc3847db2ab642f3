/* A device: memory, matrix products, and the kernels of kernels/kernels.def. One static table each:
 *   cpu       the host's cores
 *   cuda      one NVIDIA GPU
 *   counting  does nothing and owns no memory: the memory plan and the FLOP count come from running the program on it
 *   emulator  the CUDA form of every kernel, one thread after another (tests only)
 *   guarded   the CPU with memory that only it can touch, as a GPU's (tests only)
 *
 * A device's memory belongs to the device: the rest of the program passes addresses around and reads or writes what
 * lies there only by `copy`. Work is done in the order it was asked for, but perhaps later: what a copy brings to the
 * host is there after `synchronize`, and until then the host leaves both ends of a copy alone. */
#ifndef FLAME_CORE_DEVICE_H
#define FLAME_CORE_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/dtype.h"

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
#include "core/kernels.def"
#undef KERNEL_ENTRY
    KERNELS
} Kernel;

/* How many programs of a kernel run; they are independent of each other and may run in any order. */
typedef struct Grid {
    int64_t x, y, z;
} Grid;

/* Work that a device can do again without being asked for each part of it. */
typedef struct Recording Recording;

typedef struct Device {
    const char *name;
    bool computes;    /* false: the counting device */
    bool host_memory; /* its memory is the host's, and its work is done when the call returns */
    bool nccl;        /* NCCL moves its memory */
    /* Memory, zeroed, aligned to 64 bytes at least; NULL if there is not enough. */
    void *(*allocate)(int64_t bytes);
    void (*release)(void *memory, int64_t bytes);
    /* Memory of the host that copies reach fastest; NULL if there is not enough. */
    void *(*allocate_host)(int64_t bytes);
    void (*release_host)(void *memory, int64_t bytes);
    /* Bytes that a process may still allocate if `sharers` of them use the device. */
    int64_t (*available)(int sharers);
    /* A number that no other device has; 0: all processes of a host share it. */
    uint64_t (*identity)(void);
    /* `rows` rows of `bytes` bytes each, `stride` bytes apart. Either end of a copy may be the host's. */
    void (*fill)(void *to, int value, int64_t rows, int64_t bytes, int64_t stride);
    void (*copy)(void *to, int64_t to_stride, const void *from, int64_t from_stride, int64_t rows, int64_t bytes);
    void (*gemm)(const Gemm *gemm);
    /* Runs the kernel compiled for elements of `type` over the grid. `arguments` is the kernel's own struct. */
    void (*launch)(Kernel kernel, DType type, Grid grid, const void *arguments);
    /* Waits until everything asked for is done. */
    void (*synchronize)(void);
    /* What is asked for between these two is not done but kept, with its addresses and arguments, for `replay`; in
     * between nothing is allocated or waited for. The caller owns the recording. NULL where a device does
     * everything at once. */
    void (*begin_recording)(void);
    Recording *(*end_recording)(void);
    void (*replay)(const Recording *recording);
    void (*release_recording)(Recording *recording);
} Device;

const Device *device_cpu(void);
const Device *device_counting(void);
/* Defined in the emulator library only, which tests link. */
const Device *device_emulator(void);

/* Ends the job because `what` needs `bytes`, with what is free and what to change. */
_Noreturn void device_out_of_memory(const Device *device, int64_t bytes, const char *what);
/* `bytes` of the device's memory for `what`; ends the job if there is not enough. */
void *device_memory(const Device *device, int64_t bytes, const char *what);
/* A copy to or from the host that is done when this returns. */
void device_download(const Device *device, void *host, const void *memory, int64_t bytes);
void device_upload(const Device *device, void *memory, const void *host, int64_t bytes);

/* Names and versions of the libraries behind the CPU's matrix products, for --version. */
const char *device_cpu_libraries(void);

#endif
