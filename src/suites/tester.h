/* A test of a model in training: with its weights as they are, on the examples of a split. */
#ifndef FLAME_SUITES_TESTER_H
#define FLAME_SUITES_TESTER_H

#include "suites/trial_setup.h"
#include "training/session.h"

typedef struct Tester Tester;

/* config: the task's setting of the split, which the tester takes over. Fills test's split, examples, trivial and
 * right. `split` and `session` outlive the tester; the caller closes it, also on failure. */
Status tester_open(const Trial *trial, const TrialSetup *setup, const Session *session, const char *split, void *config,
                   TrialTest *test, Tester **tester);
void tester_close(Tester *tester);

/* Fills test's scores and right. BAD_INPUT or IO_ERROR (logged) if published examples cannot be read. */
Status tester_run(Tester *tester, TrialTest *test);
/* A CRC of the first examples that it has last tested. */
uint32_t tester_examples_crc(const Tester *tester);

#endif
