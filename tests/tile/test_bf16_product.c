/* Products of tiles in bf16, against sums in fp64. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/dtype.h"
#include "base/rng.h"
#include "tile/bf16_product.h"

enum { STRIDE = BF16_PRODUCT_SIDE + 16 };
static float a[BF16_PRODUCT_SIDE * STRIDE], b[BF16_PRODUCT_SIDE * STRIDE], d[BF16_PRODUCT_SIDE * STRIDE];
static float before[BF16_PRODUCT_SIDE * STRIDE];

static double entry(const float *x, bool transposed, int i, int j, bool rounds) {
    const float value = x[transposed ? j * STRIDE + i : i * STRIDE + j];
    return (double)(rounds ? bf16_to_float(float_to_bf16(value)) : value);
}

/* Sums are in fp32: each addition may have an error of 2^-23 relative to the sum so far. There is no other error. */
static void expect_product(Bf16Product *product, int rows, int cols, int depth, bool a_transposed, bool b_transposed,
                           bool packs) {
    static uint32_t left[BF16_PRODUCT_SIDE * BF16_PRODUCT_SIDE] __attribute__((aligned(64)));
    static uint32_t right[BF16_PRODUCT_SIDE * BF16_PRODUCT_SIDE] __attribute__((aligned(64)));
    const bool rounds = product != bf16_product_plain;
    Factor factor_a = {a, STRIDE, a_transposed, NULL}, factor_b = {b, STRIDE, b_transposed, NULL};
    if (packs) {
        (rounds ? bf16_pack_left_pairs : bf16_pack_left_plain)(left, rows, depth, factor_a);
        (rounds ? bf16_pack_right_pairs : bf16_pack_right_plain)(right, cols, depth, factor_b);
        factor_a = (Factor){.packed = left};
        factor_b = (Factor){.packed = right};
    }
    for (int i = 0; i < BF16_PRODUCT_SIDE * STRIDE; i++) d[i] = before[i];
    product(d, STRIDE, rows, cols, depth, factor_a, factor_b);
    for (int i = 0; i < BF16_PRODUCT_SIDE; i++)
        for (int j = 0; j < STRIDE; j++) {
            const int at = i * STRIDE + j;
            double sum = (double)before[at], size = fabs(sum);
            for (int k = 0; k < depth && i < rows && j < cols; k++) {
                const double term = entry(a, a_transposed, i, k, rounds) * entry(b, b_transposed, k, j, rounds);
                sum += term;
                size += fabs(term);
            }
            const double bound = i < rows && j < cols ? depth * 0x1p-23 * size : 0;
            if (!(fabs((double)d[at] - sum) <= bound))
                fail_msg("%d x %d x %d, a%s b%s: entry (%d, %d) is %g, not %g", rows, cols, depth,
                         a_transposed ? "^T" : "", b_transposed ? "^T" : "", i, j, (double)d[at], sum);
        }
}

static void expect_products(Bf16Product *product, const char *name) {
    if (!product) {
        printf("this processor or operating system does not support %s\n", name);
        skip();
    }
    rng_normal(11, rng_key("a"), 0, BF16_PRODUCT_SIDE * STRIDE, 0, 1, a);
    rng_normal(11, rng_key("b"), 0, BF16_PRODUCT_SIDE * STRIDE, 0, 1, b);
    rng_normal(11, rng_key("d"), 0, BF16_PRODUCT_SIDE * STRIDE, 0, 1, before);
    static const int sizes[][3] = {{16, 16, 16},  {64, 64, 64},  {32, 64, 16},  {64, 16, 48},  {48, 80, 112},
                                   {64, 64, 256}, {128, 64, 64}, {64, 128, 64}, {256, 16, 32}, {16, 256, 64}};
    for (size_t n = 0; n < sizeof sizes / sizeof *sizes; n++)
        for (int order = 0; order < 8; order++)
            expect_product(product, sizes[n][0], sizes[n][1], sizes[n][2], order & 1, order & 2, order & 4);
}

static void by_tiles(void **state) {
    (void)state;
    expect_products(bf16_product_by_tiles(), "AMX for bf16");
}
static void plain(void **state) {
    (void)state;
    expect_products(bf16_product_plain, "fp32");
}
static void by_pairs(void **state) {
    (void)state;
    expect_products(bf16_product_by_pairs(), "AVX-512 for bf16");
}

/* NaN and infinite values are preserved, so that a run that diverges is noticed. */
static void extremes(void **state) {
    (void)state;
    Bf16Product *const products[] = {bf16_product_by_tiles(), bf16_product_by_pairs()};
    for (int n = 0; n < 2; n++) {
        if (!products[n]) continue;
        for (int i = 0; i < 64 * STRIDE; i++) a[i] = b[i] = d[i] = 1;
        a[3 * STRIDE + 5] = NAN;
        a[4 * STRIDE + 5] = INFINITY;
        products[n](d, STRIDE, 64, 64, 64, (Factor){a, STRIDE, false, NULL}, (Factor){b, STRIDE, false, NULL});
        for (int j = 0; j < 64; j++) {
            assert_true(isnan(d[3 * STRIDE + j]) && isinf(d[4 * STRIDE + j]));
            assert_true(d[5 * STRIDE + j] == 65);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(by_tiles), cmocka_unit_test(by_pairs), cmocka_unit_test(plain),
                                       cmocka_unit_test(extremes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
