/* Gated DeltaProduct (Siems et al. 2025, arXiv 2502.10297), as in fla's GatedDeltaProduct: several updates of the
 * delta rule per token, j = 1 .. num_householder.
 *
 *   q, k_j, v_j = silu(conv(x Wq)), silu(conv(x Wk_j)), silu(conv(x Wv_j))   q and k_j L2-normalised per head
 *   beta_j = sigmoid(x Wb_j)                                                 per head; times 2 if allow_neg_eigval
 *   g = -e^A_log softplus(x Wa + dt_bias)                                    log decay per head if use_forget_gate
 *   S <- e^g_t S_{t-1},  for each j: S <- S + beta_tj k_tj (v_tj - k_tj S)^T,  S_t = S          per head, S [K, V]
 *   o_t = K^(-1/2) q_t S_t
 *   y = (norm(o) * silu(x Wg)) Wo                                            norm(o) Wo without use_output_gate
 *
 * The state of a head is K x V numbers. */
#include "models/mixers/parts.h"

typedef struct GatedDeltaProductConfig {
    double expand_v;
    int64_t head_dim, num_heads, num_householder, conv_size;
    char *attn_mode;
    bool use_output_gate, use_short_conv, use_forget_gate, allow_neg_eigval;
    int64_t head_v_dim;
} GatedDeltaProductConfig;

static const Key gated_deltaproduct_keys[] = {
    KEY(GatedDeltaProductConfig, head_dim, KEY_INTEGER, "256", 1, 1 << 20, NULL, "key width of a head"),
    KEY(GatedDeltaProductConfig, num_heads, KEY_INTEGER, "6", 1, 4096, NULL, "heads"),
    KEY(GatedDeltaProductConfig, expand_v, KEY_REAL, "2.0", 1e-6, 64, NULL, "value width of a head / head_dim"),
    KEY(GatedDeltaProductConfig, num_householder, KEY_INTEGER, "1", 1, 64, NULL,
        "updates of the state per token, each with a key and a value of its own"),
    KEY(GatedDeltaProductConfig, attn_mode, KEY_CHOICE | KEY_INERT, "chunk", 0, 0, "chunk|fused_recurrent",
        "fla's kernel choice; the result is the same"),
    KEY(GatedDeltaProductConfig, use_output_gate, KEY_BOOLEAN, "true", 0, 0, NULL, "gate the output with silu(g)"),
    KEY(GatedDeltaProductConfig, use_short_conv, KEY_BOOLEAN, "true", 0, 0, NULL, "short convolutions on q, k and v"),
    KEY(GatedDeltaProductConfig, conv_size, KEY_INTEGER, "4", 1, 64, NULL, "width of the short convolutions"),
    KEY(GatedDeltaProductConfig, use_forget_gate, KEY_BOOLEAN, "false", 0, 0, NULL, "the state decays"),
    KEY(GatedDeltaProductConfig, allow_neg_eigval, KEY_BOOLEAN, "false", 0, 0, NULL,
        "beta in (0, 2) instead of (0, 1)"),
};

enum { Q_PROJ, K_PROJ, V_PROJ, G_PROJ, B_PROJ, A_PROJ, O_PROJ, O_NORM, A_LOG, DT_BIAS, Q_CONV, K_CONV, V_CONV };

static Status gated_deltaproduct_complete(void *config, const ModelConfig *model) {
    (void)model;
    GatedDeltaProductConfig *c = config;
    return value_head_size(c->head_dim, c->expand_v, &c->head_v_dim);
}

static void gated_deltaproduct_parameters(Layer *layer) {
    const GatedDeltaProductConfig *c = layer->config;
    const int64_t h = layer->model->hidden_size, steps = c->num_householder;
    const int64_t key_size = c->num_heads * c->head_dim, value_size = c->num_heads * c->head_v_dim;
    layer_matrix(layer, Q_PROJ, "q_proj.weight", key_size, h);
    layer_matrix(layer, K_PROJ, "k_proj.weight", steps * key_size, h);
    layer_matrix(layer, V_PROJ, "v_proj.weight", steps * value_size, h);
    if (c->use_output_gate) layer_matrix(layer, G_PROJ, "g_proj.weight", value_size, h);
    layer_matrix(layer, B_PROJ, "b_proj.weight", steps * c->num_heads, h);
    if (c->use_forget_gate) layer_matrix(layer, A_PROJ, "a_proj.weight", c->num_heads, h);
    layer_matrix(layer, O_PROJ, "o_proj.weight", h, value_size);
    layer_vector(layer, O_NORM, "o_norm.weight", c->head_v_dim, 1);
    if (c->use_forget_gate) {
        layer_drawn_vector(layer, A_LOG, "A_log", c->num_heads, DECAY_INIT);
        layer_drawn_vector(layer, DT_BIAS, "dt_bias", c->num_heads, TIME_STEP_INIT);
    }
    if (!c->use_short_conv) return;
    layer_convolution(layer, Q_CONV, "q_conv1d.weight", key_size, c->conv_size);
    layer_convolution(layer, K_CONV, "k_conv1d.weight", steps * key_size, c->conv_size);
    layer_convolution(layer, V_CONV, "v_conv1d.weight", steps * value_size, c->conv_size);
}

static Tensor *gated_deltaproduct_forward(const Layer *layer, Tape *tape, Tensor *x) {
    const GatedDeltaProductConfig *c = layer->config;
    Tensor *const *w = layer->weight;
    Tensor *y[4] = {NULL}, *gates[2];
    linear_group(tape, x, &w[Q_PROJ], c->use_output_gate ? 4 : 3, y);
    linear_group(tape, x, &w[B_PROJ], c->use_forget_gate ? 2 : 1, gates);
    Tensor *q = l2_norm(tape, convolved_silu(tape, y[0], w[Q_CONV]), c->head_dim, L2_NORM_EPS);
    Tensor *k = l2_norm(tape, convolved_silu(tape, y[1], w[K_CONV]), c->head_dim, L2_NORM_EPS);
    Tensor *v = convolved_silu(tape, y[2], w[V_CONV]);
    Tensor *beta = sigmoid_gate(tape, gates[0], c->allow_neg_eigval ? 2 : 1);
    Tensor *decay = c->use_forget_gate ? softplus_decay(tape, gates[1], w[A_LOG], w[DT_BIAS], NULL) : NULL;
    const ChunkDeltaShape shape = {c->num_heads, c->num_heads, c->num_householder, false};
    Tensor *o = chunk_delta(tape, q, k, v, beta, decay, shape, NULL, NULL);
    o = gated_output_norm(tape, o, y[3], w[O_NORM], ACTIVATION_SILU, (float)layer->model->norm_eps);
    return linear(tape, o, w[O_PROJ]);
}

const Mixer gated_deltaproduct_mixer = {
    .model_type = "gated_deltaproduct",
    .architecture = "GatedDeltaProductForCausalLM",
    .keys = gated_deltaproduct_keys,
    .key_count = LENGTH(gated_deltaproduct_keys),
    .model_defaults = "num_hidden_layers: 21",
    .config_size = sizeof(GatedDeltaProductConfig),
    .takes_attention = true,
    .complete = gated_deltaproduct_complete,
    .parameters = gated_deltaproduct_parameters,
    .forward = gated_deltaproduct_forward,
};
