/* What a child process finds out about a file, and that none of its ends leaves the program waiting. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "data/tokens_probe.h"

static void do_nothing(void *argument) { (void)argument; }
static void crash(void *argument) {
    (void)argument;
    abort();
}
static void go_round(void *argument) {
    for (volatile int *turn = argument;; ++*turn) continue;
}
/* As a child does that was forked while another thread held a lock that it needs. */
static void wait_for_ever(void *argument) {
    (void)argument;
    for (;;) pause();
}

/* As Ctrl-C in a terminal, or mpirun, ends every process of a group. */
static void ended_from_outside(void *argument) { raise(*(const int *)argument); }

static void every_end_of_the_child_is_an_answer(void **state) {
    (void)state;
    int turn = 0;
    assert_true(tokens_probe(do_nothing, NULL, 0));
    assert_false(tokens_probe(crash, NULL, 0));
    assert_false(tokens_probe(go_round, &turn, 0));
    assert_true(tokens_probe(wait_for_ever, NULL, 0));
    for (int i = 0; i < 3; i++)
        assert_true(tokens_probe(ended_from_outside, &(int){(int[]){SIGINT, SIGTERM, SIGUSR1}[i]}, 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_end_of_the_child_is_an_answer)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
