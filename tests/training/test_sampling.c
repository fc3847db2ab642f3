/* Draws follow the softmax of the logits, as changed by top_k, top_p and the repetition penalty. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <math.h>
#include <string.h>

#include <cmocka.h>

#include "base/draws.h"
#include "training/sampling.h"

enum { VOCABULARY = 12, DRAWS = 20000 };

static const float logits[VOCABULARY] = {0.5f, -1, 2, 0.1f, 2, -3, 1.2f, 0, 0.7f, -0.4f, 1.9f, -7};
static const SamplingOptions plain = {.repetition_penalty = 1, .temperature = 1, .top_p = 1};

static int32_t draw(Sampler *sampler, const float *from, const int32_t *seen, int64_t count, double unit) {
    float changed[VOCABULARY];
    memcpy(changed, from, sizeof changed);
    return sampler_draw(sampler, changed, seen, count, unit);
}

/* Chi-square of DRAWS draws against probabilities in proportion to `weight`; those of weight 0 must not occur. Returns
 * the statistic, and in *degrees how many degrees of freedom it has. */
static double chi_square(SamplingOptions options, const double weight[VOCABULARY], int *degrees) {
    Sampler *sampler = sampler_create(options, VOCABULARY);
    int counts[VOCABULARY] = {0};
    Draws draws = draws_begin(7, "test", 0);
    for (int i = 0; i < DRAWS; i++) counts[draw(sampler, logits, NULL, 0, draw_unit(&draws))]++;
    sampler_destroy(sampler);
    double sum = 0, statistic = 0;
    for (int i = 0; i < VOCABULARY; i++) sum += weight[i];
    *degrees = -1;
    for (int i = 0; i < VOCABULARY; i++) {
        const double expected = DRAWS * weight[i] / sum;
        if (weight[i] == 0) assert_int_equal(counts[i], 0);
        if (expected < 5) continue;
        statistic += pow(counts[i] - expected, 2) / expected;
        ++*degrees;
    }
    return statistic;
}

/* The statistic of n degrees of freedom has mean n and variance 2 n; five deviations. */
static void expect_distribution(SamplingOptions options, const double weight[VOCABULARY]) {
    int degrees;
    const double statistic = chi_square(options, weight, &degrees);
    assert_true(degrees >= 1);
    if (statistic > degrees + 5 * sqrt(2.0 * degrees)) fail_msg("chi-square %g, %d degrees", statistic, degrees);
}

static void softmax(double temperature, double weight[VOCABULARY]) {
    for (int i = 0; i < VOCABULARY; i++) weight[i] = exp((double)logits[i] / temperature);
}

static void test_draws_follow_the_softmax(void **state) {
    (void)state;
    double weight[VOCABULARY];
    softmax(1, weight);
    expect_distribution(plain, weight);
    SamplingOptions warm = plain;
    warm.temperature = 2.5;
    softmax(2.5, weight);
    expect_distribution(warm, weight);
}

static void test_top_k_keeps_ties(void **state) {
    (void)state;
    double weight[VOCABULARY];
    SamplingOptions options = plain;
    softmax(1, weight);
    for (int i = 0; i < VOCABULARY; i++)
        if (i != 2 && i != 4 && i != 10) weight[i] = 0;
    options.top_k = 3;
    expect_distribution(options, weight);
    weight[10] = 0;
    options.top_k = 1; /* 2 and 4 are alike */
    expect_distribution(options, weight);
}

static void test_top_p_keeps_the_fewest(void **state) {
    (void)state;
    double weight[VOCABULARY], sum = 0;
    SamplingOptions options = plain;
    softmax(1, weight);
    for (int i = 0; i < VOCABULARY; i++) sum += weight[i];
    const double three = (weight[2] + weight[4] + weight[10]) / sum;
    for (int i = 0; i < VOCABULARY; i++)
        if (i != 2 && i != 4 && i != 10) weight[i] = 0;
    options.top_p = three - 1e-9;
    expect_distribution(options, weight);
    softmax(1, weight);
    for (int i = 0; i < VOCABULARY; i++)
        if (i != 2 && i != 4 && i != 10 && i != 6) weight[i] = 0;
    options.top_p = three + 1e-9;
    expect_distribution(options, weight);
}

static void test_temperature_0_takes_the_first_of_the_largest(void **state) {
    (void)state;
    SamplingOptions greedy = plain;
    greedy.temperature = 0;
    Sampler *sampler = sampler_create(greedy, VOCABULARY);
    assert_int_equal(draw(sampler, logits, NULL, 0, 0.999), 2);
    sampler_destroy(sampler);
}

/* 2 is divided, once though it was there twice; -1 is multiplied. */
static void test_the_penalty(void **state) {
    (void)state;
    SamplingOptions greedy = plain;
    greedy.temperature = 0;
    greedy.repetition_penalty = 1.04;
    const int32_t seen[] = {2, 4, 2, 1};
    float changed[VOCABULARY];
    memcpy(changed, logits, sizeof changed);
    Sampler *sampler = sampler_create(greedy, VOCABULARY);
    assert_int_equal(sampler_draw(sampler, changed, seen, 4, 0.5), 2);
    assert_float_equal(changed[2], 2 / 1.04, 1e-6);
    assert_float_equal(changed[1], -1.04, 1e-6);
    assert_float_equal(changed[0], 0.5, 0);
    sampler_destroy(sampler);
}

static void test_logits_that_are_not_finite(void **state) {
    (void)state;
    for (int temperature = 0; temperature < 2; temperature++) {
        SamplingOptions options = plain;
        options.temperature = temperature;
        Sampler *sampler = sampler_create(options, VOCABULARY);
        float odd[VOCABULARY];
        memcpy(odd, logits, sizeof odd);
        odd[2] = -INFINITY; /* of no probability */
        assert_int_equal(draw(sampler, odd, NULL, 0, 0), temperature ? 0 : 4);
        for (int i = 0; i < VOCABULARY; i++) {
            memcpy(odd, logits, sizeof odd);
            odd[i] = NAN;
            assert_int_equal(draw(sampler, odd, NULL, 0, 0.5), -1);
            odd[i] = INFINITY;
            assert_int_equal(draw(sampler, odd, NULL, 0, 0.5), -1);
            odd[i] = -INFINITY;
            assert_in_range(draw(sampler, odd, NULL, 0, 0.5), 0, VOCABULARY - 1);
        }
        for (int i = 0; i < VOCABULARY; i++) odd[i] = -INFINITY;
        assert_int_equal(draw(sampler, odd, NULL, 0, 0.5), -1);
        sampler_destroy(sampler);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_draws_follow_the_softmax),
                                       cmocka_unit_test(test_top_k_keeps_ties),
                                       cmocka_unit_test(test_top_p_keeps_the_fewest),
                                       cmocka_unit_test(test_temperature_0_takes_the_first_of_the_largest),
                                       cmocka_unit_test(test_the_penalty),
                                       cmocka_unit_test(test_logits_that_are_not_finite)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
