/* A device that computes nothing: running the program on it shows what memory and work it needs. */
#include <stddef.h>

#include "core/device.h"

static void *no_memory(int64_t bytes) {
    (void)bytes;
    return NULL;
}
static void no_release(void *memory, int64_t bytes) { (void)memory, (void)bytes; }
static void no_fill(void *to, int value, int64_t rows, int64_t bytes, int64_t stride) {
    (void)to, (void)value, (void)rows, (void)bytes, (void)stride;
}
static void no_copy(void *to, int64_t to_stride, const void *from, int64_t from_stride, int64_t rows, int64_t bytes) {
    (void)to, (void)to_stride, (void)from, (void)from_stride, (void)rows, (void)bytes;
}
static void no_gemm(const Gemm *gemm) { (void)gemm; }
static void no_launch(Kernel kernel, DType type, Grid grid, const void *arguments) {
    (void)kernel, (void)type, (void)grid, (void)arguments;
}
static void no_synchronize(void) {}

static int64_t no_limit(int sharers) {
    (void)sharers;
    return INT64_MAX;
}
static uint64_t no_identity(void) { return 0; }

#define COUNTING(for_gpu)                                                                                              \
    {                                                                                                                  \
        .name = "counting", .host_memory = true, .gpu = for_gpu, .allocate = no_memory, .release = no_release,         \
        .allocate_host = no_memory, .release_host = no_release, .available = no_limit, .identity = no_identity,        \
        .fill = no_fill, .copy = no_copy, .gemm = no_gemm, .launch = no_launch, .synchronize = no_synchronize          \
    }

const Device *device_counting(bool gpu) {
    static const Device devices[] = {COUNTING(false), COUNTING(true)};
    return &devices[gpu];
}
