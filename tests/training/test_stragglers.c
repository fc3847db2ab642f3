/* The rank that is slow, by the times of all ranks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

#include "training/stragglers.h"

enum { RANKS = 4, STEPS = 10 };

static const StepTimes usual = {.reading = 0.1, .computing = 4, .collective = 1};

static void make(StepTimes times[RANKS], StepTimes all) {
    for (int i = 0; i < RANKS; i++) times[i] = all;
}

static void expect(const StepTimes *times, int ranks, bool hosts, int rank, const char *part) {
    const Straggler found = stragglers_find(times, ranks, STEPS, hosts);
    assert_int_equal(found.rank, rank);
    if (part)
        assert_string_equal(found.part, part);
    else
        assert_null(found.part);
}

static void test_nobody_is_slow(void **state) {
    (void)state;
    StepTimes times[RANKS];
    make(times, usual);
    times[2].computing = 5.9; /* less than 1.5 times as long */
    expect(times, RANKS, true, -1, NULL);
    make(times, (StepTimes){.reading = 0.01, .computing = 0.1, .collective = 0.1});
    times[2].computing = 0.25; /* 15 ms per step */
    expect(times, RANKS, false, -1, NULL);
}

static void test_a_rank_is_slow(void **state) {
    (void)state;
    StepTimes times[RANKS];
    make(times, usual);
    times[3].reading = 3;
    expect(times, RANKS, false, 3, "data");
    expect(times + 2, 2, false, 1, "data"); /* with only two ranks */
    make(times, usual);
    times[0].computing = 6.5;
    times[0].reading = 0.2;
    expect(times, RANKS, true, 0, "computation");
}

static void test_the_network_is_slow(void **state) {
    (void)state;
    StepTimes times[RANKS];
    make(times, usual);
    for (int i = 0; i < RANKS; i++) times[i].collective = 5;
    expect(times, RANKS, true, -1, "network");
    expect(times, RANKS, false, -1, NULL);
    times[1].collective = 3; /* the others wait for it, not for the network */
    expect(times, RANKS, true, -1, NULL);
    times[1].computing = 7;
    expect(times, RANKS, true, 1, "computation");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_nobody_is_slow), cmocka_unit_test(test_a_rank_is_slow),
                                       cmocka_unit_test(test_the_network_is_slow)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
