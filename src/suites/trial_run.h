/* Runs a trial: trains a model, tests it, and keeps only the scores. */
#ifndef FLAME_SUITES_TRIAL_RUN_H
#define FLAME_SUITES_TRIAL_RUN_H

#include "core/device.h"
#include "suites/trial.h"

/* A function that is called after each test of a training, with the step (of `steps`) and the score. */
typedef void TrialProgress(void *context, int64_t step, int64_t steps, double accuracy);

/* Trains and tests. The caller calls trial_result_free. NUMERIC_STOP (logged) if the loss is not finite. */
Status trial_run(const Trial *trial, const Device *device, TrialProgress *progress, void *context, TrialResult *result);

#endif
