/* The schedules against values worked out by hand from flame's formulas. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <math.h>

#include <cmocka.h>

#include "training/schedule.h"

typedef struct Case {
    int64_t warmup, steps;
    double ratio; /* NaN: null */
    const char *type;
    double lr_min;
    int64_t step;
    double factor;
} Case;

static const Case cases[] = {
    /* W 4, S 10, D 6, stable 1: p of steps 5..9 is 1/6 .. 5/6 */
    {4, 10, NAN, "linear", 0, 0, 0.25},
    {4, 10, NAN, "linear", 0, 3, 1},
    {4, 10, NAN, "linear", 0, 4, 1},
    {4, 10, NAN, "linear", 0, 5, 5.0 / 6},
    {4, 10, NAN, "linear", 0, 9, 1.0 / 6},
    {4, 10, NAN, "linear", 0.1, 9, 0.1 + 0.9 / 6},
    {4, 10, NAN, "cosine", 0.1, 7, 0.1 + 0.9 * 0.5},
    {4, 10, NAN, "cosine", 0, 6, 0.75}, /* cos(pi / 3) = 1/2 */
    {4, 10, NAN, "sqrt", 0, 8, 1 - 0.816496580927726},
    {4, 10, NAN, "constant", 0.1, 9, 1},
    {4, 10, NAN, "constant", 0.1, 1, 0.5},
    /* W 2, S 20, D = round(20 * 0.25) = 5, stable 14: p of step 15 is 0, of 16 it is 1/5 */
    {2, 20, 0.25, "linear", 0, 14, 1},
    {2, 20, 0.25, "linear", 0, 15, 1},
    {2, 20, 0.25, "linear", 0, 16, 0.8},
    {2, 20, 0.25, "linear", 0, 19, 0.2},
    {2, 20, 0.25, "sqrt", 0.5, 19, 0.5 + 0.5 * (1 - 0.894427190999916)},
    /* the decay is cut to what the warm-up leaves: D 8 */
    {12, 20, 1.0, "linear", 0, 13, 0.875},
    /* Python rounds halves to even: round(10 * 0.25) = 2, so p of step 9 is 1/2 */
    {0, 10, 0.25, "linear", 0, 8, 1},
    {0, 10, 0.25, "linear", 0, 9, 0.5},
    /* no decay, no warm-up, a warm-up longer than the run */
    {0, 10, 0.0, "linear", 0, 9, 1},
    {0, 10, NAN, "linear", 0, 0, 1},
    {200, 50, NAN, "linear", 0, 0, 0.02},
    {200, 50, NAN, "linear", 0, 49, 1},
};

static void test_factors(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const Case *c = &cases[i];
        const LrSchedulerConfig config = {c->warmup, c->ratio, (char *)c->type, c->lr_min};
        const Schedule schedule = schedule_create(&config, c->steps);
        const double factor = schedule_factor(&schedule, c->step);
        if (fabs(factor - c->factor) > 1e-15) print_error("case %zu: %.17g, wanted %.17g\n", i, factor, c->factor);
        assert_true(fabs(factor - c->factor) <= 1e-15);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_factors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
