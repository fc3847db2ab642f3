/* The kernels over flat arrays of parameters: sum_of_squares, adamw and moving_average against fp64, cast against
 * float_to_bf16, on the CPU and in the form for GPUs, at sizes that are no multiple of a block or of 16 bytes. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "core/device.h"
#include "kernels/basic/cast/cast.h"
#include "kernels/optimizer/adamw/adamw.h"
#include "kernels/optimizer/moving_average/moving_average.h"
#include "kernels/optimizer/sum_of_squares/sum_of_squares.h"
#include "tile/emulator_memory.h"
#include "tile/rows.h"

static const int64_t counts[] = {1, 3, 64, 515, 8192, 8193, 20001, 40000};
enum { COUNTS = sizeof counts / sizeof *counts };

static const Device *device_number(int d) { return d == 0 ? device_cpu() : device_emulator(); }

/* Numbers between low and high, `offset` floats past an address that is a multiple of 16. */
static float *random_floats(const char *name, int64_t count, int64_t offset, double low, double high) {
    float *x = (float *)emulator_allocate((count + offset) * (int64_t)sizeof(float)) + offset;
    rng_uniform(1, rng_key(name), 0, count, low, high, x);
    return x;
}

static void test_sum_of_squares(void **state) {
    (void)state;
    for (int n = 0; n < COUNTS * 2; n++) {
        const int64_t count = counts[n / 2], offset = n % 2, blocks = blocks_of(count, SQUARES_BLOCK);
        float *x = random_floats("x", count, offset, -2, 1);
        double *partial = emulator_allocate(blocks * (int64_t)sizeof(double));
        long double expected = 0;
        for (int64_t i = 0; i < count; i++) expected += (long double)x[i] * (long double)x[i];
        for (int d = 0; d < 2; d++) {
            memset(partial, 0xff, (size_t)blocks * sizeof *partial);
            const SumOfSquaresArguments arguments = {.x = x, .partial = partial, .count = count};
            device_number(d)->launch(KERNEL_sum_of_squares, BF16, (Grid){blocks, 1, 1}, &arguments);
            double sum = 0;
            for (int64_t p = 0; p < blocks; p++) sum += partial[p];
            assert_true(fabs((double)(sum / expected - 1)) < 1e-13);
        }
        emulator_release(partial);
        emulator_release(x - offset);
    }
}

static void test_cast(void **state) {
    (void)state;
    for (int n = 0; n < COUNTS * 2; n++) {
        const int64_t count = counts[n / 2], offset = n % 2;
        float *from = random_floats("from", count, offset, -3, 3);
        bf16 *to = emulator_allocate(count * (int64_t)sizeof(bf16));
        for (int d = 0; d < 2; d++) {
            memset(to, 0xff, (size_t)count * sizeof *to);
            const CastArguments arguments = {.from = from, .to = to, .count = count};
            device_number(d)->launch(KERNEL_cast, BF16, (Grid){blocks_of(count, CAST_BLOCK), 1, 1}, &arguments);
            for (int64_t i = 0; i < count; i++) assert_int_equal(to[i], float_to_bf16(from[i]));
        }
        emulator_release(to);
        emulator_release(from - offset);
    }
}

static bool close_to(float x, double expected) { return fabs((double)x - expected) < 1e-6; }

static void check_adamw(const Device *device, int64_t count, int64_t offset) {
    float *x[4], *before[4]; /* p, m, s and the gradient */
    static const char *const names[] = {"p", "m", "s", "g"};
    for (int i = 0; i < 4; i++) {
        x[i] = random_floats(names[i], count, offset, i == 2 ? 0.01 : -1, 1);
        before[i] = random_floats(names[i], count, 0, i == 2 ? 0.01 : -1, 1);
    }
    const AdamwArguments a = {.p = x[0],
                              .m = x[1],
                              .s = x[2],
                              .gradient = x[3],
                              .count = count,
                              .gradient_scale = 0.5f,
                              .keep = 0.999f,
                              .step = 0.01f,
                              .root_correction = 0.5f,
                              .one_minus_beta1 = 0.1f,
                              .beta2 = 0.95f,
                              .one_minus_beta2 = 0.05f,
                              .eps = 1e-8f};
    device->launch(KERNEL_adamw, BF16, (Grid){blocks_of(count, ADAMW_BLOCK), 1, 1}, &a);
    for (int64_t i = 0; i < count; i++) {
        const double g = (double)before[3][i] * 0.5, m = (double)before[1][i] + 0.1 * (g - (double)before[1][i]);
        const double s = 0.95 * (double)before[2][i] + 0.05 * g * g;
        assert_true(close_to(x[1][i], m) && close_to(x[2][i], s));
        assert_true(close_to(x[0][i], (double)before[0][i] * 0.999 - 0.01 * m / (sqrt(s) / 0.5 + 1e-8)));
        assert_true(x[3][i] == before[3][i]);
    }
    for (int i = 0; i < 4; i++) {
        emulator_release(x[i] - offset);
        emulator_release(before[i]);
    }
}

static void test_adamw(void **state) {
    (void)state;
    for (int n = 0; n < COUNTS * 2; n++)
        for (int d = 0; d < 2; d++) check_adamw(device_number(d), counts[n / 2], n % 2);
}

static void test_moving_average(void **state) {
    (void)state;
    for (int n = 0; n < COUNTS * 4; n++) {
        const int64_t count = counts[n / 4], offset = n % 2;
        float *p = random_floats("p", count, offset, -1, 1), *x = random_floats("x", count, offset, -1, 1);
        float *before = random_floats("p", count, 0, -1, 1);
        const MovingAverageArguments a = {.p = p, .x = x, .count = count, .keep = 0.75f, .one_minus_keep = 0.25f};
        device_number(n / 2 % 2)->launch(KERNEL_moving_average, BF16,
                                         (Grid){blocks_of(count, MOVING_AVERAGE_BLOCK), 1, 1}, &a);
        for (int64_t i = 0; i < count; i++) assert_true(close_to(p[i], 0.75 * (double)before[i] + 0.25 * (double)x[i]));
        emulator_release(p - offset);
        emulator_release(x - offset);
        emulator_release(before);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sum_of_squares), cmocka_unit_test(test_cast),
                                       cmocka_unit_test(test_adamw), cmocka_unit_test(test_moving_average)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
