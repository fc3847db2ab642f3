/* Gated DeltaNet (Yang, Kautz, Hatamizadeh 2024, arXiv 2412.06464), as in fla's GatedDeltaNet:
 *
 *   q, k, v = silu(conv(x Wq)), silu(conv(x Wk)), silu(conv(x Wv))         q and k L2-normalised per head;
 *                                                                          no conv without use_short_conv
 *   beta = sigmoid(x Wb)                                                   per head; times 2 if allow_neg_eigval
 *   g = -e^A_log softplus(x Wa + dt_bias)                                  log decay per head
 *   S <- e^g_t S_{t-1},  S_t = S + beta_t k_t (v_t - k_t S)^T              per head, S [K, V]
 *   o_t = K^(-1/2) q_t S_t
 *   y = (norm(o) * f(x Wg)) Wo                                             norm(o) Wo without use_gate; f is silu or
 *                                                                          sigmoid, by output_gate_activation
 *
 * The state of a value head is K x V numbers. With num_v_heads > num_heads, several value heads share q and k. */
#include <string.h>

#include "base/log.h"
#include "models/mixers/parts.h"

typedef struct GatedDeltaNetConfig {
    double expand_v;
    int64_t head_dim, num_heads, num_v_heads, conv_size;
    char *attn_mode, *output_gate_activation;
    bool use_gate, use_short_conv, allow_neg_eigval;
    int64_t head_v_dim;
} GatedDeltaNetConfig;

static const Key gated_deltanet_keys[] = {
    KEY(GatedDeltaNetConfig, head_dim, KEY_INTEGER, "256", 1, 1 << 20, NULL, "key width of a head"),
    KEY(GatedDeltaNetConfig, num_heads, KEY_INTEGER, "6", 1, 4096, NULL, "query and key heads"),
    KEY(GatedDeltaNetConfig, num_v_heads, KEY_INTEGER | KEY_NULLABLE, "null", 1, 4096, NULL,
        "value heads (null: num_heads)"),
    KEY(GatedDeltaNetConfig, expand_v, KEY_REAL, "2.0", 1e-6, 64, NULL, "value width of a head / head_dim"),
    KEY(GatedDeltaNetConfig, attn_mode, KEY_CHOICE | KEY_INERT, "chunk", 0, 0, "chunk|fused_recurrent",
        "fla's kernel choice; the result is the same"),
    KEY(GatedDeltaNetConfig, use_gate, KEY_BOOLEAN, "true", 0, 0, NULL, "gate the output"),
    KEY(GatedDeltaNetConfig, output_gate_activation, KEY_CHOICE, "swish", 0, 0, "swish|silu|sigmoid",
        "activation of the output gate; swish is silu"),
    KEY(GatedDeltaNetConfig, use_short_conv, KEY_BOOLEAN, "true", 0, 0, NULL, "short convolutions on q, k and v"),
    KEY(GatedDeltaNetConfig, conv_size, KEY_INTEGER, "4", 1, 64, NULL, "width of the short convolutions"),
    KEY(GatedDeltaNetConfig, allow_neg_eigval, KEY_BOOLEAN, "false", 0, 0, NULL, "beta in (0, 2) instead of (0, 1)"),
};

enum { Q_PROJ, K_PROJ, V_PROJ, G_PROJ, A_PROJ, B_PROJ, O_PROJ, O_NORM, A_LOG, DT_BIAS, Q_CONV, K_CONV, V_CONV };

static Status gated_deltanet_complete(void *config, const ModelConfig *model) {
    (void)model;
    GatedDeltaNetConfig *c = config;
    if (value_heads_complete(c->num_heads, &c->num_v_heads) != OK) return BAD_INPUT;
    return value_head_size(c->head_dim, c->expand_v, &c->head_v_dim);
}

static void gated_deltanet_parameters(Layer *layer) {
    const GatedDeltaNetConfig *c = layer->config;
    const int64_t h = layer->model->hidden_size;
    const int64_t key_size = c->num_heads * c->head_dim, value_size = c->num_v_heads * c->head_v_dim;
    layer_matrix(layer, Q_PROJ, "q_proj.weight", key_size, h);
    layer_matrix(layer, K_PROJ, "k_proj.weight", key_size, h);
    layer_matrix(layer, V_PROJ, "v_proj.weight", value_size, h);
    if (c->use_gate) layer_matrix(layer, G_PROJ, "g_proj.weight", value_size, h);
    layer_matrix(layer, A_PROJ, "a_proj.weight", c->num_v_heads, h);
    layer_matrix(layer, B_PROJ, "b_proj.weight", c->num_v_heads, h);
    layer_matrix(layer, O_PROJ, "o_proj.weight", h, value_size);
    layer_vector(layer, O_NORM, "o_norm.weight", c->head_v_dim, 1);
    layer_drawn_vector(layer, A_LOG, "A_log", c->num_v_heads, DECAY_INIT);
    layer_drawn_vector(layer, DT_BIAS, "dt_bias", c->num_v_heads, TIME_STEP_INIT);
    if (!c->use_short_conv) return;
    layer_convolution(layer, Q_CONV, "q_conv1d.weight", key_size, c->conv_size);
    layer_convolution(layer, K_CONV, "k_conv1d.weight", key_size, c->conv_size);
    layer_convolution(layer, V_CONV, "v_conv1d.weight", value_size, c->conv_size);
}

static Tensor *gated_deltanet_forward(const Layer *layer, Tape *tape, Tensor *x) {
    const GatedDeltaNetConfig *c = layer->config;
    Tensor *const *w = layer->weight;
    Tensor *y[4] = {NULL}, *gates[2];
    linear_group(tape, x, &w[Q_PROJ], c->use_gate ? 4 : 3, y);
    linear_group(tape, x, &w[A_PROJ], 2, gates);
    Tensor *q = l2_norm(tape, convolved_silu(tape, y[0], w[Q_CONV]), c->head_dim, L2_NORM_EPS);
    Tensor *k = l2_norm(tape, convolved_silu(tape, y[1], w[K_CONV]), c->head_dim, L2_NORM_EPS);
    Tensor *v = convolved_silu(tape, y[2], w[V_CONV]);
    Tensor *decay = softplus_decay(tape, gates[0], w[A_LOG], w[DT_BIAS], NULL);
    Tensor *beta = sigmoid_gate(tape, gates[1], c->allow_neg_eigval ? 2 : 1);
    const ChunkDeltaShape shape = {c->num_heads, c->num_v_heads, 1, false};
    Tensor *o = chunk_delta(tape, q, k, v, beta, decay, shape, NULL, NULL);
    const Activation gate = strcmp(c->output_gate_activation, "sigmoid") == 0 ? ACTIVATION_SIGMOID : ACTIVATION_SILU;
    o = gated_output_norm(tape, o, y[3], w[O_NORM], gate, (float)layer->model->norm_eps);
    return linear(tape, o, w[O_PROJ]);
}

const Mixer gated_deltanet_mixer = {
    .model_type = "gated_deltanet",
    .architecture = "GatedDeltaNetForCausalLM",
    .keys = gated_deltanet_keys,
    .key_count = LENGTH(gated_deltanet_keys),
    .model_defaults = "num_hidden_layers: 21",
    .config_size = sizeof(GatedDeltaNetConfig),
    .takes_attention = true,
    .complete = gated_deltanet_complete,
    .parameters = gated_deltanet_parameters,
    .forward = gated_deltanet_forward,
};
