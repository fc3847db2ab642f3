/* A device that computes nothing: running the program on it shows what memory and work it needs, and that a GPU takes
 * every launch. */
#include <stddef.h>

#include "base/check.h"
#include "base/log.h"
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

/* Ends the job if a GPU would refuse the launch. Moving sequences * heads from y or z to x in every grid would gain
 * nothing: a model of 340M parameters has some 500. */
static void check_launch(Kernel kernel, DType type, Grid grid, const void *arguments) {
    static const char *const name[KERNELS] = {
#define KERNEL_ENTRY(name) #name,
#include "core/kernels.def"
#undef KERNEL_ENTRY
    };
    enum { MOST_X = INT32_MAX, MOST = 65535 };
    (void)type, (void)arguments;
    if (grid.x <= MOST_X && grid.y <= MOST && grid.z <= MOST) return;
    log_error(
        "a micro-batch is too large for a GPU: %s needs %lld x %lld x %lld thread blocks, and CUDA has at most %d "
        "x %d x %d. Lower training.batch_size (training.gradient_accumulation_steps makes up for it), "
        "training.seq_len or the model's number of heads",
        name[kernel], (long long)grid.x, (long long)grid.y, (long long)grid.z, MOST_X, MOST, MOST);
    log_end_job(BAD_INPUT);
}

static void no_synchronize(void) {}

static int64_t no_limit(int sharers) {
    (void)sharers;
    return INT64_MAX;
}
static uint64_t no_identity(void) { return 0; }

#define COUNTING(for_gpu, launched)                                                                                    \
    {                                                                                                                  \
        .name = "counting", .host_memory = true, .gpu = for_gpu, .allocate = no_memory, .release = no_release,         \
        .allocate_host = no_memory, .release_host = no_release, .available = no_limit, .identity = no_identity,        \
        .fill = no_fill, .copy = no_copy, .gemm = no_gemm, .launch = launched, .synchronize = no_synchronize           \
    }

const Device *device_counting(bool gpu) {
    static const Device devices[] = {COUNTING(false, no_launch), COUNTING(true, check_launch)};
    return &devices[gpu];
}
