/* What several mixers are made of. */
#ifndef FLAME_MODELS_MIXERS_PARTS_H
#define FLAME_MODELS_MIXERS_PARTS_H

#include "kernels/ops.h"

/* Of the norm of queries and keys, fixed in fla. */
#define L2_NORM_EPS 1e-6f

/* silu(conv(x)), or silu(x) if there is no convolution (weight NULL). */
static inline Tensor *convolved_silu(Tape *tape, Tensor *x, Tensor *weight) {
    return weight ? short_convolution(tape, x, weight) : activation(tape, x, ACTIVATION_SILU);
}

/* norm(o) * silu(gate) per head, or norm(o) if there is no gate (NULL). */
static inline Tensor *gated_output_norm(Tape *tape, Tensor *o, Tensor *gate, Tensor *weight, float eps) {
    return gate ? gated_rms_norm(tape, o, gate, weight, eps) : rms_norm(tape, o, NULL, weight, eps, NULL);
}

#endif
