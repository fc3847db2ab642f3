/* The host's cores: oneDNN for products, OpenMP over the programs of a kernel. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <dnnl.h>

#include "core/check.h"
#include "core/device.h"

typedef void KernelProgram(const void *arguments, int64_t x, int64_t y, int64_t z);

#define KERNEL_ENTRY(name) KernelProgram name##_cpu_f32, name##_cpu_bf16;
#include "kernels/kernels.def"
#undef KERNEL_ENTRY

static KernelProgram *const programs[KERNELS][2] = {
#define KERNEL_ENTRY(name) {name##_cpu_f32, name##_cpu_bf16},
#include "kernels/kernels.def"
#undef KERNEL_ENTRY
};

static void *cpu_allocate(int64_t bytes) {
    void *memory = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return NULL;
    madvise(memory, (size_t)bytes, MADV_HUGEPAGE);
    return memory;
}

static void cpu_release(void *memory, int64_t bytes) { munmap(memory, (size_t)bytes); }

static void cpu_fill(void *to, int value, int64_t rows, int64_t bytes, int64_t stride) {
    if (stride == bytes) {
        memset(to, value, (size_t)(rows * bytes));
        return;
    }
    for (int64_t row = 0; row < rows; row++) memset((char *)to + row * stride, value, (size_t)bytes);
}

static void cpu_copy(void *to, int64_t to_stride, const void *from, int64_t from_stride, int64_t rows, int64_t bytes) {
    for (int64_t row = 0; row < rows; row++)
        memcpy((char *)to + row * to_stride, (const char *)from + row * from_stride, (size_t)bytes);
}

static void cpu_gemm(const Gemm *g) {
    CHECK(g->type == F32 && g->c_type == F32, "bf16 products are not there yet");
    const dnnl_status_t status = dnnl_sgemm(g->transpose_a ? 'T' : 'N', g->transpose_b ? 'T' : 'N', g->m, g->n, g->k, 1.0f, g->a,
                                            g->lda, g->b, g->ldb, g->accumulate ? 1.0f : 0.0f, g->c, g->ldc);
    CHECK(status == dnnl_success, "dnnl_sgemm answered %d", (int)status);
}

static void cpu_launch(Kernel kernel, DType type, Grid grid, const void *arguments) {
    KernelProgram *program = programs[kernel][type == BF16];
    const int64_t programs_xy = grid.x * grid.y, count = programs_xy * grid.z;
#pragma omp parallel for schedule(guided)
    for (int64_t i = 0; i < count; i++) program(arguments, i % grid.x, i / grid.x % grid.y, i / programs_xy);
}

static void cpu_synchronize(void) {}

const Device *device_cpu(void) {
    static const Device device = {"cpu",    true,     cpu_allocate, cpu_release,    cpu_fill,
                                  cpu_copy, cpu_gemm, cpu_launch,   cpu_synchronize};
    return &device;
}

const char *device_cpu_libraries(void) { return "oneDNN"; }
