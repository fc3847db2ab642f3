/* Softmax attention with rotary positions (Vaswani et al. 2017; Su et al. 2021, arXiv 2104.09864), as in fla's
 * Attention. It is the mixer of `model_type: transformer`, and in other models that of the layers listed in
 * `attn.layers` (hybrid models).
 *
 *   q, k, v = x Wq, x Wk, x Wv (+ biases)             (q and k optionally through a norm per head)
 *   q, k = rotate(q), rotate(k)                       (unless rope_theta is null)
 *   o_i = sum_j softmax_j(q_i k_j / sqrt(D)) v_j,     0 <= i - j < window
 *   y = o Wo */
#include <math.h>

#include "models/mixers/parts.h"

typedef struct TransformerConfig {
    int64_t num_heads, num_kv_heads, window_size; /* window_size -1: all tokens */
    double rope_theta;
    bool qkv_bias, qk_norm;
    int64_t head_size;
} TransformerConfig;

static const Key transformer_keys[] = {
    KEY(TransformerConfig, num_heads, KEY_INTEGER, "32", 1, 4096, NULL, "query heads"),
    KEY(TransformerConfig, num_kv_heads, KEY_INTEGER | KEY_NULLABLE, "null", 1, 4096, NULL,
        "key and value heads (null: num_heads)"),
    KEY(TransformerConfig, qkv_bias, KEY_BOOLEAN, "false", 0, 0, NULL, "biases on the q, k and v projections"),
    KEY(TransformerConfig, qk_norm, KEY_BOOLEAN, "false", 0, 0, NULL, "norm per head on q and k"),
    KEY(TransformerConfig, window_size, KEY_INTEGER | KEY_NULLABLE, "null", 1, 1e9, NULL,
        "tokens to which a query attends, its own included (null: all)"),
    KEY(TransformerConfig, rope_theta, KEY_REAL | KEY_NULLABLE, "10000.0", 1, 1e12, NULL,
        "base of the rotary frequencies (null: no positional embeddings, which fla's layer does not support)"),
};

enum { Q_PROJ, K_PROJ, V_PROJ, Q_BIAS, K_BIAS, V_BIAS, O_PROJ, Q_NORM, K_NORM };

/* fla does not pass norm_eps to these norms, so they keep their own default. */
static const float qk_norm_eps = 1e-5f;

static Status transformer_complete(void *config, const ModelConfig *model) {
    TransformerConfig *c = config;
    return attention_heads(model, c->num_heads, &c->num_kv_heads, &c->head_size, 256, true);
}

static void transformer_parameters(Layer *layer) {
    const TransformerConfig *c = layer->config;
    const int64_t h = layer->model->hidden_size, kv_size = c->num_kv_heads * c->head_size;
    layer_matrix(layer, Q_PROJ, "q_proj.weight", h, h);
    layer_matrix(layer, K_PROJ, "k_proj.weight", kv_size, h);
    layer_matrix(layer, V_PROJ, "v_proj.weight", kv_size, h);
    layer_matrix(layer, O_PROJ, "o_proj.weight", h, h);
    if (c->qkv_bias) {
        layer_vector(layer, Q_BIAS, "q_proj.bias", h, 0);
        layer_vector(layer, K_BIAS, "k_proj.bias", kv_size, 0);
        layer_vector(layer, V_BIAS, "v_proj.bias", kv_size, 0);
    }
    if (c->qk_norm) {
        layer_vector(layer, Q_NORM, "q_norm.weight", c->head_size, 1);
        layer_vector(layer, K_NORM, "k_norm.weight", c->head_size, 1);
    }
}

static Tensor *transformer_forward(const Layer *layer, Tape *tape, Tensor *x) {
    const TransformerConfig *c = layer->config;
    Tensor *const *w = layer->weight;
    Tensor *qkv[3];
    linear_group(tape, x, &w[Q_PROJ], 3, qkv);
    if (c->qkv_bias)
        for (int i = 0; i < 3; i++) qkv[i] = bias(tape, qkv[i], w[Q_BIAS + i]);
    Tensor *q = qkv[0], *k = qkv[1], *v = qkv[2];
    if (c->qk_norm) {
        q = rms_norm(tape, q, NULL, w[Q_NORM], qk_norm_eps, NULL);
        k = rms_norm(tape, k, NULL, w[K_NORM], qk_norm_eps, NULL);
    }
    if (!isnan(c->rope_theta)) {
        q = rotary(tape, q, c->head_size, (float)c->rope_theta);
        k = rotary(tape, k, c->head_size, (float)c->rope_theta);
    }
    const AttentionShape shape = {c->num_heads, c->num_kv_heads, c->window_size < 0 ? 0 : c->window_size};
    return linear(tape, attention(tape, q, k, v, shape), w[O_PROJ]);
}

const Mixer transformer_mixer = {
    .model_type = "transformer",
    .architecture = "TransformerForCausalLM",
    .keys = transformer_keys,
    .key_count = LENGTH(transformer_keys),
    .config_size = sizeof(TransformerConfig),
    .complete = transformer_complete,
    .parameters = transformer_parameters,
    .forward = transformer_forward,
};
