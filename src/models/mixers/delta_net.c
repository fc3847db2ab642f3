/* DeltaNet, linear attention with the delta rule (Schlag et al. 2021, arXiv 2102.11174; in parallel form Yang et al.
 * 2024, arXiv 2406.06484), as in fla's DeltaNet:
 *
 *   q, k, v = silu(conv(x Wq)), silu(conv(x Wk)), silu(conv(x Wv))         q and k L2-normalised per head;
 *                                                                          no conv without use_short_conv
 *   beta = sigmoid(x Wb)                                                   per head; times 2 if allow_neg_eigval;
 *                                                                          1 without use_beta
 *   S_t = S_{t-1} + beta_t k_t (v_t - k_t S_{t-1})^T                       per head, S [K, V]
 *   o_t = K^(-1/2) q_t S_t
 *   y = norm(o) Wo                                                         norm(o) * silu(x Wg) if use_gate
 *
 * The state of a head is K x V numbers. */
#include "base/log.h"
#include "models/mixers/parts.h"

typedef struct DeltaNetConfig {
    double expand_k, expand_v;
    int64_t num_heads, conv_size;
    char *attn_mode, *qk_norm, *qk_activation;
    bool use_gate, use_short_conv, use_beta, allow_neg_eigval, use_output_norm;
    HeadSizes heads;
} DeltaNetConfig;

static const Key delta_net_keys[] = {
    KEY(DeltaNetConfig, num_heads, KEY_INTEGER, "16", 1, 4096, NULL, "heads"),
    KEY(DeltaNetConfig, expand_k, KEY_REAL, "1", 1e-6, 64, NULL, "key width / hidden_size"),
    KEY(DeltaNetConfig, expand_v, KEY_REAL, "1", 1e-6, 64, NULL, "value width / hidden_size"),
    KEY(DeltaNetConfig, attn_mode, KEY_CHOICE | KEY_INERT, "chunk", 0, 0, "chunk|fused_recurrent",
        "fla's kernel choice; the result is the same"),
    KEY(DeltaNetConfig, use_gate, KEY_BOOLEAN, "false", 0, 0, NULL, "gate the output with silu(g)"),
    KEY(DeltaNetConfig, use_short_conv, KEY_BOOLEAN, "true", 0, 0, NULL, "short convolutions on q, k and v"),
    KEY(DeltaNetConfig, conv_size, KEY_INTEGER, "4", 1, 64, NULL, "width of the short convolutions"),
    KEY(DeltaNetConfig, use_beta, KEY_BOOLEAN, "true", 0, 0, NULL, "learned step sizes beta (false: 1)"),
    KEY(DeltaNetConfig, allow_neg_eigval, KEY_BOOLEAN, "false", 0, 0, NULL, "beta in (0, 2) instead of (0, 1)"),
    KEY(DeltaNetConfig, qk_norm, KEY_CHOICE, "l2", 0, 0, "l2", "norm of q and k (only l2 is supported)"),
    KEY(DeltaNetConfig, qk_activation, KEY_CHOICE, "silu", 0, 0, "silu",
        "function applied to q and k (only silu is supported)"),
    KEY(DeltaNetConfig, use_output_norm, KEY_BOOLEAN | KEY_INERT, "true", 0, 0, NULL, "stored by fla; without effect"),
};

enum { Q_PROJ, K_PROJ, V_PROJ, G_PROJ, B_PROJ, O_PROJ, O_NORM, Q_CONV, K_CONV, V_CONV };

static Status delta_net_complete(void *config, const ModelConfig *model) {
    DeltaNetConfig *c = config;
    if (!c->use_beta && c->allow_neg_eigval) {
        log_error("model.allow_neg_eigval: true with use_beta: false is not supported");
        return BAD_INPUT;
    }
    return heads_complete(&c->heads, model, c->num_heads, NULL, c->expand_k, c->expand_v);
}

static void delta_net_parameters(Layer *layer) {
    const DeltaNetConfig *c = layer->config;
    const int64_t h = layer->model->hidden_size;
    layer_matrix(layer, Q_PROJ, "q_proj.weight", c->heads.key_size, h);
    layer_matrix(layer, K_PROJ, "k_proj.weight", c->heads.key_size, h);
    layer_matrix(layer, V_PROJ, "v_proj.weight", c->heads.value_size, h);
    if (c->use_gate) layer_matrix(layer, G_PROJ, "g_proj.weight", c->heads.value_size, h);
    if (c->use_beta) layer_matrix(layer, B_PROJ, "b_proj.weight", c->num_heads, h);
    layer_matrix(layer, O_PROJ, "o_proj.weight", h, c->heads.value_size);
    layer_vector(layer, O_NORM, "o_norm.weight", c->heads.value_size / c->num_heads, 1);
    if (!c->use_short_conv) return;
    layer_convolution(layer, Q_CONV, "q_conv1d.weight", c->heads.key_size, c->conv_size);
    layer_convolution(layer, K_CONV, "k_conv1d.weight", c->heads.key_size, c->conv_size);
    layer_convolution(layer, V_CONV, "v_conv1d.weight", c->heads.value_size, c->conv_size);
}

static Tensor *delta_net_forward(const Layer *layer, Tape *tape, Tensor *x) {
    const DeltaNetConfig *c = layer->config;
    Tensor *const *w = layer->weight;
    Tensor *y[4] = {NULL};
    linear_group(tape, x, &w[Q_PROJ], c->use_gate ? 4 : 3, y);
    const int64_t K = c->heads.key_size / c->num_heads;
    Tensor *q = l2_norm(tape, convolved_silu(tape, y[0], w[Q_CONV]), K, L2_NORM_EPS);
    Tensor *k = l2_norm(tape, convolved_silu(tape, y[1], w[K_CONV]), K, L2_NORM_EPS);
    Tensor *v = convolved_silu(tape, y[2], w[V_CONV]);
    const float beta_range = c->allow_neg_eigval ? 2 : 1;
    Tensor *beta = c->use_beta ? sigmoid_gate(tape, linear(tape, x, w[B_PROJ]), beta_range) : NULL;
    const ChunkDeltaShape shape = {c->num_heads, c->num_heads, 1, false};
    Tensor *o = chunk_delta(tape, q, k, v, beta, NULL, shape, NULL, NULL);
    o = gated_output_norm(tape, o, y[3], w[O_NORM], ACTIVATION_SILU, (float)layer->model->norm_eps);
    return linear(tape, o, w[O_PROJ]);
}

const Mixer delta_net_mixer = {
    .model_type = "delta_net",
    .architecture = "DeltaNetForCausalLM",
    .keys = delta_net_keys,
    .key_count = LENGTH(delta_net_keys),
    .config_size = sizeof(DeltaNetConfig),
    .takes_attention = true,
    .complete = delta_net_complete,
    .parameters = delta_net_parameters,
    .forward = delta_net_forward,
};
