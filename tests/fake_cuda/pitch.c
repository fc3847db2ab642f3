/* Copies and fills of two rows that lie 3 GiB apart, which is more than one call of CUDA can skip.
 * tests/run/fake_gpu.sh runs it. */
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/mman.h>

#include "base/check.h"
#include "core/device_cuda.h"

enum { BYTES = 100 };
static const int64_t APART = INT64_C(3) << 30;

static unsigned char *two_rows(void) {
    void *rows =
        mmap(NULL, (size_t)(APART + BYTES), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(rows != MAP_FAILED, "no addresses for two rows");
    return rows;
}

static void expect_rows(const unsigned char *first, int64_t stride, int value) {
    for (int64_t row = 0; row < 2; row++)
        for (int64_t i = 0; i < BYTES; i++)
            CHECK(first[row * stride + i] == value, "byte %lld of row %lld is %d, not %d", (long long)i, (long long)row,
                  first[row * stride + i], value);
}

int main(void) {
    const Device *device = NULL;
    char text[1024];
    CHECK(device_cuda_open(0, &device, text, sizeof text) == CUDA_READY, "%s", text);
    unsigned char *apart = two_rows(), *others = two_rows(), close[2 * BYTES] = {0};
    device->fill(apart, 7, 2, BYTES, APART);
    device->synchronize();
    expect_rows(apart, APART, 7);
    device->copy(close, BYTES, apart, APART, 2, BYTES);
    device->synchronize();
    expect_rows(close, BYTES, 7);
    device->copy(others, APART, close, BYTES, 2, BYTES);
    device->synchronize();
    expect_rows(others, APART, 7);
    puts("rows far apart are copied and filled");
    return 0;
}
