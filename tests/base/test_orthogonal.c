/* Rows are orthonormal, fill space evenly, and do not depend on the number of threads. */
#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/orthogonal.h"
#include "base/rng.h"

static float *rows_of(int64_t count, int64_t length, int threads) {
    float *rows = malloc((size_t)(count * length) * sizeof *rows);
    assert_non_null(rows);
    rng_normal(3, rng_key("rows"), 0, count * length, 0, 1, rows);
    omp_set_num_threads(threads);
    orthonormalise_rows(rows, count, length);
    return rows;
}

static double product(const float *x, const float *y, int64_t length) {
    double sum = 0;
    for (int64_t i = 0; i < length; i++) sum += (double)x[i] * (double)y[i];
    return sum;
}

static void test_rows_are_orthonormal(void **state) {
    (void)state;
    static const int64_t sizes[][2] = {{1, 7}, {33, 40}, {100, 100}, {64, 300}};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        const int64_t count = sizes[s][0], length = sizes[s][1];
        float *rows = rows_of(count, length, 2);
        for (int64_t i = 0; i < count; i++)
            for (int64_t j = 0; j <= i; j++)
                assert_true(fabs(product(rows + i * length, rows + j * length, length) - (i == j)) < 1e-4);
        free(rows);
    }
}

/* Entries of rows that are uniform over the sphere have mean 0 and variance 1 / length. */
static void test_entries_are_spread_evenly(void **state) {
    (void)state;
    enum { COUNT = 128, LENGTH = 256, ENTRIES = COUNT * LENGTH };
    float *rows = rows_of(COUNT, LENGTH, 2);
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < ENTRIES; i++) {
        sum += (double)rows[i];
        squares += (double)rows[i] * (double)rows[i];
    }
    assert_true(fabs(sum / ENTRIES) < 4 / sqrt((double)LENGTH * ENTRIES)); /* four standard errors */
    assert_true(fabs(squares / ENTRIES * LENGTH - 1) < 1e-5);
    free(rows);
}

static void test_threads_change_no_bit(void **state) {
    (void)state;
    float *one = rows_of(70, 90, 1), *three = rows_of(70, 90, 3);
    assert_memory_equal(one, three, 70 * 90 * sizeof *one);
    free(one);
    free(three);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows_are_orthonormal),
                                       cmocka_unit_test(test_entries_are_spread_evenly),
                                       cmocka_unit_test(test_threads_change_no_bit)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
