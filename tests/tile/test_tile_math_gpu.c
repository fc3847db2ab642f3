/* The functions of tile_math.h in their form for GPUs, with libm's results in place of the approximate instructions:
 * tests the error that the other steps add. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define DEVICE static inline __attribute__((unused))
#define TILE_MATH_OF_GPU

DEVICE float flushed(float x) { return fabsf(x) < 0x1p-126f ? 0.0f : x; }
DEVICE float power_of_two(float x) { return flushed(exp2f(x)); }
DEVICE float reciprocal(float x) { return flushed(1.0f / x); }
DEVICE float reciprocal_root(float x) { return 1.0f / sqrtf(x); }
DEVICE float lesser(float x, float bound) { return x > bound ? bound : x; }
DEVICE float greater(float x, float bound) { return x < bound ? bound : x; }

#include "tile/tile_math.h"

/* Largest error relative to the value, in units of 2^-24; values below `least` count as `least`. */
static void expect(const char *name, float (*function)(float), double (*definition)(double), double low, double high,
                   double least, double bound) {
    enum { POINTS = 1000000 };
    for (int i = 0; i <= POINTS; i++) {
        const float x = (float)(low + (high - low) * i / POINTS);
        const double expected = definition((double)x);
        const double error = fabs((double)function(x) - expected) / fmax(fabs(expected), least) * 0x1p24;
        if (!(error <= bound))
            fail_msg("%s(%g) is off by %.2f units of 2^-24, allowed are %.2f", name, (double)x, error, bound);
    }
}

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }
static double log_sigmoid(double x) { return fmin(x, 0) - log1p(exp(-fabs(x))); }
static double softplus(double x) { return fmax(x, 0) + log1p(exp(-fabs(x))); }
static double sigmoid_derivative(double x) { return sigmoid(x) * sigmoid(-x); }
static double silu(double x) { return x / (1 + exp(-x)); }
static double silu_derivative(double x) { return sigmoid(x) * (1 + x * (1 - sigmoid(x))); }

static void exponential(void **state) {
    (void)state;
    expect("exp", exp_f, exp, -87, 88, 0, 2);
    expect("exp near 0", exp_f, exp, -1, 1, 0, 2);
    assert_true(exp_f(-INFINITY) == 0 && exp_f(-1000) == 0 && exp_f(0) == 1);
    assert_true(exp_f(1000) > 2e38f && isfinite(exp_f(INFINITY)));
    assert_true(isnan(exp_f(NAN)));
    expect("exp for a sum", exp_for_sum_f, exp, -87, 88, 0, 2 + 88);
    expect("exp for a sum near 0", exp_for_sum_f, exp, -1, 1, 0, 3);
    assert_true(exp_for_sum_f(-INFINITY) == 0 && exp_for_sum_f(0) == 1 && isfinite(1 + exp_for_sum_f(INFINITY)));
    assert_true(isnan(exp_for_sum_f(NAN)));
}

static void logarithm(void **state) {
    (void)state;
    expect("log1p", log1p_f, log1p, 0, 1, 1e-30, 3);
    expect("log1p near 0", log1p_f, log1p, 0, 1e-6, 1e-30, 2);
    expect("log1p of any number", log1p_any_f, log1p, 0, 10, 1e-30, 3);
    expect("log1p of large numbers", log1p_any_f, log1p, 0, 8e37, 1e-30, 2);
    expect("log", log_f, log, 0x1p-126, 0.5, 0, 3);
}

static float one_of(float x) { return sigmoids_of(x).of; }
static float one_of_opposite(float x) { return sigmoids_of(-x).of_opposite; }

static void gates(void **state) {
    (void)state;
    const double least = 1e-28;
    expect("sigmoid above 0", sigmoid_f, sigmoid, 0, 300, least, 4);
    expect("sigmoid below 0", sigmoid_f, sigmoid, -300, 0, least, 4 + 65); /* e^-65 is 1e-28 */
    expect("sigmoid of several", one_of, sigmoid, 0, 300, least, 4 + 16);
    expect("sigmoid of the opposite", one_of_opposite, sigmoid, -300, 0, least, 4 + 65);
    expect("silu", silu_f, silu, -300, 300, 1e-3, 4 + 10);
    expect("log_sigmoid", log_sigmoid_f, log_sigmoid, -300, 0, least, 4);
    expect("log_sigmoid above 0", log_sigmoid_f, log_sigmoid, 0, 16, least, 4 + 16);
    expect("softplus", softplus_f, softplus, 0, 300, least, 4);
    expect("softplus below 0", softplus_f, softplus, -16, 0, least, 4 + 16);
    expect("derivative of sigmoid", sigmoid_derivative_f, sigmoid_derivative, -16, 16, least, 6 + 16);
    expect("derivative of silu", silu_derivative_f, silu_derivative, -300, 300, 0.2, 4);
    expect("tanh", tanh_f, tanh, -20, 20, 1e-30, 6);
    expect("tanh near 0", tanh_f, tanh, -1e-3, 1e-3, 1e-30, 2);
    const float far[] = {-INFINITY, -1e30f, -1000, 1000, 1e30f, INFINITY};
    for (int i = 0; i < 6; i++) {
        assert_true(sigmoid_f(far[i]) == (far[i] > 0 ? 1 : 0) && sigmoid_derivative_f(far[i]) == 0);
        assert_true(fabsf(log_sigmoid_f(far[i]) - fminf(far[i], 0)) == 0 || !isfinite(far[i]));
    }
    assert_true(isnan(sigmoid_f(NAN)) && isnan(log_sigmoid_f(NAN)) && isnan(silu_derivative_f(NAN)));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(exponential), cmocka_unit_test(logarithm),
                                       cmocka_unit_test(gates)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
