#include "training/peak.h"

#include "core/profile.h"

/* Three matrices of at most fp32. */
static int64_t memory_of(int64_t n) { return 3 * n * n * (int64_t)sizeof(float); }

/* The best of a few products of two n x n matrices: FLOP/s. */
static double product_rate(const Device *device, DType type, int64_t n) {
    enum { TRIES = 4 };
    const int64_t bytes = memory_of(n) / 3;
    char *at = device_memory(device, 3 * bytes, "the measured product");
    device->fill(at, 0, 1, 3 * bytes, 3 * bytes);
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
        device->synchronize();
        const double start = seconds_now();
        device->gemm(&gemm);
        device->synchronize();
        const double rate = 2.0 * (double)n * (double)n * (double)n / (seconds_now() - start);
        if (rate > best) best = rate;
    }
    device->release(at, 3 * bytes);
    return best;
}

double peak_product_rate(const Device *device, DType type, int64_t *n) {
    static const double long_enough = 1e-3; /* seconds: to start a product takes a device some microseconds */
    enum { LARGEST = 8192 };
    for (;;) {
        const double rate = product_rate(device, type, *n), size = (double)*n;
        const bool room = device->available(1) > 4 * memory_of(*n);
        if (*n >= LARGEST || !room || 2 * size * size * size / rate >= long_enough) return rate;
        *n *= 2;
    }
}
