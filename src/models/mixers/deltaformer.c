/* DeltaFormer (Xu et al. 2025, arXiv 2505.19488), as in fla's DeltaFormerAttention:
 *
 *   q, k, v = x Wq, x Wk, x Wv (+ biases)             (q and k optionally through a norm per head)
 *   q, k = rotate(q), rotate(k)
 *   beta = x Wb + bb                                  per head
 *   u_i = v_i - beta_i sum over j < i of softmax_j(q_i k_j / sqrt(D)) u_j
 *   o_i = sum over j <= i of softmax_j(q_i k_j / sqrt(D)) u_j
 *   y = o Wo */
#include "base/log.h"
#include "models/mixers/parts.h"

typedef struct DeltaFormerConfig {
    int64_t num_heads, num_kv_heads, rope_max_position_embeddings;
    char *attn_mode;
    double rope_theta;
    bool qkv_bias, qk_norm;
    int64_t head_size;
} DeltaFormerConfig;

static const Key deltaformer_keys[] = {
    KEY(DeltaFormerConfig, num_heads, KEY_INTEGER, "8", 1, 4096, NULL, "heads"),
    KEY(DeltaFormerConfig, num_kv_heads, KEY_INTEGER | KEY_NULLABLE, "null", 1, 4096, NULL,
        "must be null or num_heads"),
    KEY(DeltaFormerConfig, attn_mode, KEY_CHOICE | KEY_INERT, "chunk", 0, 0, "chunk",
        "fla's kernel choice; the result is the same"),
    KEY(DeltaFormerConfig, qkv_bias, KEY_BOOLEAN, "false", 0, 0, NULL, "biases on the q, k and v projections"),
    KEY(DeltaFormerConfig, qk_norm, KEY_BOOLEAN, "false", 0, 0, NULL, "norm per head on q and k"),
    KEY(DeltaFormerConfig, rope_theta, KEY_REAL, "10000.0", 1, 1e12, NULL, "base of the rotary frequencies"),
    KEY(DeltaFormerConfig, rope_max_position_embeddings, KEY_INTEGER | KEY_NULLABLE | KEY_INERT, "null", 1, 1e9, NULL,
        "size of fla's table of rotations; without effect"),
};

enum { Q_PROJ, K_PROJ, V_PROJ, B_PROJ, O_PROJ, B_BIAS, Q_BIAS, K_BIAS, V_BIAS, Q_NORM, K_NORM };

static const float qk_norm_eps = 1e-5f; /* fla's layer fixes it; there is no config key */

static Status deltaformer_complete(void *config, const ModelConfig *model) {
    DeltaFormerConfig *c = config;
    if (c->num_kv_heads >= 0 && c->num_kv_heads != c->num_heads) {
        log_error("model: num_kv_heads %lld is not num_heads %lld: fla's DeltaFormer does not support that either",
                  (long long)c->num_kv_heads, (long long)c->num_heads);
        return BAD_INPUT;
    }
    int64_t own_heads = c->num_heads;
    if (attention_heads(model, c->num_heads, &own_heads, &c->head_size, 256, true) != OK) return BAD_INPUT;
    if (!model->tie_word_embeddings) {
        log_error("model: tie_word_embeddings must be true: fla 0.5.2 ties the embeddings in either case");
        return BAD_INPUT;
    }
    return OK;
}

static void deltaformer_parameters(Layer *layer) {
    const DeltaFormerConfig *c = layer->config;
    const int64_t h = layer->model->hidden_size;
    layer_matrix(layer, Q_PROJ, "q_proj.weight", h, h);
    layer_matrix(layer, K_PROJ, "k_proj.weight", h, h);
    layer_matrix(layer, V_PROJ, "v_proj.weight", h, h);
    layer_matrix(layer, B_PROJ, "b_proj.weight", c->num_heads, h);
    layer_matrix(layer, O_PROJ, "o_proj.weight", h, h);
    layer_vector(layer, B_BIAS, "b_proj.bias", c->num_heads, 0);
    if (c->qkv_bias) {
        layer_vector(layer, Q_BIAS, "q_proj.bias", h, 0);
        layer_vector(layer, K_BIAS, "k_proj.bias", h, 0);
        layer_vector(layer, V_BIAS, "v_proj.bias", h, 0);
    }
    if (c->qk_norm) {
        layer_vector(layer, Q_NORM, "q_norm.weight", c->head_size, 1);
        layer_vector(layer, K_NORM, "k_norm.weight", c->head_size, 1);
    }
}

static Tensor *deltaformer_forward(const Layer *layer, Tape *tape, Tensor *x) {
    const DeltaFormerConfig *c = layer->config;
    Tensor *const *w = layer->weight;
    Tensor *y[3];
    linear_group(tape, x, &w[Q_PROJ], 3, y);
    if (c->qkv_bias)
        for (int i = 0; i < 3; i++) y[i] = bias(tape, y[i], w[Q_BIAS + i]);
    if (c->qk_norm)
        for (int i = 0; i < 2; i++) y[i] = rms_norm(tape, y[i], NULL, w[Q_NORM + i], qk_norm_eps, NULL);
    for (int i = 0; i < 2; i++) y[i] = rotary(tape, y[i], c->head_size, (float)c->rope_theta);
    Tensor *beta = bias(tape, linear(tape, x, w[B_PROJ]), w[B_BIAS]);
    Tensor *u = delta_values(tape, y[0], y[1], y[2], beta, c->num_heads);
    const AttentionShape shape = {.heads = c->num_heads, .kv_heads = c->num_heads};
    return linear(tape, attention(tape, y[0], y[1], u, shape), w[O_PROJ]);
}

const Mixer deltaformer_mixer = {
    .model_type = "deltaformer",
    .architecture = "DeltaFormerForCausalLM",
    .keys = deltaformer_keys,
    .key_count = LENGTH(deltaformer_keys),
    .model_defaults = "tie_word_embeddings: true",
    .config_size = sizeof(DeltaFormerConfig),
    .complete = deltaformer_complete,
    .parameters = deltaformer_parameters,
    .forward = deltaformer_forward,
};
