/* Parts that a suite's model may have before its first block (mixer.base_conv) and behind its last one (TaskForm). */
#ifndef FLAME_SUITES_ENDS_H
#define FLAME_SUITES_ENDS_H

#include "models/model.h"

/* MAD's decoder (arXiv 2403.17844), which computes every position from the vector of the last one:
 *   z = x_last + sinusoid(position),  y = gelu(W2 norm(gelu(W1 norm(z) + b1)) + b2). */
void decoder_parameters(Model *model);
Tensor *decoder_read_out(const Model *model, Tape *tape, Tensor *x);
/* Sets every position to the mean over all positions. */
Tensor *mean_read_out(const Model *model, Tape *tape, Tensor *x);

/* Zoology's BaseConv (arXiv 2312.04927), a block before the mixers: x + (conv(u) * W u + u) with u = norm(x), where
 * conv is causal and has width 3. */
void base_conv_parameters(Model *model);
Tensor *base_conv_read_in(const Model *model, Tape *tape, Tensor *x);

#endif
