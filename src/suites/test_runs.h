/* Runs the tests of a training with the present weights, and decides which scores count. */
#ifndef FLAME_SUITES_TEST_RUNS_H
#define FLAME_SUITES_TEST_RUNS_H

#include "suites/trial_setup.h"
#include "training/session.h"

typedef struct TestRuns TestRuns;

/* Opens the tests of the trial (trial_tests) and fills the tests in `result`, without scores. All arguments must
 * outlive them. The caller closes them, also on failure. BAD_INPUT, USAGE or IO_ERROR (logged). */
Status test_runs_open(const Trial *trial, const TrialSetup *setup, const Session *session, TrialResult *result,
                      TestRuns **runs);
void test_runs_close(TestRuns *runs);

/* Runs "test". If its scores are the ones that count so far, also runs the other tests, and puts all scores into
 * `result`. *score is the score of "test", and *done says whether it ends the training. `last`: this is the last test
 * of the training. */
Status test_runs_run(TestRuns *runs, bool last, double *score, bool *done);

#endif
