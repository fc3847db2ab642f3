/* What several mixers are made of. */
#ifndef FLAME_MODELS_MIXERS_PARTS_H
#define FLAME_MODELS_MIXERS_PARTS_H

#include "core/log.h"
#include "kernels/ops.h"
#include "models/mixer.h"

/* Of the norm of queries and keys, fixed in fla. */
#define L2_NORM_EPS 1e-6f

/* Of A_log = ln A, and of dt_bias, for time steps from 0.001 to 0.1. A is uniform in 0 .. 16; ln 0 is kept away. */
#define DECAY_INIT     ((Init){INIT_LOG_UNIFORM, 1e-4, 16})
#define TIME_STEP_INIT ((Init){INIT_INVERSE_SOFTPLUS, 1e-3, 1e-1})

/* silu(conv(x)), or silu(x) if there is no convolution (weight NULL). */
static inline Tensor *convolved_silu(Tape *tape, Tensor *x, Tensor *weight) {
    return weight ? short_convolution(tape, x, weight) : activation(tape, x, ACTIVATION_SILU);
}

/* norm(o) * silu(gate) per head, or norm(o) if there is no gate (NULL). */
static inline Tensor *gated_output_norm(Tape *tape, Tensor *o, Tensor *gate, Tensor *weight, float eps) {
    return gate ? gated_rms_norm(tape, o, gate, weight, eps) : rms_norm(tape, o, NULL, weight, eps, NULL);
}

/* *size = head_dim * expand_v, which must be a whole number. */
static inline Status value_head_size(int64_t head_dim, double expand_v, int64_t *size) {
    const double exact = (double)head_dim * expand_v;
    *size = (int64_t)(exact + 0.5);
    if (*size > 0 && exact - (double)*size < 1e-5 * exact && (double)*size - exact < 1e-5 * exact) return OK;
    log_error("model: head_dim %lld * expand_v %g is not a whole number", (long long)head_dim, expand_v);
    return BAD_INPUT;
}

#endif
