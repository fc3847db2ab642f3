/* The device that does nothing: the program runs on it to learn what it will need. */
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

const Device *device_counting(void) {
    static const Device device = {"counting", false,   no_memory, no_release,    no_fill,
                                  no_copy,    no_gemm, no_launch, no_synchronize};
    return &device;
}
