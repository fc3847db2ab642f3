#include "meter/device_meter.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "core/add.h"

enum { SMALL_COPY = 1 << 20 };

#define KERNEL_ENTRY(name)                                                                                             \
    EmulatorProgram name##_emu_bf16;                                                                                   \
    extern const int64_t name##_argument_bytes;
#include "core/kernels.def"
#undef KERNEL_ENTRY

static MeterKernel kernel_of(Kernel kernel) {
    switch (kernel) {
#define KERNEL_ENTRY(name)                                                                                             \
    case KERNEL_##name:                                                                                                \
        return (MeterKernel){#name, name##_emu_bf16, name##_argument_bytes};
#include "core/kernels.def"
#undef KERNEL_ENTRY
    default:
        CHECK(false, "kernel %d", kernel);
    }
}

static const DeviceMeter *observer;

static void no_release(void *memory, int64_t bytes) { (void)memory, (void)bytes; }
static void *allocate_host(int64_t bytes) { return calloc(1, (size_t)bytes); }
static void release_host(void *memory, int64_t bytes) {
    (void)bytes;
    free(memory);
}
static int64_t available(int sharers) {
    (void)sharers;
    return INT64_C(80) << 30;
}
static uint64_t identity(void) { return 1; }

static void fill(void *to, int value, int64_t rows, int64_t bytes, int64_t stride) {
    (void)to, (void)value, (void)stride;
    observer->moved((double)(rows * bytes));
}

static void copy(void *to, int64_t to_stride, const void *from, int64_t from_stride, int64_t rows, int64_t bytes) {
    observer->moved(2 * (double)(rows * bytes));
    if (rows * bytes > SMALL_COPY) return;
    for (int64_t i = 0; i < rows; i++)
        memcpy((char *)to + i * to_stride, (const char *)from + i * from_stride, (size_t)bytes);
}

static void multiply(const Gemm *gemm) { observer->multiplied(gemm); }

/* Gradients of log decays that several ops read are added in fp32. The emulator has bf16 kernels only, so these run on
 * twice as many elements, which are as many bytes. */
static AddArguments add_of_bf16(const AddArguments *add) {
    AddArguments twice = *add;
    twice.cols *= 2, twice.x_stride *= 2, twice.y_stride *= 2, twice.z_stride *= 2;
    return twice;
}

static void launch(Kernel number, DType type, Grid grid, const void *arguments) {
    const MeterKernel kernel = kernel_of(number);
    if (number == KERNEL_add && type == F32) {
        const AddArguments add = add_of_bf16(arguments);
        launch(number, BF16, grid, &add);
        return;
    }
    CHECK(type == BF16 || number == KERNEL_sum_of_squares || number == KERNEL_adamw || number == KERNEL_moving_average,
          "%s is counted for bf16 elements only", kernel.name);
    if (grid.x * grid.y * grid.z == 0) return;
    observer->launched(number, kernel.name, meter_launch(kernel, grid, arguments));
    if (number == KERNEL_attention_ranges) meter_run(kernel, grid, arguments); /* other kernels loop over its results */
}

static void synchronize(void) {}

const Device *device_meter(const DeviceMeter *reports) {
    static const Device device = {.name = "meter",
                                  .gpu = true,
                                  .computes = true,
                                  .allocate = meter_allocate,
                                  .release = no_release,
                                  .allocate_host = allocate_host,
                                  .release_host = release_host,
                                  .available = available,
                                  .identity = identity,
                                  .fill = fill,
                                  .copy = copy,
                                  .gemm = multiply,
                                  .launch = launch,
                                  .synchronize = synchronize};
    observer = reports;
    return &device;
}
