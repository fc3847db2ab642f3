/* ReBased, linear attention with a learnable quadratic kernel (Aksenov et al. 2024, arXiv 2402.10644), as in fla's
 * ReBasedLinearAttention:
 *
 *   q, k, v = x Wq, x Wk, x Wv                        per head q, k [d], v [V]
 *   q', k' = LayerNorm(q), LayerNorm(k)               over d, with one gamma and beta for both and all heads
 *   w_ij = (q'_i . k'_j)^2 / d
 *   o_i = sum over j <= i of w_ij v_j / (sum over j <= i of w_ij + eps)
 *   y = o Wo
 *
 * w_ij is the scalar product of the features of q'_i and those of k'_j: the F = d (d + 1) / 2 products of two entries.
 * The state of a head is F x V numbers, and the sums of the F features. fla has only the layer, without a model. */
#include "models/mixers/parts.h"

typedef struct RebasedConfig {
    int64_t feature_dim, num_heads, num_key_value_heads, l_max;
    bool use_gamma, use_beta, normalize;
    double eps;
} RebasedConfig;

static const Key rebased_keys[] = {
    KEY(RebasedConfig, num_heads, KEY_INTEGER, "16", 1, 4096, NULL, "heads"),
    KEY(RebasedConfig, num_key_value_heads, KEY_INTEGER | KEY_NULLABLE, "null", 1, 4096, NULL,
        "key and value heads; must be num_heads or null"),
    KEY(RebasedConfig, feature_dim, KEY_INTEGER, "16", 1, 64, NULL, "width of a head's q and k"),
    KEY(RebasedConfig, use_gamma, KEY_BOOLEAN, "true", 0, 0, NULL, "the norm's weight (only true is supported)"),
    KEY(RebasedConfig, use_beta, KEY_BOOLEAN, "true", 0, 0, NULL, "the norm's bias (only true is supported)"),
    KEY(RebasedConfig, normalize, KEY_BOOLEAN, "true", 0, 0, NULL,
        "apply the norm to q and k (only true is supported)"),
    KEY(RebasedConfig, eps, KEY_REAL, "1e-5", 0, 1, NULL, "added to the sum of the weights"),
    KEY(RebasedConfig, l_max, KEY_INTEGER | KEY_INERT, "2048", 1, 1 << 30, NULL, "stored by fla; without effect"),
};

enum { Q_PROJ, K_PROJ, V_PROJ, O_PROJ, GAMMA, BETA };

/* The eps of fla's layer norm, which no config key sets. */
static const float feature_norm_eps = 1e-5f;

static Status rebased_complete(void *config, const ModelConfig *model) {
    RebasedConfig *c = config;
    if (!c->use_gamma) return refused("use_gamma", "false is not supported");
    if (!c->use_beta) return refused("use_beta", "false is not supported");
    if (!c->normalize) return refused("normalize", "false is not supported");
    return heads_of_own_keys(model, c->num_heads, &c->num_key_value_heads);
}

static void rebased_parameters(Layer *layer) {
    const RebasedConfig *c = layer->config;
    const int64_t h = layer->model->hidden_size, keys = c->num_heads * c->feature_dim;
    layer_matrix(layer, Q_PROJ, "q_proj.weight", keys, h);
    layer_matrix(layer, K_PROJ, "k_proj.weight", keys, h);
    layer_matrix(layer, V_PROJ, "v_proj.weight", h, h);
    layer_matrix(layer, O_PROJ, "o_proj.weight", h, h);
    layer_vector(layer, GAMMA, "feature_map.gamma", c->feature_dim, 1);
    layer_vector(layer, BETA, "feature_map.beta", c->feature_dim, 0);
}

static Tensor *features(const Layer *layer, Tape *tape, Tensor *x) {
    const RebasedConfig *c = layer->config;
    Tensor *const *w = layer->weight;
    Tensor *normed = layer_norm(tape, x, NULL, w[GAMMA], w[BETA], c->feature_dim, feature_norm_eps, NULL);
    return quadratic_features(tape, normed, c->feature_dim, false);
}

static Tensor *rebased_forward(const Layer *layer, Tape *tape, Tensor *x) {
    const RebasedConfig *c = layer->config;
    Tensor *const *w = layer->weight;
    Tensor *y[3];
    linear_group(tape, x, &w[Q_PROJ], 3, y);
    Tensor *q = features(layer, tape, y[0]), *k = features(layer, tape, y[1]);
    const float scale = 1 / (float)c->feature_dim;
    return linear(tape, normalised_attention(tape, q, k, y[2], c->num_heads, scale, (float)c->eps), w[O_PROJ]);
}

const Mixer rebased_mixer = {
    .model_type = "rebased",
    .architecture = "ReBasedForCausalLM",
    .keys = rebased_keys,
    .key_count = LENGTH(rebased_keys),
    .config_size = sizeof(RebasedConfig),
    .takes_attention = true,
    .complete = rebased_complete,
    .parameters = rebased_parameters,
    .forward = rebased_forward,
};
