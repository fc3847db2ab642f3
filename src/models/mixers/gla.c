/* GLA, gated linear attention (Yang et al. 2023, arXiv 2312.06635), as in fla's GatedLinearAttention:
 *
 *   q, k, v, g = x Wq, x Wk, x Wv, x Wg               (optionally a short convolution and silu on q, k, v)
 *   a = log sigmoid(x W0 W1 + b) / 16                 log decay, one per key channel
 *   S_t = diag(e^a_t) S_{t-1} + k_t v_t^T             per head, S [K, V]
 *   o_t = K^(-1/2) q_t S_t
 *   y = (norm(o) * silu(g)) Wo
 *
 * The state of a head is K x V numbers. With num_kv_heads < num_heads, several heads share k, v, a and the state. */
#include <math.h>

#include "models/mixers/parts.h"

typedef struct GlaConfig {
    double expand_k, expand_v, clamp_min; /* clamp_min NaN: no bound */
    int64_t num_heads, num_kv_heads, conv_size;
    char *feature_map, *attn_mode;
    bool use_short_conv, use_output_gate, use_gk, use_gv;
    HeadSizes heads;
} GlaConfig;

enum { GATE_RANK = 16, GATE_NORMALIZER = 16 }; /* fla's layer fixes both; there are no config keys */

static const Key gla_keys[] = {
    KEY(GlaConfig, num_heads, KEY_INTEGER, "4", 1, 4096, NULL, "query heads"),
    KEY(GlaConfig, num_kv_heads, KEY_INTEGER | KEY_NULLABLE, "null", 1, 4096, NULL,
        "key and value heads (null: num_heads)"),
    KEY(GlaConfig, expand_k, KEY_REAL, "0.5", 1e-6, 64, NULL, "key width / hidden_size"),
    KEY(GlaConfig, expand_v, KEY_REAL, "1.0", 1e-6, 64, NULL, "value width / hidden_size"),
    KEY(GlaConfig, feature_map, KEY_CHOICE | KEY_NULLABLE, "null", 0, 0, FEATURE_MAPS, "function applied to q and k"),
    KEY(GlaConfig, attn_mode, KEY_CHOICE | KEY_INERT, "chunk", 0, 0, "chunk|fused_chunk|fused_recurrent",
        "fla's kernel choice; the result is the same"),
    KEY(GlaConfig, use_short_conv, KEY_BOOLEAN, "false", 0, 0, NULL, "short convolutions on q, k and v"),
    KEY(GlaConfig, conv_size, KEY_INTEGER, "4", 1, 64, NULL, "width of the short convolutions"),
    KEY(GlaConfig, use_output_gate, KEY_BOOLEAN, "true", 0, 0, NULL, "gate the output with silu(g)"),
    KEY(GlaConfig, clamp_min, KEY_REAL | KEY_NULLABLE, "null", -1e9, 0, NULL, "lower bound of the log decay"),
    KEY(GlaConfig, use_gk, KEY_BOOLEAN | KEY_INERT, "true", 0, 0, NULL, "stored by fla; without effect"),
    KEY(GlaConfig, use_gv, KEY_BOOLEAN | KEY_INERT, "false", 0, 0, NULL, "stored by fla; without effect"),
};

enum { Q_PROJ, K_PROJ, V_PROJ, G_PROJ, GK_PROJ_0, GK_PROJ_1, GK_BIAS, O_PROJ, G_NORM, Q_CONV, K_CONV, V_CONV };

static Status gla_complete(void *config, const ModelConfig *model) {
    GlaConfig *c = config;
    return heads_complete(&c->heads, model, c->num_heads, &c->num_kv_heads, c->expand_k, c->expand_v);
}

static void gla_parameters(Layer *layer) {
    const GlaConfig *c = layer->config;
    const int64_t h = layer->model->hidden_size, groups = c->heads.count / c->heads.kv_count;
    const int64_t k_size = c->heads.key_size / groups, v_size = c->heads.value_size / groups;
    layer_matrix(layer, Q_PROJ, "q_proj.weight", c->heads.key_size, h);
    layer_matrix(layer, K_PROJ, "k_proj.weight", k_size, h);
    layer_matrix(layer, V_PROJ, "v_proj.weight", v_size, h);
    if (c->use_output_gate) layer_matrix(layer, G_PROJ, "g_proj.weight", c->heads.value_size, h);
    layer_matrix(layer, GK_PROJ_0, "gk_proj.0.weight", GATE_RANK, h);
    layer_matrix(layer, GK_PROJ_1, "gk_proj.1.weight", k_size, GATE_RANK);
    layer_vector(layer, GK_BIAS, "gk_proj.1.bias", k_size, 0);
    layer_matrix(layer, O_PROJ, "o_proj.weight", h, c->heads.value_size);
    layer_vector(layer, G_NORM, output_norm_name(layer->model, c->use_output_gate),
                 c->heads.value_size / c->heads.count, 1);
    if (!c->use_short_conv) return;
    layer_convolution(layer, Q_CONV, "q_conv1d.weight", c->heads.key_size, c->conv_size);
    layer_convolution(layer, K_CONV, "k_conv1d.weight", k_size, c->conv_size);
    layer_convolution(layer, V_CONV, "v_conv1d.weight", v_size, c->conv_size);
}

static Tensor *gla_forward(const Layer *layer, Tape *tape, Tensor *x) {
    const GlaConfig *c = layer->config;
    Tensor *const *w = layer->weight;
    Tensor *weights[5] = {w[Q_PROJ], w[K_PROJ], w[V_PROJ], w[GK_PROJ_0]}, *y[5];
    if (c->use_output_gate) weights[3] = w[G_PROJ], weights[4] = w[GK_PROJ_0];
    linear_group(tape, x, weights, c->use_output_gate ? 5 : 4, y);
    Tensor *q = y[0], *k = y[1], *v = y[2], *gate = y[3], *low_rank = y[c->use_output_gate ? 4 : 3];
    if (c->use_short_conv) {
        q = short_convolution(tape, q, w[Q_CONV], NULL, true);
        k = short_convolution(tape, k, w[K_CONV], NULL, true);
        v = short_convolution(tape, v, w[V_CONV], NULL, true);
    }
    q = feature_map(tape, q, c->feature_map);
    k = feature_map(tape, k, c->feature_map);
    const float clamp_min = isnan(c->clamp_min) ? -INFINITY : (float)c->clamp_min;
    Tensor *decay =
        log_sigmoid_gate(tape, linear(tape, low_rank, w[GK_PROJ_1]), w[GK_BIAS], GATE_NORMALIZER, clamp_min);
    const ChunkGlaShape shape = {.heads = c->heads.count, .kv_heads = c->heads.kv_count};
    Tensor *o = chunk_gla(tape, q, k, v, decay, shape, NULL, NULL);
    const float eps = (float)layer->model->norm_eps;
    o = gated_output_norm(tape, o, c->use_output_gate ? gate : NULL, w[G_NORM], ACTIVATION_SILU, eps);
    return linear(tape, o, w[O_PROJ]);
}

const Mixer gla_mixer = {
    .model_type = "gla",
    .architecture = "GLAForCausalLM",
    .keys = gla_keys,
    .key_count = LENGTH(gla_keys),
    .config_size = sizeof(GlaConfig),
    .takes_attention = true,
    .complete = gla_complete,
    .parameters = gla_parameters,
    .forward = gla_forward,
};
