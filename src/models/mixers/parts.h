/* Parts that several mixers share. */
#ifndef FLAME_MODELS_MIXERS_PARTS_H
#define FLAME_MODELS_MIXERS_PARTS_H

#include "kernels/ops.h"
#include "models/model.h"

/* The eps of the L2 norm of queries and keys, fixed in fla. */
#define L2_NORM_EPS 1e-6f

/* Initial values of A_log = ln A, with A uniform in 1e-4 .. 16 (fla draws from 0 on, but ln 0 is infinite), and of
 * dt_bias, for time steps from 0.001 to 0.1. */
#define DECAY_INIT     ((Init){INIT_LOG_UNIFORM, 1e-4, 16})
#define TIME_STEP_INIT ((Init){INIT_INVERSE_SOFTPLUS, 1e-3, 1e-1})

/* For softmax attention. num_kv_heads (-1 becomes num_heads) must divide num_heads, and num_heads must divide
 * hidden_size. The heads' *head_size columns must be at most `most`, and an even number if `even`. Returns BAD_INPUT
 * (logged) if not. */
Status attention_heads(const ModelConfig *model, int64_t num_heads, int64_t *num_kv_heads, int64_t *head_size,
                       int64_t most, bool even);

/* Logs that the value of `key` is refused. Returns BAD_INPUT. */
Status refused(const char *key, const char *what);

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

/* The heads of most of fla's layers. key_size and value_size are the widths over `count` query heads; with kv_count
 * heads, k and v are narrower by count / kv_count. */
typedef struct HeadSizes {
    int64_t count, kv_count, key_size, value_size;
} HeadSizes;

/* Sets *heads from the config keys num_heads, num_kv_heads (-1 becomes num_heads; NULL: no such key), expand_k and
 * expand_v. BAD_INPUT (logged) if sizes do not divide. */
Status heads_complete(HeadSizes *heads, const ModelConfig *model, int64_t num_heads, int64_t *num_kv_heads,
                      double expand_k, double expand_v);

/* For models whose q, k and v all have num_heads heads: num_key_value_heads (-1 becomes num_heads) must be num_heads,
 * which divides hidden_size. BAD_INPUT (logged) if not. */
Status heads_of_own_keys(const ModelConfig *model, int64_t num_heads, int64_t *num_key_value_heads);

/* num_v_heads (-1 becomes num_heads) must be a multiple of num_heads. BAD_INPUT (logged) if not. */
Status value_heads_complete(int64_t num_heads, int64_t *num_v_heads);

/* Sets *size = head_dim * expand_v. BAD_INPUT (logged) if that is not a whole number. */
Status value_head_size(int64_t head_dim, double expand_v, int64_t *size);

/* Applies the function that the config key `feature_map` names; NULL: returns x. */
#define FEATURE_MAPS "silu|swish|relu|sigmoid"
Tensor *feature_map(Tape *tape, Tensor *x, const char *name);

/* The name of the output norm's weight. In fla it depends on whether the norm's kernel includes the gate. */
const char *output_norm_name(const ModelConfig *model, bool use_output_gate);

/* Linear attention with weights w_ij = scale q_i . k_j that are divided by their sum: o_i = sum over j <= i of w_ij v_j
 * / (|sum over j <= i of w_ij| + eps), per head. q, k [N, heads*K], v [N, heads*V] -> [N, heads*V]. */
Tensor *normalised_attention(Tape *tape, Tensor *q, Tensor *k, Tensor *v, int64_t heads, float scale, float eps);

/* Attention to M slots per head, for gsa and abc. At each token the slots keep the share e^g_t of what they hold and
 * add s_t times the token's key or value:
 *
 *   b_t = scale K_t q_t,  K_t = diag(e^g_t) K_{t-1} + s_t k_t^T        [M, K]
 *   o_t = V_t^T softmax(b_t),  V_t = diag(e^g_t) V_{t-1} + s_t v_t^T   [M, V]
 *
 * q [N, heads*K], k [N, kv_heads*K], v [N, kv_heads*V], s and g [N, kv_heads*M] -> [N, heads*V]. */
Tensor *slot_attention(Tape *tape, Tensor *q, Tensor *k, Tensor *v, Tensor *s, Tensor *g, ChunkGlaShape shape);

#endif
