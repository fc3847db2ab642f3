/* Evaluates windows that are longer than one call of the model. The model reads them in pieces of RunnerOptions.T
 * tokens and continues with what it remembers, so a long context needs no more memory than a short one, apart from what
 * is remembered. */
#ifndef FLAME_TRAINING_WINDOWS_H
#define FLAME_TRAINING_WINDOWS_H

#include "training/runner.h"

typedef struct Windows Windows;

/* Prepares to evaluate options.B windows of options.tokens tokens at a time. `options` are those that the runner was
 * created with. */
Windows *windows_create(const RunnerOptions *options);
void windows_free(Windows *windows);

/* The arrays of all windows, [B * tokens], for the caller to fill as if they were a micro-batch. */
HostBatch windows_batch(const Windows *windows);
/* Runs the windows. The scores are [B * tokens] and valid until the next call; margins are NULL without
 * options.margins. Collective. */
TokenScores windows_evaluate(Windows *windows, Runner *runner);

#endif
