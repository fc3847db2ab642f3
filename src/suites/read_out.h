/* How the models of tasks that are not causal answer: see TaskForm. */
#ifndef FLAME_SUITES_READ_OUT_H
#define FLAME_SUITES_READ_OUT_H

#include "models/model.h"

/* MAD's decoder (arXiv 2403.17844): every position from the last one's vector,
 * z = x_last + sinusoid(position), y = gelu(W2 norm(gelu(W1 norm(z) + b1)) + b2). */
extern const ModelReadOut autoencoder_read_out;

#endif
