/* The forgetting transformer (Lin et al. 2025, arXiv 2503.02130), as in fla's ForgettingAttention:
 *
 *   q, k, v = x Wq, x Wk, x Wv (+ biases)             (q and k optionally through a norm per head)
 *   f = log sigmoid(x Wf + bf)                        per query head; there are no positional embeddings
 *   o_i = sum_j softmax_j(q_i k_j / sqrt(D) + f_{j+1} + .. + f_i) v_j
 *   y = (o * sigmoid(x Wg)) Wo                        o Wo without use_output_gate */
#include <math.h>

#include "base/log.h"
#include "models/mixers/parts.h"

typedef struct ForgettingTransformerConfig {
    int64_t num_heads, num_kv_heads, window_size;
    bool qkv_bias, qk_norm, use_output_gate;
    int64_t head_size;
} ForgettingTransformerConfig;

static const Key forgetting_transformer_keys[] = {
    KEY(ForgettingTransformerConfig, num_heads, KEY_INTEGER, "32", 1, 4096, NULL, "query heads"),
    KEY(ForgettingTransformerConfig, num_kv_heads, KEY_INTEGER | KEY_NULLABLE, "null", 1, 4096, NULL,
        "key and value heads (null: num_heads)"),
    KEY(ForgettingTransformerConfig, qkv_bias, KEY_BOOLEAN, "false", 0, 0, NULL,
        "biases on the q, k and v projections"),
    KEY(ForgettingTransformerConfig, qk_norm, KEY_BOOLEAN, "false", 0, 0, NULL, "norm per head on q and k"),
    KEY(ForgettingTransformerConfig, window_size, KEY_INTEGER | KEY_NULLABLE, "null", 1, 1e9, NULL,
        "must be null, because fla's model uses it only in generation"),
    KEY(ForgettingTransformerConfig, use_output_gate, KEY_BOOLEAN, "false", 0, 0, NULL, "gate the output"),
};

enum { Q_PROJ, K_PROJ, V_PROJ, G_PROJ, F_PROJ, O_PROJ, F_BIAS, Q_BIAS, K_BIAS, V_BIAS, Q_NORM, K_NORM };

static const float qk_norm_eps = 1e-5f; /* fla's layer fixes it; there is no config key */

static Status forgetting_transformer_complete(void *config, const ModelConfig *model) {
    ForgettingTransformerConfig *c = config;
    if (attention_heads(model, c->num_heads, &c->num_kv_heads, &c->head_size, 256, false) != OK) return BAD_INPUT;
    if (c->window_size >= 0) {
        log_error("model: window_size %lld is not null: fla's model uses it only in generation, and attends to all "
                  "tokens in training",
                  (long long)c->window_size);
        return BAD_INPUT;
    }
    return OK;
}

static void forgetting_transformer_parameters(Layer *layer) {
    const ForgettingTransformerConfig *c = layer->config;
    const int64_t h = layer->model->hidden_size, kv_size = c->num_kv_heads * c->head_size;
    layer_matrix(layer, Q_PROJ, "q_proj.weight", h, h);
    layer_matrix(layer, K_PROJ, "k_proj.weight", kv_size, h);
    layer_matrix(layer, V_PROJ, "v_proj.weight", kv_size, h);
    if (c->use_output_gate) layer_matrix(layer, G_PROJ, "g_proj.weight", h, h);
    layer_matrix(layer, F_PROJ, "f_proj.weight", c->num_heads, h);
    layer_matrix(layer, O_PROJ, "o_proj.weight", h, h);
    layer_vector(layer, F_BIAS, "f_proj.bias", c->num_heads, 0);
    if (c->qkv_bias) {
        layer_vector(layer, Q_BIAS, "q_proj.bias", h, 0);
        layer_vector(layer, K_BIAS, "k_proj.bias", kv_size, 0);
        layer_vector(layer, V_BIAS, "v_proj.bias", kv_size, 0);
    }
    if (c->qk_norm) {
        layer_vector(layer, Q_NORM, "q_norm.weight", h, 1);
        layer_vector(layer, K_NORM, "k_norm.weight", kv_size, 1);
    }
}

static Tensor *forgetting_transformer_forward(const Layer *layer, Tape *tape, Tensor *x) {
    const ForgettingTransformerConfig *c = layer->config;
    Tensor *const *w = layer->weight;
    Tensor *y[4];
    linear_group(tape, x, &w[Q_PROJ], c->use_output_gate ? 4 : 3, y);
    if (c->qkv_bias)
        for (int i = 0; i < 3; i++) y[i] = bias(tape, y[i], w[Q_BIAS + i]);
    Tensor *q = y[0], *k = y[1];
    if (c->qk_norm) {
        q = rms_norm_groups(tape, q, NULL, w[Q_NORM], c->head_size, qk_norm_eps);
        k = rms_norm_groups(tape, k, NULL, w[K_NORM], c->head_size, qk_norm_eps);
    }
    Tensor *f = log_sigmoid_gate(tape, linear(tape, x, w[F_PROJ]), w[F_BIAS], 1, -INFINITY);
    const AttentionShape shape = {.heads = c->num_heads, .kv_heads = c->num_kv_heads};
    Tensor *o = forgetting_attention(tape, q, k, y[2], f, shape);
    if (c->use_output_gate) o = multiply(tape, o, activation(tape, y[3], ACTIVATION_SIGMOID));
    return linear(tape, o, w[O_PROJ]);
}

const Mixer forgetting_transformer_mixer = {
    .model_type = "forgetting_transformer",
    .architecture = "ForgettingTransformerForCausalLM",
    .keys = forgetting_transformer_keys,
    .key_count = LENGTH(forgetting_transformer_keys),
    .config_size = sizeof(ForgettingTransformerConfig),
    .complete = forgetting_transformer_complete,
    .parameters = forgetting_transformer_parameters,
    .forward = forgetting_transformer_forward,
};
