/* Linear attention (Katharopoulos et al. 2020, arXiv 2006.16236), as in fla's LinearAttention:
 *
 *   q, k, v = f(x Wq), f(x Wk), x Wv                  f is the feature map of a head; use_short_conv, which fla lacks,
 *                                                     puts silu(conv(x W)) in place of each x W
 *   S_t = S_{t-1} + k_t v_t^T                         per head, S [K, V]
 *   o_t = K^(-1/2) q_t S_t
 *   y = norm(o) Wo
 *
 * The default feature map is the product of two learned projections, f(x) = (x W1 + b1) * (x W2 + b2); q and k have one
 * each. The state of a head is K x V numbers. With num_kv_heads < num_heads, several query heads share k and v. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "models/mixers/parts.h"

typedef struct LinearAttnConfig {
    double expand_k, expand_v;
    int64_t num_heads, num_kv_heads, conv_size;
    char *feature_map, *attn_mode;
    bool use_short_conv;
    bool tie_feature_map_qk, norm_q, norm_k, norm_feature_map;
    HeadSizes heads;
} LinearAttnConfig;

static const Key linear_attn_keys[] = {
    KEY(LinearAttnConfig, num_heads, KEY_INTEGER, "4", 1, 4096, NULL, "query heads"),
    KEY(LinearAttnConfig, num_kv_heads, KEY_INTEGER | KEY_NULLABLE, "null", 1, 4096, NULL,
        "key and value heads (null: num_heads)"),
    KEY(LinearAttnConfig, expand_k, KEY_REAL, "1.0", 1e-6, 64, NULL, "key width / hidden_size"),
    KEY(LinearAttnConfig, expand_v, KEY_REAL, "1.0", 1e-6, 64, NULL, "value width / hidden_size"),
    KEY(LinearAttnConfig, feature_map, KEY_CHOICE, "elementwise_product", 0, 0,
        "elementwise_product|t2r|elu|relu|identity", "function applied to q and k"),
    KEY(LinearAttnConfig, attn_mode, KEY_CHOICE | KEY_INERT, "fused_chunk", 0, 0, "chunk|fused_chunk|fused_recurrent",
        "fla's kernel choice; the result is the same"),
    KEY(LinearAttnConfig, tie_feature_map_qk, KEY_BOOLEAN, "false", 0, 0, NULL,
        "q and k share one feature map (only false is supported)"),
    KEY(LinearAttnConfig, norm_q, KEY_BOOLEAN, "false", 0, 0, NULL, "divide q by its sum (only false is supported)"),
    KEY(LinearAttnConfig, norm_k, KEY_BOOLEAN, "false", 0, 0, NULL, "divide k by its sum (only false is supported)"),
    KEY(LinearAttnConfig, norm_feature_map, KEY_BOOLEAN, "false", 0, 0, NULL,
        "divide o by the sum of its weights (only false is supported)"),
    KEY(LinearAttnConfig, use_short_conv, KEY_BOOLEAN, "false", 0, 0, NULL,
        "short convolutions and silu on q, k and v before the feature map (fla does not have the key)"),
    KEY(LinearAttnConfig, conv_size, KEY_INTEGER, "4", 1, 64, NULL, "width of the short convolutions"),
};

/* The weights of a feature map: two matrices and two biases, or one matrix. */
enum { FIRST, SECOND, FIRST_BIAS, SECOND_BIAS, MAP_WEIGHTS };
enum {
    Q_PROJ,
    K_PROJ,
    V_PROJ,
    O_PROJ,
    NORM,
    Q_MAP,
    K_MAP = Q_MAP + MAP_WEIGHTS,
    Q_CONV = K_MAP + MAP_WEIGHTS,
    K_CONV,
    V_CONV
};

static Status linear_attn_complete(void *config, const ModelConfig *model) {
    LinearAttnConfig *c = config;
    const struct {
        const char *key;
        bool value;
    } only_false[] = {{"tie_feature_map_qk", c->tie_feature_map_qk},
                      {"norm_q", c->norm_q},
                      {"norm_k", c->norm_k},
                      {"norm_feature_map", c->norm_feature_map}};
    for (int i = 0; i < LENGTH(only_false); i++) {
        if (!only_false[i].value) continue;
        log_error("model.%s: true is not supported", only_false[i].key);
        return BAD_INPUT;
    }
    return heads_complete(&c->heads, model, c->num_heads, &c->num_kv_heads, c->expand_k, c->expand_v);
}

