#include "core/device.h"

#include "base/check.h"
#include "base/log.h"

static bool is_aligned(const void *matrix, int64_t stride, DType type) {
    return (uintptr_t)matrix % GEMM_ALIGNMENT == 0 && stride * dtype_size(type) % GEMM_ALIGNMENT == 0;
}

bool gemm_is_aligned(const Gemm *g) {
    return is_aligned(g->a, g->lda, g->type) && is_aligned(g->b, g->ldb, g->type) &&
           is_aligned(g->c, g->ldc, g->c_type);
}

int64_t gemm_stride(int64_t cols, DType type) {
    const int64_t multiple = GEMM_ALIGNMENT / dtype_size(type);
    return (cols + multiple - 1) / multiple * multiple;
}

void device_out_of_memory(const Device *device, int64_t bytes, const char *what) {
    log_error("out of memory on %s: %s needs %.1f MB and %.1f MB are free. Lower training.batch_size or "
              "training.seq_len, set activation_checkpoint.mode: full, use more ranks, or end other programs there",
              device->name, what, (double)bytes / 1e6, (double)device->available(1) / 1e6);
    log_end_job(BAD_INPUT);
}

void *device_memory(const Device *device, int64_t bytes, const char *what) {
    void *memory = device->allocate(bytes);
    if (!memory) device_out_of_memory(device, bytes, what);
    return memory;
}

void device_download(const Device *device, void *host, const void *memory, int64_t bytes) {
    device->copy(host, bytes, memory, bytes, 1, bytes);
    device->synchronize();
}

void device_upload(const Device *device, void *memory, const void *host, int64_t bytes) {
    device->copy(memory, bytes, host, bytes, 1, bytes);
    device->synchronize();
}

/* 0xfffeffff, again and again: a device fills with single bytes, and one that is NaN as bf16 is 0xff, but a NaN of
 * nothing but ones is rounded up to 0. */
void device_poison(const Device *device, void *memory, int64_t bytes) {
    enum { WORD = sizeof(uint32_t), DIFFERENT = 2 };
    char *to = memory;
    const int64_t first = bytes < WORD ? bytes : WORD;
    if (bytes > 0) device->fill(to, 0xff, 1, first, first);
    if (bytes > DIFFERENT) device->fill(to + DIFFERENT, 0xfe, 1, 1, 1);
    for (int64_t done = WORD; done < bytes; done *= 2) {
        const int64_t more = bytes - done < done ? bytes - done : done;
        device->copy(to + done, more, to, more, 1, more);
    }
}
