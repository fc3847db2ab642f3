/* Which samples, layers and parameters the loss and the gradient of a step came from. */
#ifndef FLAME_TRAINING_DIAGNOSIS_H
#define FLAME_TRAINING_DIAGNOSIS_H

#include "training/step.h"

/* Computes the step after training->progress without its update, and prints, on rank 0: whether FOLDER/METRICS has the
 * same loss and gradient norm; the loss of each sample and the norm of its part of the gradient; the layers and
 * parameters with the largest gradients; and where values first are not finite. Takes as many forwards and backwards
 * more as the step has samples. Collective. */
Status diagnose_step(Training *training, const char *folder, const char *metrics);

#endif