static bool maps_by(const LinearAttnConfig *c, const char *name) { return strcmp(c->feature_map, name) == 0; }

/* Adds the parameters of the feature map of q or k, from weight[index] on. */
static void map_parameters(Layer *layer, int index, const char *map) {
    const LinearAttnConfig *c = layer->config;
    const int64_t K = c->heads.key_size / c->heads.count;
    char name[64];
    const bool product = maps_by(c, "elementwise_product");
    if (!product && !maps_by(c, "t2r")) return;
    for (int i = FIRST; i <= (product ? SECOND : FIRST); i++) {
        snprintf(name, sizeof name, product ? "%s.layer%d.weight" : "%s.layer.weight", map, i + 1);
        layer_matrix(layer, index + i, name, K, K);
    }
    for (int i = FIRST; product && i <= SECOND; i++) {
        snprintf(name, sizeof name, "%s.layer%d.bias", map, i + 1);
        layer_vector(layer, index + FIRST_BIAS + i, name, K, 0);
    }
}

static void linear_attn_parameters(Layer *layer) {
    const LinearAttnConfig *c = layer->config;
    const int64_t h = layer->model->hidden_size, groups = c->heads.count / c->heads.kv_count;
    layer_matrix(layer, Q_PROJ, "q_proj.weight", c->heads.key_size, h);
    layer_matrix(layer, K_PROJ, "k_proj.weight", c->heads.key_size / groups, h);
    layer_matrix(layer, V_PROJ, "v_proj.weight", c->heads.value_size / groups, h);
    layer_matrix(layer, O_PROJ, "o_proj.weight", h, c->heads.value_size);
    layer_vector(layer, NORM, "norm.weight", c->heads.value_size / c->heads.count, 1);
    map_parameters(layer, Q_MAP, "feature_map_q");
    map_parameters(layer, K_MAP, "feature_map_k");
    if (!c->use_short_conv) return;
    layer_convolution(layer, Q_CONV, "q_conv1d.weight", c->heads.key_size, c->conv_size);
    layer_convolution(layer, K_CONV, "k_conv1d.weight", c->heads.key_size / groups, c->conv_size);
    layer_convolution(layer, V_CONV, "v_conv1d.weight", c->heads.value_size / groups, c->conv_size);
}

static Tensor *mapped(const LinearAttnConfig *c, Tape *tape, Tensor *x, Tensor *const map[]) {
    if (maps_by(c, "identity")) return x;
    if (maps_by(c, "relu")) return activation(tape, x, ACTIVATION_RELU);
    if (maps_by(c, "elu")) return activation(tape, x, ACTIVATION_ONE_PLUS_ELU);
    Tensor *first = linear_heads(tape, x, map[FIRST]);
    if (maps_by(c, "t2r")) return activation(tape, first, ACTIVATION_RELU);
    return biased_product(tape, first, map[FIRST_BIAS], linear_heads(tape, x, map[SECOND]), map[SECOND_BIAS]);
}

static Tensor *linear_attn_forward(const Layer *layer, Tape *tape, Tensor *x) {
    const LinearAttnConfig *c = layer->config;
    Tensor *const *w = layer->weight;
    Tensor *y[3];
    linear_group(tape, x, &w[Q_PROJ], 3, y);
    for (int i = 0; i < 3 && c->use_short_conv; i++) y[i] = convolved_silu(tape, y[i], w[Q_CONV + i]);
    Tensor *q = mapped(c, tape, y[0], &w[Q_MAP]), *k = mapped(c, tape, y[1], &w[K_MAP]);
    const int64_t heads = c->heads.count, K = c->heads.key_size / heads, V = c->heads.value_size / heads;
    const ChunkSimpleGlaShape shape = {.heads = heads, .key_size = K, .value_size = V, .scale = 1 / sqrtf((float)K)};
    Tensor *o = chunk_simple_gla(tape, q, k, y[2], (ChunkSimpleGlaGates){0}, shape, NULL, NULL);
    return linear(tape, rms_norm(tape, o, NULL, w[NORM], (float)layer->model->norm_eps, NULL), w[O_PROJ]);
}

const Mixer linear_attn_mixer = {
    .model_type = "linear_attn",
    .architecture = "LinearAttentionForCausalLM",
    .keys = linear_attn_keys,
    .key_count = LENGTH(linear_attn_keys),
    .config_size = sizeof(LinearAttnConfig),
    .takes_attention = true,
    .complete = linear_attn_complete,
    .parameters = linear_attn_parameters,
    .forward = linear_attn_forward,
};
