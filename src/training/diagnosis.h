/* Finds which samples, layers and parameters the loss and the gradient of a step came from. */
#ifndef FLAME_TRAINING_DIAGNOSIS_H
#define FLAME_TRAINING_DIAGNOSIS_H

#include "training/step.h"

/* Computes the step after training->progress without its update, and prints, on rank 0: whether FOLDER/METRICS has the
 * same loss and gradient norm; the loss of each sample and the norm of its part of the gradient; the layers and
 * parameters with the largest gradients; and where values are first not finite. Takes an extra forward and backward for
 * each sample of the step. Collective. */
Status diagnose_step(Training *training, const char *folder, const char *metrics);

#endif
