/* Parts that several mixers share. */
#ifndef FLAME_MODELS_MIXERS_PARTS_H
#define FLAME_MODELS_MIXERS_PARTS_H

#include "kernels/ops.h"
#include "models/model.h"

/* The eps of the L2 norm of queries and keys, fixed in fla. */
#define L2_NORM_EPS 1e-6f

/* Initial values of A_log = ln A, with A uniform in 1e-4 .. 16 (in fla 0 .. 16, but ln 0 is infinite), and of dt_bias,
 * for time steps from 0.001 to 0.1. */
#define DECAY_INIT     ((Init){INIT_LOG_UNIFORM, 1e-4, 16})
#define TIME_STEP_INIT ((Init){INIT_INVERSE_SOFTPLUS, 1e-3, 1e-1})

/* Checks the heads of softmax attention, and sets *num_kv_heads (-1 becomes num_heads) and *head_size, the columns of a
 * head. num_kv_heads must divide num_heads, num_heads must divide hidden_size, and the head size must be at most
 * `most`, and even if `even`. Returns BAD_INPUT (logged) if not. */
Status attention_heads(const ModelConfig *model, int64_t num_heads, int64_t *num_kv_heads, int64_t *head_size,
                       int64_t most, bool even);

/* Logs that the value of `key` is refused. Returns BAD_INPUT. */
Status refused(const char *key, const char *what);
/* The same with the key's value: "model.n_head is 3; it must be even". */
Status refused_value(const char *key, int64_t value, const char *what);

/* silu(conv(x)), or silu(x) if there is no convolution (weight NULL). */
static inline Tensor *convolved_silu(Tape *tape, Tensor *x, Tensor *weight) {
    return weight ? short_convolution(tape, x, weight, NULL, true) : activation(tape, x, ACTIVATION_SILU);
}

/* conv(x), or x if there is no convolution (weight NULL). */
static inline Tensor *convolved(Tape *tape, Tensor *x, Tensor *weight) {
    return weight ? short_convolution(tape, x, weight, NULL, false) : x;
}

/* norm(o) * f(gate) per head, or norm(o) without a gate (NULL). o and gate [N, heads*V], weight [V]. */
static inline Tensor *gated_output_norm(Tape *tape, Tensor *o, Tensor *gate, Tensor *weight, Activation f, float eps) {
    return gate ? gated_rms_norm(tape, o, gate, weight, f, eps) : rms_norm(tape, o, NULL, weight, eps, NULL);
}

/* The heads of most of fla's layers: `count` query heads, and kv_count heads of k and v. key_size and value_size are
 * the widths of `count` heads together; the widths of k and v are kv_count / count of that. */
typedef struct HeadSizes {
    int64_t count, kv_count, key_size, value_size;
} HeadSizes;

/* Sets *heads from the config keys num_heads, num_kv_heads (-1 becomes num_heads; NULL: no such key), expand_k and
 * expand_v. Returns BAD_INPUT (logged) if a size is not a multiple of the number of heads. */
Status heads_complete(HeadSizes *heads, const ModelConfig *model, int64_t num_heads, int64_t *num_kv_heads,
                      double expand_k, double expand_v);

/* Checks the heads of a model whose q, k and v have num_heads heads each: num_key_value_heads (-1 becomes num_heads)
 * must be num_heads, and num_heads must divide hidden_size. Returns BAD_INPUT (logged) if not. */
Status heads_of_own_keys(const ModelConfig *model, int64_t num_heads, int64_t *num_key_value_heads);

/* Checks that *num_v_heads (-1 becomes num_heads) is a multiple of num_heads. Returns BAD_INPUT (logged) if not. */
Status value_heads_complete(int64_t num_heads, int64_t *num_v_heads);

/* Sets *size = head_dim * expand_v. Returns BAD_INPUT (logged) if that is not a whole number. */
Status value_head_size(int64_t head_dim, double expand_v, int64_t *size);

/* Applies the feature map `name`, one of FEATURE_MAPS, to x; NULL: returns x. */
#define FEATURE_MAPS "silu|swish|relu|sigmoid"
Tensor *feature_map(Tape *tape, Tensor *x, const char *name);

/* The name of the output norm's weight. As in fla, it depends on whether one kernel computes the norm and the gate. */
const char *output_norm_name(const ModelConfig *model, bool use_output_gate);

/* Linear attention whose weights w_ij = scale q_i . k_j are divided by their sum: for each head, o_i = sum over j <= i
 * of w_ij v_j / (|sum over j <= i of w_ij| + eps). q, k [N, heads*K], v [N, heads*V] -> [N, heads*V]. */
Tensor *normalised_attention(Tape *tape, Tensor *q, Tensor *k, Tensor *v, int64_t heads, float scale, float eps);

/* Attention to the M slots of a head, for gsa and abc. At each token, the contents of a slot are multiplied by e^g_t,
 * and s_t times the token's key or value is added:
 *
 *   b_t = scale K_t q_t,  K_t = diag(e^g_t) K_{t-1} + s_t k_t^T        [M, K]
 *   o_t = V_t^T softmax(b_t),  V_t = diag(e^g_t) V_{t-1} + s_t v_t^T   [M, V]
 *
 * q [N, heads*K], k [N, kv_heads*K], v [N, kv_heads*V], s and g [N, kv_heads*M] -> [N, heads*V]. */
Tensor *slot_attention(Tape *tape, Tensor *q, Tensor *k, Tensor *v, Tensor *s, Tensor *g, ChunkGlaShape shape);

#endif
