/* The host's cores: oneDNN for products, OpenMP over the programs of a kernel. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/free_memory.h"
#include "core/cpu_gemm.h"
#include "core/device.h"
#include "tile/bf16_product.h"

typedef void KernelProgram(const void *arguments, int64_t x, int64_t y, int64_t z);

#define KERNEL_ENTRY(name) KernelProgram name##_cpu_f32, name##_cpu_bf16;
#include "core/kernels.def"
#undef KERNEL_ENTRY

static KernelProgram *const programs[KERNELS][2] = {
#define KERNEL_ENTRY(name) {name##_cpu_f32, name##_cpu_bf16},
#include "core/kernels.def"
#undef KERNEL_ENTRY
};

static void *cpu_allocate(int64_t bytes) {
    void *memory = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return NULL;
    madvise(memory, (size_t)bytes, MADV_HUGEPAGE);
    return memory;
}

static void cpu_release(void *memory, int64_t bytes) { munmap(memory, (size_t)bytes); }

static int64_t cpu_available(int sharers) {
    const int64_t part = free_memory("") / sharers, own = free_address_space();
    return own < part ? own : part;
}

static uint64_t cpu_identity(void) { return 0; }

/* Large copies and fills use all threads, in pieces that are large enough to be worth a thread. */
enum { PIECE = 1 << 20 };

static int64_t pieces_of(int64_t bytes) { return (bytes + PIECE - 1) / PIECE; }
static size_t piece_size(int64_t bytes, int64_t i) {
    return (size_t)(bytes - i * PIECE < PIECE ? bytes - i * PIECE : PIECE);
}

static void cpu_fill(void *to, int value, int64_t rows, int64_t bytes, int64_t stride) {
    if (stride == bytes || rows == 1) {
        bytes *= rows;
#pragma omp parallel for if (bytes > PIECE)
        for (int64_t i = 0; i < pieces_of(bytes); i++) memset((char *)to + i * PIECE, value, piece_size(bytes, i));
        return;
    }
#pragma omp parallel for if (rows * bytes > PIECE)
    for (int64_t row = 0; row < rows; row++) memset((char *)to + row * stride, value, (size_t)bytes);
}

static void cpu_copy(void *to, int64_t to_stride, const void *from, int64_t from_stride, int64_t rows, int64_t bytes) {
    if ((to_stride == bytes && from_stride == bytes) || rows == 1) {
        bytes *= rows;
#pragma omp parallel for if (bytes > PIECE)
        for (int64_t i = 0; i < pieces_of(bytes); i++)
            memcpy((char *)to + i * PIECE, (const char *)from + i * PIECE, piece_size(bytes, i));
        return;
    }
#pragma omp parallel for if (rows * bytes > PIECE)
    for (int64_t row = 0; row < rows; row++)
        memcpy((char *)to + row * to_stride, (const char *)from + row * from_stride, (size_t)bytes);
}

static void cpu_launch(Kernel kernel, DType type, Grid grid, const void *arguments) {
    KernelProgram *program = programs[kernel][type == BF16];
    const int64_t programs_xy = grid.x * grid.y, count = programs_xy * grid.z;
#pragma omp parallel for schedule(guided) if (count > 1)
    for (int64_t i = 0; i < count; i++) program(arguments, i % grid.x, i / grid.x % grid.y, i / programs_xy);
}

static void cpu_synchronize(void) {}

const Device *device_cpu(void) {
    static const Device device = {.name = "cpu",
                                  .computes = true,
                                  .host_memory = true,
                                  .allocate = cpu_allocate,
                                  .release = cpu_release,
                                  .allocate_host = cpu_allocate,
                                  .release_host = cpu_release,
                                  .available = cpu_available,
                                  .identity = cpu_identity,
                                  .fill = cpu_fill,
                                  .copy = cpu_copy,
                                  .gemm = cpu_gemm,
                                  .launch = cpu_launch,
                                  .synchronize = cpu_synchronize};
    bf16_product_choose();
    return &device;
}

const char *device_cpu_libraries(void) {
    static char text[128];
    bf16_product_choose();
    snprintf(text, sizeof text, "%s, bf16 in kernels by %s", cpu_gemm_library(), bf16_product_name());
    return text;
}
