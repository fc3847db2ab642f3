/* GSA, gated slot attention (Zhang et al. 2024, arXiv 2409.07146), as in fla's GatedSlotAttention:
 *
 *   q, k, v = f(x Wq), f(x Wk), silu(x Wv)            (optionally after a short convolution and silu)
 *   a = log sigmoid(x Wf) / gate_logit_normalizer     log decay, one per slot
 *   s = 1 - e^a
 *   K_t = diag(e^a_t) K_{t-1} + s_t k_t^T, V_t = diag(e^a_t) V_{t-1} + s_t v_t^T       per head, slots x K and V
 *   o_t = V_t^T softmax(K_t q_t)
 *   y = norm(silu(o)) Wo                              over all heads together
 *
 * The state of a head is num_slots x (K + V) numbers. With num_kv_heads < num_heads, several query heads share k, v, a
 * and the state. */
#include <math.h>
#include <string.h>

#include "base/log.h"
#include "models/mixers/parts.h"

typedef struct GsaConfig {
    double expand_k, expand_v, gate_logit_normalizer, clamp_min, clamp_max;
    int64_t num_heads, num_kv_heads, num_slots, conv_size;
    char *feature_map;
    bool use_short_conv, use_output_gate, use_norm;
    HeadSizes heads;
} GsaConfig;

static const Key gsa_keys[] = {
    KEY(GsaConfig, num_heads, KEY_INTEGER, "4", 1, 4096, NULL, "query heads"),
    KEY(GsaConfig, num_kv_heads, KEY_INTEGER | KEY_NULLABLE, "null", 1, 4096, NULL,
        "key and value heads (null: num_heads)"),
    KEY(GsaConfig, num_slots, KEY_INTEGER | KEY_NULLABLE, "64", 1, 4096, NULL, "slots of a head (null: its key width)"),
    KEY(GsaConfig, expand_k, KEY_REAL, "1.0", 1e-6, 64, NULL, "key width / hidden_size"),
    KEY(GsaConfig, expand_v, KEY_REAL, "1.0", 1, 1, NULL, "value width / hidden_size (only 1)"),
    KEY(GsaConfig, gate_logit_normalizer, KEY_REAL, "8", 1e-6, 1e6, NULL, "divides the log decay"),
    KEY(GsaConfig, feature_map, KEY_CHOICE, "swish", 0, 0, "swish|relu|t2r", "function applied to q and k"),
    KEY(GsaConfig, use_short_conv, KEY_BOOLEAN, "false", 0, 0, NULL, "short convolutions on q, k and v"),
    KEY(GsaConfig, conv_size, KEY_INTEGER, "4", 1, 64, NULL, "width of the short convolutions"),
    KEY(GsaConfig, clamp_min, KEY_REAL | KEY_NULLABLE | KEY_INERT, "null", -1e9, 1e9, NULL,
        "stored by fla; without effect"),
    KEY(GsaConfig, clamp_max, KEY_REAL | KEY_NULLABLE | KEY_INERT, "null", -1e9, 1e9, NULL,
        "stored by fla; without effect"),
    KEY(GsaConfig, use_output_gate, KEY_BOOLEAN | KEY_INERT, "false", 0, 0, NULL, "stored by fla; without effect"),
    KEY(GsaConfig, use_norm, KEY_BOOLEAN | KEY_INERT, "true", 0, 0, NULL, "stored by fla; without effect"),
    {"use_rope", KEY_FIXED, "false", 0, 0, NULL, "q and k are not rotated", 0},
};

enum { Q_PROJ, K_PROJ, V_PROJ, F_PROJ, O_PROJ, G_NORM, FEATURES, Q_CONV, K_CONV, V_CONV };

/* fla does not pass norm_eps to this norm, so the norm keeps its own default. */
static const float g_norm_eps = 1e-5f;

static Status gsa_complete(void *config, const ModelConfig *model) {
    GsaConfig *c = config;
    const Status status = heads_complete(&c->heads, model, c->num_heads, &c->num_kv_heads, c->expand_k, c->expand_v);
    if (status == OK && c->num_slots < 0) c->num_slots = c->heads.key_size / c->heads.count;
    return status;
}

static void gsa_parameters(Layer *layer) {
    const GsaConfig *c = layer->config;
    const int64_t h = layer->model->hidden_size, groups = c->heads.count / c->heads.kv_count;
    const int64_t k_size = c->heads.key_size / groups, v_size = c->heads.value_size / groups;
    const int64_t K = c->heads.key_size / c->heads.count;
    layer_matrix(layer, Q_PROJ, "q_proj.weight", c->heads.key_size, h);
    layer_matrix(layer, K_PROJ, "k_proj.weight", k_size, h);
    layer_matrix(layer, V_PROJ, "v_proj.weight", v_size, h);
    layer_matrix(layer, F_PROJ, "f_proj.weight", c->heads.kv_count * c->num_slots, h);
    layer_matrix(layer, O_PROJ, "o_proj.weight", h, c->heads.value_size);
    if (layer->model->elementwise_affine) layer_vector(layer, G_NORM, "g_norm.weight", h, 1);
    if (strcmp(c->feature_map, "t2r") == 0) layer_matrix(layer, FEATURES, "feature_map.layer.weight", K, K);
    if (!c->use_short_conv) return;
    layer_convolution(layer, Q_CONV, "q_conv1d.weight", c->heads.key_size, c->conv_size);
    layer_convolution(layer, K_CONV, "k_conv1d.weight", k_size, c->conv_size);
    layer_convolution(layer, V_CONV, "v_conv1d.weight", v_size, c->conv_size);
}

static Tensor *features(Tape *tape, Tensor *x, const GsaConfig *c, Tensor *weight) {
    return weight ? activation(tape, linear_heads(tape, x, weight), ACTIVATION_RELU)
                  : feature_map(tape, x, c->feature_map);
}

static Tensor *gsa_forward(const Layer *layer, Tape *tape, Tensor *x) {
    const GsaConfig *c = layer->config;
    Tensor *const *w = layer->weight;
    Tensor *y[4];
    linear_group(tape, x, &w[Q_PROJ], 4, y);
    if (c->use_short_conv)
        for (int i = 0; i < 3; i++) y[i] = short_convolution(tape, y[i], w[Q_CONV + i], NULL, true);
    Tensor *q = features(tape, y[0], c, w[FEATURES]), *k = features(tape, y[1], c, w[FEATURES]);
    Tensor *v = activation(tape, y[2], ACTIVATION_SILU);
    Tensor *decay = log_sigmoid_gate(tape, y[3], NULL, (float)c->gate_logit_normalizer, -INFINITY);
    const ChunkGlaShape shape = {c->heads.count, c->heads.kv_count, 1};
    Tensor *o = slot_attention(tape, q, k, v, decay_complement(tape, decay), decay, shape);
    o = activation(tape, o, ACTIVATION_SILU);
    o = w[G_NORM] ? rms_norm(tape, o, NULL, w[G_NORM], g_norm_eps, NULL) : rms_norm_plain(tape, o, o->cols, g_norm_eps);
    return linear(tape, o, w[O_PROJ]);
}

const Mixer gsa_mixer = {
    .model_type = "gsa",
    .architecture = "GSAForCausalLM",
    .keys = gsa_keys,
    .key_count = LENGTH(gsa_keys),
    .config_size = sizeof(GsaConfig),
    .takes_attention = true,
    .takes_plain_norm = true,
    .complete = gsa_complete,
    .parameters = gsa_parameters,
    .forward = gsa_forward,
};
