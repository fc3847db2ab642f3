/* RetNet, multi-scale retention (Sun et al. 2023, arXiv 2307.08621), as in fla's MultiScaleRetention:
 *
 *   q, k, v, g = x Wq, x Wk, x Wv, x Wg               (optionally feature_map applied to q and k)
 *   q, k = rotate(q), rotate(k)
 *   S_t = (1 - 2^(-5-n)) S_{t-1} + k_t v_t^T          head n, S [K, V]
 *   o_t = K^(-1/2) q_t S_t
 *   y = (norm(o) * silu(g)) Wo
 *
 * The state of a head is K x V numbers. With num_kv_heads < num_heads, several query heads share k and v. */
#include <math.h>

#include "base/log.h"
#include "models/mixers/parts.h"

enum { RETNET_HEADS = 64, LARGEST_KEY = 256 };

typedef struct RetnetConfig {
    double expand_k, expand_v;
    int64_t num_heads, num_kv_heads, conv_size;
    char *feature_map, *attn_mode;
    bool use_short_conv, use_output_gate;
    HeadSizes heads;
    float log_decay[RETNET_HEADS];
} RetnetConfig;

static const float rope_theta = 10000; /* fla's layer fixes it; there is no config key */

static const Key retnet_keys[] = {
    KEY(RetnetConfig, num_heads, KEY_INTEGER, "8", 1, RETNET_HEADS, NULL, "query heads"),
    KEY(RetnetConfig, num_kv_heads, KEY_INTEGER | KEY_NULLABLE, "null", 1, RETNET_HEADS, NULL,
        "key and value heads (null: num_heads)"),
    KEY(RetnetConfig, expand_k, KEY_REAL, "1.0", 1e-6, 64, NULL, "key width / hidden_size"),
    KEY(RetnetConfig, expand_v, KEY_REAL, "2.0", 1e-6, 64, NULL, "value width / hidden_size"),
    KEY(RetnetConfig, feature_map, KEY_CHOICE | KEY_NULLABLE, "null", 0, 0, FEATURE_MAPS,
        "function applied to q and k"),
    KEY(RetnetConfig, attn_mode, KEY_CHOICE | KEY_INERT, "chunk", 0, 0, "chunk|fused_chunk|parallel|fused_recurrent",
        "fla's kernel choice; the result is the same"),
    KEY(RetnetConfig, use_short_conv, KEY_BOOLEAN | KEY_INERT, "false", 0, 0, NULL, "stored by fla; without effect"),
    KEY(RetnetConfig, conv_size, KEY_INTEGER | KEY_INERT, "4", 1, 64, NULL, "stored by fla; without effect"),
    KEY(RetnetConfig, use_output_gate, KEY_BOOLEAN, "true", 0, 0, NULL, "gate the output with silu(g)"),
};

enum { Q_PROJ, K_PROJ, V_PROJ, G_PROJ, O_PROJ, G_NORM };

static Status retnet_complete(void *config, const ModelConfig *model) {
    RetnetConfig *c = config;
    const Status status = heads_complete(&c->heads, model, c->num_heads, &c->num_kv_heads, c->expand_k, c->expand_v);
    if (status != OK) return status;
    const int64_t K = c->heads.key_size / c->num_heads;
    if (K % 2 != 0 || K > LARGEST_KEY) {
        log_error(
            "model: key width %lld (hidden_size * expand_k) / num_heads %lld must be an even head size of at most "
            "%d",
            (long long)c->heads.key_size, (long long)c->num_heads, LARGEST_KEY);
        return BAD_INPUT;
    }
    for (int64_t n = 0; n < c->num_heads; n++) c->log_decay[n] = (float)log1p(-exp2(-5 - (double)n));
    return OK;
}

static void retnet_parameters(Layer *layer) {
    const RetnetConfig *c = layer->config;
    const int64_t h = layer->model->hidden_size, groups = c->heads.count / c->heads.kv_count;
    layer_matrix(layer, Q_PROJ, "q_proj.weight", c->heads.key_size, h);
    layer_matrix(layer, K_PROJ, "k_proj.weight", c->heads.key_size / groups, h);
    layer_matrix(layer, V_PROJ, "v_proj.weight", c->heads.value_size / groups, h);
    if (c->use_output_gate) layer_matrix(layer, G_PROJ, "g_proj.weight", c->heads.value_size, h);
    layer_matrix(layer, O_PROJ, "o_proj.weight", h, c->heads.value_size);
    layer_vector(layer, G_NORM, output_norm_name(layer->model, c->use_output_gate),
                 c->heads.value_size / c->heads.count, 1);
}

static Tensor *retnet_forward(const Layer *layer, Tape *tape, Tensor *x) {
    const RetnetConfig *c = layer->config;
    Tensor *const *w = layer->weight;
    Tensor *y[4] = {NULL};
    linear_group(tape, x, &w[Q_PROJ], c->use_output_gate ? 4 : 3, y);
    const int64_t heads = c->heads.count, K = c->heads.key_size / heads, V = c->heads.value_size / heads;
    Tensor *q = rotary(tape, feature_map(tape, y[0], c->feature_map), K, rope_theta);
    Tensor *k = rotary(tape, feature_map(tape, y[1], c->feature_map), K, rope_theta);
    const ChunkSimpleGlaShape shape = {heads, K, V, 1 / sqrtf((float)K), c->log_decay};
    Tensor *o = chunk_simple_gla(tape, q, k, y[2], (ChunkSimpleGlaGates){0}, shape, NULL, NULL);
    o = gated_output_norm(tape, o, y[3], w[G_NORM], ACTIVATION_SILU, (float)layer->model->norm_eps);
    return linear(tape, o, w[O_PROJ]);
}

const Mixer retnet_mixer = {
    .model_type = "retnet",
    .architecture = "RetNetForCausalLM",
    .keys = retnet_keys,
    .key_count = LENGTH(retnet_keys),
    .config_size = sizeof(RetnetConfig),
    .model_defaults = "hidden_ratio: 2",
    .takes_attention = true,
    .complete = retnet_complete,
    .parameters = retnet_parameters,
    .forward = retnet_forward,
};
