/* ABC, attention with bounded memory control (Peng et al. 2021, arXiv 2110.02488), as in fla's ABCAttention:
 *
 *   q, k, v, g = x Wq, x Wk, x Wv, x Wg               (optionally a short convolution and silu on q, k, v)
 *   q, k = rotate(q), rotate(k)                       (optional)
 *   r = clamp(x Ws, clamp_min, clamp_max)             one score per slot
 *   K_t = sum over j <= t of softmax_j(r_j) k_j^T, V_t = sum over j <= t of softmax_j(r_j) v_j^T      per head and slot
 *   o_t = V_t^T softmax(K^(-1/2) K_t q_t)
 *   y = (norm(o) * silu(g)) Wo
 *
 * The softmax over the tokens so far is a recurrence: with z_t = log sum over j <= t of e^r_j, token t has the weight
 * e^(r_t - z_t), and the contents of the slots decay by e^(z_{t-1} - z_t). The state of a head is num_slots x (K + V)
 * numbers, and z. */
#include <math.h>

#include "base/log.h"
#include "models/mixers/parts.h"

typedef struct AbcConfig {
    double expand_k, expand_v, clamp_min, clamp_max; /* clamp_min, clamp_max NaN: no bound */
    int64_t num_heads, num_slots, conv_size, gate_low_rank_dim;
    bool use_short_conv, use_rope;
    HeadSizes heads;
} AbcConfig;

static const Key abc_keys[] = {
    KEY(AbcConfig, num_heads, KEY_INTEGER, "4", 1, 4096, NULL, "heads"),
    KEY(AbcConfig, num_slots, KEY_INTEGER | KEY_NULLABLE, "64", 1, 4096, NULL, "slots of a head (null: its key width)"),
    KEY(AbcConfig, expand_k, KEY_REAL, "0.5", 1e-6, 64, NULL, "key width / hidden_size"),
    KEY(AbcConfig, expand_v, KEY_REAL, "1.0", 1e-6, 64, NULL, "value width / hidden_size"),
    KEY(AbcConfig, clamp_min, KEY_REAL | KEY_NULLABLE, "-32", -1e9, 1e9, NULL, "lower bound of the slots' scores"),
    KEY(AbcConfig, clamp_max, KEY_REAL | KEY_NULLABLE, "32", -1e9, 1e9, NULL, "upper bound of the slots' scores"),
    KEY(AbcConfig, use_rope, KEY_BOOLEAN, "true", 0, 0, NULL, "rotary position embedding of q and k"),
    KEY(AbcConfig, use_short_conv, KEY_BOOLEAN, "false", 0, 0, NULL, "short convolutions on q, k and v"),
    KEY(AbcConfig, conv_size, KEY_INTEGER, "4", 1, 64, NULL, "width of the short convolutions"),
    KEY(AbcConfig, gate_low_rank_dim, KEY_INTEGER | KEY_INERT, "16", 1, 1 << 20, NULL, "stored by fla; without effect"),
};

enum { Q_PROJ, K_PROJ, V_PROJ, G_PROJ, S_PROJ, O_PROJ, G_NORM, Q_CONV, K_CONV, V_CONV };

enum { LARGEST_KEY = 512 /* rotary has no wider heads */ };

static const float rope_theta = 10000; /* fla's layer fixes it; there is no config key */

static Status abc_complete(void *config, const ModelConfig *model) {
    AbcConfig *c = config;
    const Status status = heads_complete(&c->heads, model, c->num_heads, NULL, c->expand_k, c->expand_v);
    if (status != OK) return status;
    const int64_t K = c->heads.key_size / c->heads.count;
    if (c->num_slots < 0) c->num_slots = K;
    if (c->use_rope && (K % 2 != 0 || K > LARGEST_KEY)) {
        log_error("model: key width %lld (hidden_size * expand_k) / num_heads %lld must be even and at most %d with "
                  "use_rope",
                  (long long)c->heads.key_size, (long long)c->heads.count, LARGEST_KEY);
        return BAD_INPUT;
    }
    if (c->clamp_min > c->clamp_max) {
        log_error("model: clamp_min %g is above clamp_max %g", c->clamp_min, c->clamp_max);
        return BAD_INPUT;
    }
    return OK;
}

static void abc_parameters(Layer *layer) {
    const AbcConfig *c = layer->config;
    const int64_t h = layer->model->hidden_size;
    layer_matrix(layer, Q_PROJ, "q_proj.weight", c->heads.key_size, h);
    layer_matrix(layer, K_PROJ, "k_proj.weight", c->heads.key_size, h);
    layer_matrix(layer, V_PROJ, "v_proj.weight", c->heads.value_size, h);
    layer_matrix(layer, G_PROJ, "g_proj.weight", c->heads.value_size, h);
    layer_matrix(layer, S_PROJ, "s_proj.weight", c->heads.count * c->num_slots, h);
    layer_matrix(layer, O_PROJ, "o_proj.weight", h, c->heads.value_size);
    layer_vector(layer, G_NORM, "g_norm.weight", c->heads.value_size / c->heads.count, 1);
    if (!c->use_short_conv) return;
    layer_convolution(layer, Q_CONV, "q_conv1d.weight", c->heads.key_size, c->conv_size);
    layer_convolution(layer, K_CONV, "k_conv1d.weight", c->heads.key_size, c->conv_size);
    layer_convolution(layer, V_CONV, "v_conv1d.weight", c->heads.value_size, c->conv_size);
}

static Tensor *abc_forward(const Layer *layer, Tape *tape, Tensor *x) {
    const AbcConfig *c = layer->config;
    Tensor *const *w = layer->weight;
    const int64_t K = c->heads.key_size / c->heads.count;
    Tensor *y[5], *decay;
    linear_group(tape, x, &w[Q_PROJ], 5, y);
    if (c->use_short_conv)
        for (int i = 0; i < 3; i++) y[i] = short_convolution(tape, y[i], w[Q_CONV + i], NULL, true);
    if (c->use_rope)
        for (int i = 0; i < 2; i++) y[i] = rotary(tape, y[i], K, rope_theta);
    const float low = isnan(c->clamp_min) ? -INFINITY : (float)c->clamp_min;
    const float high = isnan(c->clamp_max) ? INFINITY : (float)c->clamp_max;
    Tensor *s = running_softmax(tape, clamp(tape, y[4], low, high), NULL, &decay, NULL);
    const ChunkGlaShape shape = {.heads = c->heads.count, .kv_heads = c->heads.count};
    Tensor *o = slot_attention(tape, y[0], y[1], y[2], s, decay, shape);
    const float eps = (float)layer->model->norm_eps;
    return linear(tape, gated_rms_norm(tape, o, y[3], w[G_NORM], ACTIVATION_SILU, eps), w[O_PROJ]);
}

const Mixer abc_mixer = {
    .model_type = "abc",
    .architecture = "ABCForCausalLM",
    .keys = abc_keys,
    .key_count = LENGTH(abc_keys),
    .config_size = sizeof(AbcConfig),
    .takes_attention = true,
    .complete = abc_complete,
    .parameters = abc_parameters,
    .forward = abc_forward,
};
