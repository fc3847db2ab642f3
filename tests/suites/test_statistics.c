/* Statistics of small samples, against values of scipy 1.17 unless they are obvious. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "suites/statistics.h"

#define LENGTH(array) ((int)(sizeof(array) / sizeof(array)[0]))

static const double a[] = {0.912, 0.934, 0.899, 0.951, 0.927, 0.940};
static const double b[] = {0.871, 0.929, 0.902, 0.884, 0.893, 0.911};

static void assert_close(double value, double expected) {
    if (!(fabs(value - expected) <= 1e-9 * fabs(expected))) fail_msg("%.17g, but it is %.17g", value, expected);
}

static void samples_are_described(void **state) {
    (void)state;
    assert_close(sample_mean(a, 6), 0.9271666666666667);
    assert_close(sample_deviation(a, 6), 0.018988593067067);
    assert_close(sample_median(a, 6), 0.9305);
    assert_close(sample_median(a, 5), 0.927);
    const Interval interval = mean_interval(a, 6);
    assert_close(interval.low, 0.9072393603506048);
    assert_close(interval.high, 0.9470939729827288);
}

static void one_value_has_no_deviation(void **state) {
    (void)state;
    assert_close(sample_mean(a, 1), 0.912);
    assert_close(sample_median(a, 1), 0.912);
    assert_true(isnan(sample_mean(a, 0)) && isnan(sample_median(a, 0)));
    assert_true(isnan(sample_deviation(a, 1)));
    assert_true(isnan(mean_interval(a, 1).low) && isnan(mean_interval(a, 1).high));
    assert_true(isnan(welch_test(a, 1, b, 6)));
    assert_true(isnan(rank_correlation(a, b, 1)));
    assert_close(paired_permutation(a, b, 1), 1);
    assert_true(isnan(paired_permutation(a, b, 0)));
    assert_close(unpaired_permutation(a, 1, b, 1), 1);
}

static void equal_values_do_not_vary(void **state) {
    (void)state;
    static const double same[] = {0.1, 0.1, 0.1}, other[] = {0.7, 0.7, 0.7};
    assert_true(sample_deviation(same, 3) == 0);
    assert_true(mean_interval(same, 3).low == 0.1 && mean_interval(same, 3).high == 0.1);
    assert_close(paired_permutation(same, same, 3), 1);
    assert_close(unpaired_permutation(same, 3, same, 3), 1);
    assert_close(paired_permutation(same, other, 3), 0.25);
    assert_close(unpaired_permutation(same, 3, other, 3), 0.1);
    assert_true(isnan(welch_test(same, 3, other, 3)));
    assert_true(isnan(rank_correlation(same, a, 3)));
}

static void student_has_the_tabulated_values(void **state) {
    (void)state;
    static const double quantiles[][2] = {{1, 12.706204736174694},   {2, 4.302652729749462},
                                          {2.5, 3.5746548420036817}, {5, 2.5705818356363146},
                                          {30, 2.0422724563012378},  {1000, 1.9623390808264083}};
    static const double tails[][3] = {{0, 3, 1},
                                      {1.5, 4, 0.208},
                                      {-2.7, 7.3, 0.02945305624082847},
                                      {12, 2, 0.00687293367715846},
                                      {0.01, 50, 0.992061081367143},
                                      {40, 30, 1.3726045194406417e-27}};
    for (int i = 0; i < LENGTH(quantiles); i++) assert_close(t_quantile_95(quantiles[i][0]), quantiles[i][1]);
    for (int i = 0; i < LENGTH(tails); i++) assert_close(t_two_sided(tails[i][0], tails[i][1]), tails[i][2]);
    assert_true(t_two_sided(INFINITY, 3) == 0);
    assert_close(welch_test(a, 6, b, 5), 0.0356984113101488);
}

static void permutations_are_counted_exactly(void **state) {
    (void)state;
    assert_close(paired_permutation(a, b, 6), 0.0625);
    assert_close(paired_permutation(b, a, 6), 0.0625);
    assert_close(unpaired_permutation(a, 6, b, 5), 0.03896103896103896);
    assert_close(unpaired_permutation(a, 5, b, 5), 0.07142857142857142);
    static const double low[] = {1, 2, 3, 4, 5}, high[] = {6, 7, 8, 9, 10};
    assert_close(unpaired_permutation(low, 5, high, 5), 2.0 / 252);
    assert_close(paired_permutation(low, high, 5), 2.0 / 32);
    static const double far[] = {6, 7, 8, 100};
    assert_close(unpaired_permutation(low, 5, far, 4), 1.0 / 126);
    assert_close(unpaired_permutation_smallest(5, 5), 2.0 / 252);
    assert_close(unpaired_permutation_smallest(5, 4), 1.0 / 126);
    assert_close(paired_permutation_smallest(5), 2.0 / 32);
    assert_close(paired_permutation_smallest(6), 0.03125);
    assert_close(paired_permutation_smallest(1), 1);
}

/* Differences of 0.1, 0.2 and 0.3, whose sums round differently in different orders. */
static void rounding_does_not_break_ties(void **state) {
    (void)state;
    static const double x[] = {0.1, 0.2, -0.3, 0.3}, y[] = {0, 0, 0, 0};
    assert_close(paired_permutation(x, y, 4), 12.0 / 16); /* all but the four sums of +-0.1 */
}

