/* A device: memory, matrix products, and the kernels of core/kernels.def. There is one static table for each:
 *   cpu       the host's cores
 *   cuda      one NVIDIA GPU
 *   counting  allocates and computes nothing: running the program on it yields the memory plan and the FLOP count
 *   emulator  runs the CUDA form of every kernel on the CPU, one thread at a time (tests only)
 *   guarded   the CPU, with device memory that the host cannot touch, like a GPU's (tests only)
 *
 * The host never dereferences device memory: it passes the addresses around and moves data with `copy`. All calls are
 * asynchronous and run in order, like a CUDA stream: the result of a copy to the host is valid after `synchronize`, and
 * until then neither buffer of a copy may be changed. */
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

/* A library can use its fast kernels (on a GPU those that load by TMA, or 16 bytes at a time) if addresses and rows of
 * matrices begin at multiples of this many bytes. Other matrices give the same numbers, but slower. */
enum { GEMM_ALIGNMENT = 16 };
bool gemm_is_aligned(const Gemm *gemm);
/* The distance in elements between rows of a new matrix of `cols` columns, such that every row is aligned. */
int64_t gemm_stride(int64_t cols, DType type);

/* Every kernel of the program, as core/kernels.def lists them. */
typedef enum Kernel {
#define KERNEL_ENTRY(name) KERNEL_##name,
#include "core/kernels.def"
#undef KERNEL_ENTRY
    KERNELS
} Kernel;

/* Number of programs (thread blocks) of a kernel. Programs are independent and may run in any order. */
typedef struct Grid {
    int64_t x, y, z;
} Grid;

/* A recorded sequence of device calls that can be replayed with one call: a CUDA graph. */
typedef struct Recording Recording;

typedef struct Device {
    const char *name;
    bool computes;    /* false: the counting device */
    bool host_memory; /* device memory is host memory, and calls are synchronous */
    bool nccl;        /* NCCL can communicate from its memory */
    bool gpu;         /* ops divide their work as for a GPU: into fewer and larger parts */
    /* Memory, zeroed, aligned to 64 bytes at least; NULL if there is not enough. */
    void *(*allocate)(int64_t bytes);
    void (*release)(void *memory, int64_t bytes);
    /* Pinned host memory, for fast copies; NULL if there is not enough. */
    void *(*allocate_host)(int64_t bytes);
    void (*release_host)(void *memory, int64_t bytes);
    /* Bytes this process may still allocate when `sharers` processes share the device. */
    int64_t (*available)(int sharers);
    /* A number unique to the physical device; 0 if every process of a host uses the same one (the CPU). */
    uint64_t (*identity)(void);
    /* 2-D fill and copy: `rows` rows of `bytes` bytes, `stride` bytes apart. Source and destination of a copy may be
     * device or host memory. */
    void (*fill)(void *to, int value, int64_t rows, int64_t bytes, int64_t stride);
    void (*copy)(void *to, int64_t to_stride, const void *from, int64_t from_stride, int64_t rows, int64_t bytes);
    void (*gemm)(const Gemm *gemm);
    /* Runs the kernel compiled for elements of `type` over the grid. `arguments` is the kernel's own struct. */
    void (*launch)(Kernel kernel, DType type, Grid grid, const void *arguments);
    /* Waits for all calls so far. */
    void (*synchronize)(void);
    /* Calls between begin_recording and end_recording are recorded, with their addresses and arguments, instead of run;
     * `replay` runs them. Nothing may be allocated or synchronized in between. The caller owns the recording. All four
     * are NULL on devices that cannot record. */
    void (*begin_recording)(void);
    Recording *(*end_recording)(void);
    void (*replay)(const Recording *recording);
    void (*release_recording)(Recording *recording);
} Device;

const Device *device_cpu(void);
/* The counting device, for a GPU or for the host's cores. For a GPU, a launch that CUDA would refuse ends the job. */
const Device *device_counting(bool gpu);
/* Linked into tests only. */
const Device *device_emulator(void);

/* Ends the job: `what` needs `bytes`. The message says what is free and which keys need less. */
_Noreturn void device_out_of_memory(const Device *device, int64_t bytes, const char *what);
/* `bytes` of the device's memory for `what`; ends the job if there is not enough. */
void *device_memory(const Device *device, int64_t bytes, const char *what);
/* Synchronous copies between host and device. */
void device_download(const Device *device, void *host, const void *memory, int64_t bytes);
void device_upload(const Device *device, void *memory, const void *host, int64_t bytes);
/* Fills memory with NaN, as bf16 and as fp32, that stays NaN when kernels round it from fp32 to bf16. */
void device_poison(const Device *device, void *memory, int64_t bytes);

/* Names and versions of the libraries behind the CPU's matrix products, for --version. */
const char *device_cpu_libraries(void);

#endif
