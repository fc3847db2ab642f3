/* Philox against the known answers of its authors (Random123), and the properties that initial weights depend on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <math.h>
#include <omp.h>

#include "base/rng.h"

enum { COUNT = 200000 };

static float values[COUNT], part[COUNT];

static void test_known_answers(void **state) {
    (void)state;
    static const uint32_t answers[3][10] = {
        {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {~0u, ~0u, ~0u, ~0u, ~0u, ~0u, 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09, 0x94fdcceb, 0x5001e420,
         0x24126ea1}};
    for (int i = 0; i < 3; i++) {
        uint32_t out[4];
        rng_philox(answers[i], answers[i] + 4, out);
        assert_memory_equal(out, answers[i] + 6, sizeof out);
    }
}

static void test_any_range_is_the_same(void **state) {
    (void)state;
    const uint64_t key = rng_key("model.layers.0.attn.q_proj.weight");
    rng_normal(42, key, 0, COUNT, 0, 0.02, values);
    for (int64_t first = 0; first < 9; first++)
        for (int64_t count = 0; count < 9; count++) {
            rng_normal(42, key, first, count, 0, 0.02, part);
            assert_memory_equal(part, values + first, (size_t)count * sizeof *part);
        }
    const int threads = omp_get_max_threads();
    omp_set_num_threads(3);
    rng_normal(42, key, 70001, COUNT - 70001, 0, 0.02, part);
    omp_set_num_threads(threads);
    assert_memory_equal(part, values + 70001, (COUNT - 70001) * sizeof *part);
}

static void moments(const float *x, double *mean, double *variance, double *kurtosis) {
    double sum = 0, square = 0, fourth = 0;
    for (int i = 0; i < COUNT; i++) sum += x[i];
    *mean = sum / COUNT;
    for (int i = 0; i < COUNT; i++) {
        const double d = (x[i] - *mean) * (x[i] - *mean);
        square += d;
        fourth += d * d;
    }
    *variance = square / COUNT;
    *kurtosis = fourth / COUNT / (*variance * *variance);
}

/* Bounds are five standard errors of each estimate. */
static void test_normal_moments(void **state) {
    (void)state;
    double mean, variance, kurtosis;
    rng_normal(1, rng_key("x"), 5, COUNT, 3, 2, values);
    moments(values, &mean, &variance, &kurtosis);
    assert_true(fabs(mean - 3) < 5 * 2 / sqrt(COUNT));
    assert_true(fabs(variance / 4 - 1) < 5 * sqrt(2.0 / COUNT));
    assert_true(fabs(kurtosis - 3) < 5 * sqrt(24.0 / COUNT));
}

static void test_uniform_moments(void **state) {
    (void)state;
    double mean, variance, kurtosis;
    rng_uniform(1, rng_key("x"), 5, COUNT, -1, 3, values);
    for (int i = 0; i < COUNT; i++) assert_true(values[i] >= -1 && values[i] < 3);
    moments(values, &mean, &variance, &kurtosis);
    assert_true(fabs(mean - 1) < 5 * 4 / sqrt(12.0 * COUNT));
    assert_true(fabs(variance * 12 / 16 - 1) < 5 * sqrt(0.8 / COUNT));
    assert_true(fabs(kurtosis - 1.8) < 0.03);
}

static void test_names_and_seeds_differ(void **state) {
    (void)state;
    rng_uniform(1, rng_key("a"), 0, 1000, 0, 1, values);
    int equal = 0;
    for (int other = 0; other < 2; other++) {
        rng_uniform(other ? 2 : 1, rng_key(other ? "a" : "b"), 0, 1000, 0, 1, part);
        for (int i = 0; i < 1000; i++) equal += values[i] == part[i];
    }
    assert_true(equal < 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_known_answers),
                                       cmocka_unit_test(test_any_range_is_the_same),
                                       cmocka_unit_test(test_normal_moments), cmocka_unit_test(test_uniform_moments),
                                       cmocka_unit_test(test_names_and_seeds_differ)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
