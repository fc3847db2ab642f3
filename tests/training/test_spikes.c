/* Averages of losses and gradient norms, against their definition. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <math.h>

#include <cmocka.h>

#include "training/spikes.h"

static void assert_near(double a, double b) { assert_true(fabs(a - b) <= 1e-12 * (1 + fabs(b))); }

/* Until the window is full they are the mean and the variance of all values. */
static void test_plain_averages(void **state) {
    (void)state;
    Spikes spikes = {0};
    double sum = 0, squares = 0;
    for (int i = 0; i < SPIKES_WINDOW; i++) {
        const double value = 3 + sin(i);
        sum += value;
        squares += value * value;
        assert_true(isinf(spikes_limit(&spikes, &spikes.loss, 4)));
        spikes_add(&spikes, value, 2 * value);
    }
    const double mean = sum / SPIKES_WINDOW, variance = squares / SPIKES_WINDOW - mean * mean;
    assert_near(spikes.loss.mean, mean);
    assert_near(spikes.loss.variance, variance);
    assert_near(spikes_limit(&spikes, &spikes.loss, 4), mean + 4 * sqrt(variance));
    assert_near(spikes_limit(&spikes, &spikes.norm, 4), 2 * (mean + 4 * sqrt(variance)));
    assert_true(isinf(spikes_limit(&spikes, &spikes.loss, 0)));
}

/* A value's weight then falls by 1 - 1/SPIKES_WINDOW per step. */
static void test_forgets(void **state) {
    (void)state;
    Spikes spikes = {0};
    for (int i = 0; i < SPIKES_WINDOW; i++) spikes_add(&spikes, 5, 1);
    for (int i = 0; i < 50; i++) spikes_add(&spikes, 2, 1);
    const double old = pow(1 - 1.0 / SPIKES_WINDOW, 50);
    assert_near(spikes.loss.mean, 5 * old + 2 * (1 - old));
    assert_near(spikes.loss.variance, 9 * old * (1 - old));
    assert_near(spikes.norm.variance, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_plain_averages), cmocka_unit_test(test_forgets)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
