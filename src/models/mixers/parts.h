/* What several mixers are made of. */
#ifndef FLAME_MODELS_MIXERS_PARTS_H
#define FLAME_MODELS_MIXERS_PARTS_H

#include "kernels/ops.h"
#include "models/model.h"

/* Of the norm of queries and keys, fixed in fla. */
#define L2_NORM_EPS 1e-6f

/* Of A_log = ln A, and of dt_bias, for time steps from 0.001 to 0.1. A is uniform in 0 .. 16; ln 0 is kept away. */
#define DECAY_INIT     ((Init){INIT_LOG_UNIFORM, 1e-4, 16})
#define TIME_STEP_INIT ((Init){INIT_INVERSE_SOFTPLUS, 1e-3, 1e-1})

/* silu(conv(x)), or silu(x) if there is no convolution (weight NULL). */
static inline Tensor *convolved_silu(Tape *tape, Tensor *x, Tensor *weight) {
    return weight ? short_convolution(tape, x, weight, NULL, true) : activation(tape, x, ACTIVATION_SILU);
}

/* conv(x), or x if there is no convolution (weight NULL). */
static inline Tensor *convolved(Tape *tape, Tensor *x, Tensor *weight) {
    return weight ? short_convolution(tape, x, weight, NULL, false) : x;
}

/* norm(o) * silu(gate) per head, or norm(o) if there is no gate (NULL). */
static inline Tensor *gated_output_norm(Tape *tape, Tensor *o, Tensor *gate, Tensor *weight, float eps) {
    return gate ? gated_rms_norm(tape, o, gate, weight, ACTIVATION_SILU, eps)
                : rms_norm(tape, o, NULL, weight, eps, NULL);
}

/* Heads as most of fla's layers have them. The widths are those of all query heads together; k and v of kv_count heads
 * are as many times narrower. */
typedef struct Heads {
    int64_t count, kv_count, key_size, value_size;
} Heads;

/* From the config keys num_heads, num_kv_heads (-1 becomes num_heads; NULL: no such key), expand_k and expand_v.
 * Refuses what does not divide. */
Status heads_complete(Heads *heads, const ModelConfig *model, int64_t num_heads, int64_t *num_kv_heads, double expand_k,
                      double expand_v);

/* *size = head_dim * expand_v, which must be a whole number. */
Status value_head_size(int64_t head_dim, double expand_v, int64_t *size);

/* The function of q or k that the config key `feature_map` names (NULL: none). */
#define FEATURE_MAPS "silu|swish|relu|sigmoid"
Tensor *feature_map(Tape *tape, Tensor *x, const char *name);

/* fla names the output norm by the kernel it would use: one with the gate fused in, or not. */
const char *output_norm_name(const ModelConfig *model, bool use_output_gate);

#endif
