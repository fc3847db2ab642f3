/* Windows longer than a call of the model: it reads them in pieces of RunnerOptions.T tokens and goes on with what it
 * remembers, so that a long context needs the memory of a short one. */
#ifndef FLAME_TRAINING_WINDOWS_H
#define FLAME_TRAINING_WINDOWS_H

#include "training/runner.h"

typedef struct Windows Windows;

/* For options.B windows of options.tokens tokens at a time, with the options that the runner was created with. */
Windows *windows_create(const RunnerOptions *options);
void windows_free(Windows *windows);

/* The arrays of all windows, [B * tokens], for the caller to fill as if they were a micro-batch. */
HostBatch windows_batch(const Windows *windows);
/* Runs them. The scores are [B * tokens] and valid until the next call; margins are NULL without options.margins.
 * Collective. */
TokenScores windows_evaluate(Windows *windows, Runner *runner);

#endif
