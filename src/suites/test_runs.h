/* The tests of a training, with its weights as they are: all of them, and which scores count. */
#ifndef FLAME_SUITES_TEST_RUNS_H
#define FLAME_SUITES_TEST_RUNS_H

#include "suites/trial_setup.h"
#include "training/session.h"

typedef struct TestRuns TestRuns;

/* Opens the tests of the trial (trial_tests) and fills result's tests, without scores. All arguments outlive them. The
 * caller closes them, also on failure. BAD_INPUT, USAGE or IO_ERROR (logged). */
Status test_runs_open(const Trial *trial, const TrialSetup *setup, const Session *session, TrialResult *result,
                      TestRuns **runs);
void test_runs_close(TestRuns *runs);

/* Runs "test", and the others if its scores are those that count so far, which are then result's. *score: that of
 * "test", *done: whether it ends the training. `last`: of the training. */
Status test_runs_run(TestRuns *runs, bool last, double *score, bool *done);

#endif
