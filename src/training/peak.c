#include "training/peak.h"

#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/rng.h"

enum { TRIES = 4, MOST_TRIES = 64 };
static const double trying_seconds = 0.1; /* how long further products are tried, after the first TRIES */

/* Bytes of three n x n matrices of at most fp32. */
static int64_t memory_of(int64_t n) { return 3 * n * n * (int64_t)sizeof(float); }

/* Fills memory with random numbers, repeated, because a GPU multiplies zeros faster than anything else. */
static void fill_random(const Device *device, char *memory, int64_t bytes, DType type) {
    enum { NUMBERS = 1 << 18 };
    float *numbers = memory_take(NUMBERS * sizeof *numbers, "the measured product", NOTHING_LESS);
    bf16 *rounded = memory_take(NUMBERS * sizeof *rounded, "the measured product", NOTHING_LESS);
    rng_uniform(1, rng_key("operands of the measured product"), 0, NUMBERS, -1, 1, numbers);
    for (int64_t i = 0; i < NUMBERS; i++) rounded[i] = float_to_bf16(numbers[i]);
    const int64_t block = NUMBERS * dtype_size(type), first = block < bytes ? block : bytes;
    device_upload(device, memory, type == BF16 ? (const void *)rounded : numbers, first);
    for (int64_t done = first; done < bytes; done += block) {
        const int64_t part = bytes - done < block ? bytes - done : block;
        device->copy(memory + done, part, memory, part, 1, part);
    }
    free(numbers);
    free(rounded);
}

/* The fastest of several products of two n x n matrices: FLOP/s. */
static double product_rate(const Device *device, DType type, int64_t n) {
    const int64_t bytes = memory_of(n) / 3;
    char *at = device_memory(device, 3 * bytes, "the measured product");
    fill_random(device, at, 2 * bytes, type);
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
    const double end = seconds_now() + trying_seconds;
    for (int i = 0; i < TRIES || (i < MOST_TRIES && seconds_now() < end); i++) {
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
    static const double long_enough = 1e-3; /* seconds; starting a product takes some microseconds */
    enum { LARGEST = 8192 };
    for (;;) {
        const double rate = product_rate(device, type, *n), size = (double)*n;
        const bool room = device->available(1) > 4 * memory_of(*n);
        if (*n >= LARGEST || !room || 2 * size * size * size / rate >= long_enough) return rate;
        *n *= 2;
    }
}

double peak_utilisation(const Device *device, DType type, int ranks, double rate, double *peak, bool *again) {
    *again = rate > *peak;
    if (*again) {
        int64_t n = PEAK_PRODUCT;
        *peak = fmax(rate, fmax(*peak, ranks * peak_product_rate(device, type, &n)));
    }
    return rate / *peak;
}

double peak_memory_rate(const Device *device) {
    int64_t half = INT64_C(1) << (device->host_memory ? 28 : 30); /* far more than caches hold */
    while (device->available(1) < 3 * half) half /= 2;
    char *memory = device_memory(device, 2 * half, "the measured copy");
    double best = 0;
    for (int i = 0; i < TRIES; i++) {
        device->synchronize();
        const double start = seconds_now();
        device->copy(memory + half, half, memory, half, 1, half);
        device->synchronize();
        const double rate = 2 * (double)half / (seconds_now() - start);
        if (rate > best) best = rate;
    }
    device->release(memory, 2 * half);
    return best;
}
