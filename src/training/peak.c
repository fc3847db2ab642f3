#include "training/peak.h"

#include "core/check.h"
#include "core/profile.h"

double peak_product_rate(const Device *device, DType type, int64_t n) {
    enum { TRIES = 4 };
    const int64_t bytes = n * n * (int64_t)sizeof(float);
    void *memory = device->allocate(3 * bytes);
    CHECK(memory, "out of memory for %lld x %lld matrices", (long long)n, (long long)n);
    device->fill(memory, 0, 1, 3 * bytes, 3 * bytes);
    char *at = memory;
    const Gemm gemm = {.transpose_b = true,
                       .m = n,
                       .n = n,
                       .k = n,
                       .a = at,
                       .b = at + bytes,
                       .c = at + 2 * bytes,
                       .lda = n,
                       .ldb = n,
                       .ldc = n,
                       .type = type,
                       .c_type = F32};
    double best = 0;
    for (int i = 0; i < TRIES; i++) {
        const double start = seconds_now();
        device->gemm(&gemm);
        device->synchronize();
        const double rate = 2.0 * (double)n * (double)n * (double)n / (seconds_now() - start);
        if (rate > best) best = rate;
    }
    device->release(memory, 3 * bytes);
    return best;
}
