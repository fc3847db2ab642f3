/* The functions that kernels use instead of libm's, against libm's in fp64. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define TILE_ELEMENT_F32
#include "tile/tile.h"

/* Largest error relative to the value, in units of 2^-24, over evenly spaced x; values below `least` count as `least`.
 */
static double worst_error(float (*function)(float), double (*definition)(double), double low, double high,
                          double least) {
    enum { POINTS = 1000000 };
    double worst = 0;
    for (int i = 0; i <= POINTS; i++) {
        const float x = (float)(low + (high - low) * i / POINTS);
        const double expected = definition((double)x);
        const double error = fabs((double)function(x) - expected) / fmax(fabs(expected), least) * 0x1p24;
        if (!(error <= worst)) worst = error;
    }
    return worst;
}

static void expect_accuracy(const char *name, double worst, double bound) {
    if (!(worst <= bound)) fail_msg("%s is off by %.2f units of 2^-24, allowed are %.2f", name, worst, bound);
}

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }
static double log_sigmoid(double x) { return fmin(x, 0) - log1p(exp(-fabs(x))); }
static double softplus(double x) { return fmax(x, 0) + log1p(exp(-fabs(x))); }
static double sigmoid_derivative(double x) { return sigmoid(x) * sigmoid(-x); }
static double silu(double x) { return x / (1 + exp(-x)); }
static double silu_derivative(double x) { return sigmoid(x) * (1 + x * (1 - sigmoid(x))); }

static void exponential(void **state) {
    (void)state;
    expect_accuracy("exp", worst_error(exp_f, exp, -87, 88, 0), 2);
    expect_accuracy("exp near 0", worst_error(exp_f, exp, -1, 1, 0), 2);
    expect_accuracy("expm1", worst_error(expm1_f, expm1, -20, 87, 0), 6);
    expect_accuracy("expm1 near 0", worst_error(expm1_f, expm1, -1e-3, 1e-3, 0), 2);
    assert_true(exp_f(-INFINITY) == 0 && exp_f(-1000) == 0 && exp_f(0) == 1);
    assert_true(exp_f(1000) > 2e38f && isfinite(exp_f(INFINITY)));
    assert_true(isnan(exp_f(NAN)));
}

static void power_of_two(void **state) {
    (void)state;
    expect_accuracy("exp2", worst_error(exp2_f, exp2, -126, 127.49, 0), 2);
    expect_accuracy("exp2 near 0", worst_error(exp2_f, exp2, -1, 1, 0), 2);
    assert_true(exp2_f(-INFINITY) == 0 && exp2_f(-1e30f) == 0 && exp2_f(0) == 1);
    assert_true(exp2_f(1000) > 2e38f && isfinite(exp2_f(INFINITY)));
    assert_true(isnan(exp2_f(NAN)));
}

static void logarithm(void **state) {
    (void)state;
    expect_accuracy("log1p", worst_error(log1p_f, log1p, 0, 1, 0), 3);
    expect_accuracy("log1p near 0", worst_error(log1p_f, log1p, 0, 1e-6, 0), 2);
    expect_accuracy("log1p of any number", worst_error(log1p_any_f, log1p, 0, 10, 0), 3);
    expect_accuracy("log1p of large numbers", worst_error(log1p_any_f, log1p, 0, 8e37, 0), 2);
    expect_accuracy("log1p of any number near 0", worst_error(log1p_any_f, log1p, 0, 1e-6, 0), 2);
    expect_accuracy("log", worst_error(log_f, log, 0x1p-126, 0.5, 0), 2);
    expect_accuracy("log near 0", worst_error(log_f, log, 0x1p-126, 0x1p-100, 0), 2);
}

static float one_of(float x) { return sigmoids_of(x).of; }
static float one_of_opposite(float x) { return sigmoids_of(-x).of_opposite; }
static float log_of_one(float x) { return sigmoids_of(x).log_of; }

static void gates(void **state) {
    (void)state;
    const double least = 1e-28; /* e^88 is as far as exp_f goes: sigmoid does not go below 4e-39 */
    expect_accuracy("sigmoid", worst_error(sigmoid_f, sigmoid, -300, 300, least), 4);
    expect_accuracy("silu", worst_error(silu_f, silu, -300, 300, least), 4);
    expect_accuracy("log_sigmoid", worst_error(log_sigmoid_f, log_sigmoid, -300, 80, least), 4);
    expect_accuracy("softplus", worst_error(softplus_f, softplus, -80, 300, least), 4);
    expect_accuracy("derivative of sigmoid", worst_error(sigmoid_derivative_f, sigmoid_derivative, -300, 300, least),
                    6);
    expect_accuracy("derivative of silu", worst_error(silu_derivative_f, silu_derivative, -300, 300, 0.2),
                    4); /* parts of 0.2 cancel near -1.28 */
    expect_accuracy("sigmoid of several", worst_error(one_of, sigmoid, -300, 300, least), 4);
    expect_accuracy("sigmoid of the opposite", worst_error(one_of_opposite, sigmoid, -300, 300, least), 4);
    expect_accuracy("log_sigmoid of several", worst_error(log_of_one, log_sigmoid, -300, 80, least), 4);
    assert_true(log_sigmoid_f(-1e30f) == -1e30f && log_sigmoid_f(1e30f) == 0);
    assert_true(softplus_f(-1e30f) == 0 && softplus_f(1e30f) == 1e30f);
    expect_accuracy("tanh", worst_error(tanh_f, tanh, -20, 20, 0), 5);
    expect_accuracy("tanh near 0", worst_error(tanh_f, tanh, -1e-3, 1e-3, 0), 2);
    assert_true(tanh_f(-1e30f) == -1 && tanh_f(1e30f) == 1 && soft_cap_f(8, 1e6f) == 8);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(exponential), cmocka_unit_test(power_of_two),
                                       cmocka_unit_test(logarithm), cmocka_unit_test(gates)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
