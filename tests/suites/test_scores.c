/* Scores of answers that are counted by hand. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "suites/scores.h"

enum { IGNORED = -100, WIDTH = 4 };

/* Logits that answer `answer` with probability e / (e + 3). */
static void answer(float *logits, int64_t answer) {
    for (int64_t i = 0; i < WIDTH; i++) logits[i] = i == answer;
}

static void assert_near(double value, double expected) {
    if (!(fabs(value - expected) < 1e-6)) fail_msg("%.9f is not %.9f", value, expected);
}

static Scores score(int64_t classes, int64_t examples, int64_t T, const int32_t *labels, const int32_t *answers,
                    bool *right) {
    float logits[16 * WIDTH];
    Scoring *scoring = scoring_begin(examples, T, classes);
    for (int64_t i = 0; i < examples; i++) {
        for (int64_t t = 0; t < T; t++) answer(logits + t * WIDTH, answers[i * T + t]);
        scoring_add(scoring, labels + i * T, NULL, logits, WIDTH);
    }
    return scoring_end(scoring, right);
}

static void counts_scored_positions_only(void **state) {
    (void)state;
    const int32_t labels[] = {0, IGNORED, 1, 1, 2, IGNORED}, answers[] = {0, 3, 0, 1, 2, 3};
    bool right[2];
    const Scores s = score(4, 2, 3, labels, answers, right);
    assert_near(s.accuracy, 0.75);
    assert_near(s.error, 0.25);
    assert_near(s.exact, 0.5);
    assert_int_equal(s.scored, 4);
    assert_false(right[0]);
    assert_true(right[1]);
    const double hit = log(exp(1) + 3) - 1, miss = log(exp(1) + 3);
    assert_near(s.perplexity, exp((3 * hit + miss) / 4));
    assert_true(isnan(s.f1) && isnan(s.mse));
}

/* Class 0: 1 of 1; class 1: 1 of 2; class 2: 1 of 1. The answer 3, which is no label, counts as a class of recall 0. */
static void averages_over_classes(void **state) {
    (void)state;
    const int32_t labels[] = {0, 1, 1, 2}, answers[] = {0, 0, 1, 2}, stray[] = {0, 3, 1, 2};
    assert_near(score(4, 1, 4, labels, answers, NULL).macro, 2.5 / 3);
    assert_near(score(4, 1, 4, labels, stray, NULL).macro, 2.5 / 4);
}

/* 128 examples of class 0, all right, then one of class 1, wrong: the mean of two batches. */
static void averages_over_batches(void **state) {
    (void)state;
    int32_t labels[SCORE_BATCH + 1] = {0}, answers[SCORE_BATCH + 1] = {0};
    labels[SCORE_BATCH] = 1;
    const Scores s = score(4, SCORE_BATCH + 1, 1, labels, answers, NULL);
    assert_near(s.macro, 0.5);
    assert_near(s.accuracy, (double)SCORE_BATCH / (SCORE_BATCH + 1));
}

static void finds_the_positive_class(void **state) {
    (void)state;
    const int32_t labels[] = {1, 1, 1, 0, 0}, answers[] = {1, 1, 0, 1, 0}, never[] = {0, 0, 0, 0, 0};
    assert_near(score(2, 1, 5, labels, answers, NULL).f1, 2.0 * 2 / (3 + 3));
    assert_near(score(2, 1, 5, never, never, NULL).f1, 0);
}

static void measures_regressions(void **state) {
    (void)state;
    const int32_t labels[] = {0, IGNORED, 0};
    const float values[] = {1, 9, 3}, answers[] = {2, 7, 6};
    Scoring *scoring = scoring_begin(1, 3, 0);
    scoring_add(scoring, labels, values, answers, 1);
    const Scores s = scoring_end(scoring, NULL);
    assert_near(s.mse, (1.0 + 9.0) / 2);
    assert_true(isnan(s.accuracy) && isnan(s.perplexity));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_scored_positions_only), cmocka_unit_test(averages_over_classes),
        cmocka_unit_test(averages_over_batches),        cmocka_unit_test(finds_the_positive_class),
        cmocka_unit_test(measures_regressions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
