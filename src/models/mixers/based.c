/* Based, linear attention with the features of a Taylor series (Arora et al. 2024, arXiv 2402.18668), as in fla's
 * BasedLinearAttention:
 *
 *   q, k, v = x Wq, x Wk, x Wv                        per head q, k [d], v [V]
 *   w_ij = 1 + s + s^2 / 2, s = d^(-1/2) q_i . k_j    the first terms of e^s
 *   o_i = sum over j <= i of w_ij v_j / (sum over j <= i of w_ij + eps)
 *   y = o Wo
 *
 * w_ij is the scalar product of the features of q_i and those of k_j, F = 1 + d + d (d + 1) / 2 each. The state of a
 * head is F x V numbers, and the sums of the F features. fla has only the layer, without a model. */
#include "models/mixers/parts.h"

typedef struct BasedConfig {
    int64_t feature_dim, num_heads, num_key_value_heads;
    char *feature_name;
    double eps;
} BasedConfig;

static const Key based_keys[] = {
    KEY(BasedConfig, num_heads, KEY_INTEGER, "16", 1, 4096, NULL, "heads"),
    KEY(BasedConfig, num_key_value_heads, KEY_INTEGER | KEY_NULLABLE, "null", 1, 4096, NULL,
        "key and value heads; must be num_heads or null"),
    KEY(BasedConfig, feature_dim, KEY_INTEGER, "16", 1, 64, NULL, "width of a head's q and k"),
    KEY(BasedConfig, feature_name, KEY_CHOICE, "taylor_exp", 0, 0, "taylor_exp",
        "feature map of q and k (only taylor_exp)"),
    KEY(BasedConfig, eps, KEY_REAL, "1e-12", 0, 1, NULL, "added to the sum of the weights"),
};

enum { Q_PROJ, K_PROJ, V_PROJ, O_PROJ };

static Status based_complete(void *config, const ModelConfig *model) {
    BasedConfig *c = config;
    return heads_of_own_keys(model, c->num_heads, &c->num_key_value_heads);
}

static void based_parameters(Layer *layer) {
    const BasedConfig *c = layer->config;
    const int64_t h = layer->model->hidden_size, keys = c->num_heads * c->feature_dim;
    layer_matrix(layer, Q_PROJ, "q_proj.weight", keys, h);
    layer_matrix(layer, K_PROJ, "k_proj.weight", keys, h);
    layer_matrix(layer, V_PROJ, "v_proj.weight", h, h);
    layer_matrix(layer, O_PROJ, "o_proj.weight", h, h);
}

static Tensor *based_forward(const Layer *layer, Tape *tape, Tensor *x) {
    const BasedConfig *c = layer->config;
    Tensor *const *w = layer->weight;
    Tensor *y[3];
    linear_group(tape, x, &w[Q_PROJ], 3, y);
    Tensor *q = quadratic_features(tape, y[0], c->feature_dim, true);
    Tensor *k = quadratic_features(tape, y[1], c->feature_dim, true);
    return linear(tape, normalised_attention(tape, q, k, y[2], c->num_heads, 1, (float)c->eps), w[O_PROJ]);
}

const Mixer based_mixer = {
    .model_type = "based",
    .architecture = "BasedForCausalLM",
    .keys = based_keys,
    .key_count = LENGTH(based_keys),
    .config_size = sizeof(BasedConfig),
    .takes_attention = true,
    .complete = based_complete,
    .parameters = based_parameters,
    .forward = based_forward,
};
