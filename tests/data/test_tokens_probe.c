/* The child process that examines a file: its reports, and that the program never waits forever for its end. */
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
/* Hangs like a child that was forked while another thread held a lock that the child needs. */
static void wait_for_ever(void *argument) {
    (void)argument;
    for (;;) pause();
}

/* Ends the whole process group, as Ctrl-C in a terminal or mpirun does. */
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