static void twenty_values_are_enough_for_permutations(void **state) {
    (void)state;
    double x[PERMUTATION_MAX + 1], y[PERMUTATION_MAX + 1];
    for (int i = 0; i <= PERMUTATION_MAX; i++) {
        x[i] = i + 1;
        y[i] = 0;
    }
    assert_close(paired_permutation(x, y, PERMUTATION_MAX), ldexp(2, -PERMUTATION_MAX));
    assert_true(isnan(paired_permutation(x, y, PERMUTATION_MAX + 1)));
    assert_close(unpaired_permutation(x, 10, x + 10, 10), 2.0 / 184756);
    assert_true(isnan(unpaired_permutation(x, 10, y, 11)));
}

/* only_a + only_b + 5 examples: the models differ in the first ones. */
static void signs_are_counted(void **state) {
    (void)state;
    assert_close(sign_test(0, 0), 1);
    assert_close(sign_test(1, 1), 1);
    assert_close(sign_test(0, 1), 1);
    assert_close(sign_test(0, 6), 0.03125);
    assert_close(sign_test(7, 8), 1);
    assert_close(sign_test(12, 3), 0.03515625);
    assert_close(sign_test(40, 70), 0.005447429511444476);
    assert_close(sign_test(400, 520), 8.549170923883781e-05);
}

static void rates_near_zero_have_intervals(void **state) {
    (void)state;
    static const struct {
        int64_t events, trials;
        double low, high;
    } rows[] = {{0, 300, 0, 0.012642971224546036},
                {3, 1000, 0.0010207838811386186, 0.008783014053503173},
                {50, 100, 0.4038315303659956, 0.5961684696340044},
                {1000, 1000, 0.9961732415144449, 1}};
    for (int i = 0; i < LENGTH(rows); i++) {
        const Interval interval = rate_interval(rows[i].events, rows[i].trials);
        assert_close(interval.low, rows[i].low);
        assert_close(interval.high, rows[i].high);
    }
    assert_true(isnan(rate_interval(0, 0).low));
}

static void holm_multiplies_the_smaller_more(void **state) {
    (void)state;
    double p[] = {0.01, NAN, 0.04, 0.03, 0.005}, equal[] = {0.02, 0.02, 0.9};
    holm_correct(p, LENGTH(p));
    static const double corrected[] = {0.03, NAN, 0.06, 0.06, 0.02}, equal_corrected[] = {0.06, 0.06, 0.9};
    for (int i = 0; i < LENGTH(p); i++)
        if (i == 1)
            assert_true(isnan(p[i]));
        else
            assert_close(p[i], corrected[i]);
    holm_correct(equal, LENGTH(equal));
    for (int i = 0; i < LENGTH(equal); i++) assert_close(equal[i], equal_corrected[i]);
    holm_correct(NULL, 0);
}

static void ranks_correlate(void **state) {
    (void)state;
    static const double x[] = {0.419, 0.432, 0.347, 0.478, 0.462}, y[] = {0.42, 0.43, 0.36, 0.44, 0.46};
    static const double tied_x[] = {1, 2, 2, 4, 5, 5}, tied_y[] = {3, 1, 2, 6, 4, 4}, falling[] = {5, 4, 3, 2, 1};
    static const double rising[] = {1, 10, 11, 12, 100};
    assert_close(rank_correlation(x, y, 5), 0.9);
    assert_close(rank_correlation(tied_x, tied_y, 6), 0.6269355057278587);
    assert_close(rank_correlation(rising, falling, 5), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_are_described),
        cmocka_unit_test(one_value_has_no_deviation),
        cmocka_unit_test(equal_values_do_not_vary),
        cmocka_unit_test(student_has_the_tabulated_values),
        cmocka_unit_test(permutations_are_counted_exactly),
        cmocka_unit_test(rounding_does_not_break_ties),
        cmocka_unit_test(twenty_values_are_enough_for_permutations),
        cmocka_unit_test(signs_are_counted),
        cmocka_unit_test(rates_near_zero_have_intervals),
        cmocka_unit_test(holm_multiplies_the_smaller_more),
        cmocka_unit_test(ranks_correlate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
