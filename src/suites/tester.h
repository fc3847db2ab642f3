/* Tests a model during training, with its present weights, on the examples of a split. */
#ifndef FLAME_SUITES_TESTER_H
#define FLAME_SUITES_TESTER_H

#include "suites/trial_setup.h"
#include "training/session.h"

typedef struct Tester Tester;

/* `config` is the task's setting for the split; the tester takes it over. Fills the fields split, examples, trivial and
 * right of `test`. `split` and `session` must outlive the tester. The caller closes it, also on failure. */
Status tester_open(const Trial *trial, const TrialSetup *setup, const Session *session, const char *split, void *config,
                   TrialTest *test, Tester **tester);
void tester_close(Tester *tester);

/* Fills the fields scores and right of `test`. BAD_INPUT or IO_ERROR (logged) if published examples cannot be read. */
Status tester_run(Tester *tester, TrialTest *test);
/* A CRC of the first examples of its last test. */
uint32_t tester_examples_crc(const Tester *tester);

#endif
