/* How the models of tasks that are not causal answer: see TaskForm. */
#ifndef FLAME_SUITES_READ_OUT_H
#define FLAME_SUITES_READ_OUT_H

#include "models/model.h"

/* MAD's decoder (arXiv 2403.17844): every position from the last one's vector,
 * z = x_last + sinusoid(position), y = gelu(W2 norm(gelu(W1 norm(z) + b1)) + b2). */
void decoder_parameters(Model *model);
Tensor *decoder_read_out(const Model *model, Tape *tape, Tensor *x);
/* Every position from the mean over all of them. */
Tensor *mean_read_out(const Model *model, Tape *tape, Tensor *x);

#endif
