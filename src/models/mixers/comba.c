/* Comba (Hu et al. 2025, arXiv 2506.02475), as in fla's Comba:
 *
 *   q, k, v = silu(conv(x Wq)), silu(conv(x Wk)), silu(conv(x Wv))         no conv without use_short_conv
 *   p = sigmoid(decay) k,  q <- q - D p                                    decay and D per head
 *   beta = sigmoid(x Wb)                                                   per head
 *   g = -e^A_log softplus(x Wa + dt_bias)                                  log decay per head
 *   S_t = e^g_t S_{t-1} + beta_t k_t (v_t - p_t S_{t-1})^T                 q, k and p L2-normalised; S [K, V]
 *   o_t = K^(-1/2) q_t S_t
 *   y = (norm(o) * sigmoid(x Wg)) Wo                                       norm(o) Wo without use_output_gate
 *
 * Once normalised, p and k differ only through the eps of the norm, by at most 1e-6 / |k|^2, so k is used for both. The
 * state of a head is K x V numbers. */
#include "base/log.h"
#include "models/mixers/parts.h"

typedef struct CombaConfig {
    double expand_v, correction_factor;
    int64_t head_dim, num_heads, num_v_heads, conv_size;
    char *attn_mode;
    bool use_output_gate, use_short_conv, use_output_correction, use_inner_decay;
    int64_t head_v_dim;
} CombaConfig;

#define IGNORED ", because fla's model does not read it"
static const Key comba_keys[] = {
    KEY(CombaConfig, head_dim, KEY_INTEGER, "256", 1, 1 << 20, NULL, "key width of a head"),
    KEY(CombaConfig, num_heads, KEY_INTEGER, "6", 1, 4096, NULL, "heads"),
    KEY(CombaConfig, num_v_heads, KEY_INTEGER | KEY_NULLABLE, "null", 1, 4096, NULL, "must be null or num_heads"),
    KEY(CombaConfig, expand_v, KEY_REAL, "2.0", 1e-6, 64, NULL, "value width of a head / head_dim"),
    KEY(CombaConfig, attn_mode, KEY_CHOICE | KEY_INERT, "chunk", 0, 0, "chunk|fused_recurrent",
        "fla's kernel choice; the result is the same"),
    KEY(CombaConfig, use_output_gate, KEY_BOOLEAN, "true", 0, 0, NULL, "gate the output"),
    KEY(CombaConfig, use_short_conv, KEY_BOOLEAN, "true", 0, 0, NULL, "short convolutions on q, k and v"),
    KEY(CombaConfig, conv_size, KEY_INTEGER, "4", 1, 64, NULL, "width of the short convolutions"),
    KEY(CombaConfig, use_output_correction, KEY_BOOLEAN, "true", 0, 0, NULL, "must be true" IGNORED),
    KEY(CombaConfig, use_inner_decay, KEY_BOOLEAN, "true", 0, 0, NULL, "must be true" IGNORED),
    KEY(CombaConfig, correction_factor, KEY_REAL, "1.0", -1e6, 1e6, NULL, "initial value of D; must be 1" IGNORED),
};

enum { Q_PROJ, K_PROJ, V_PROJ, G_PROJ, A_PROJ, B_PROJ, O_PROJ, O_NORM };
enum { A_LOG = O_NORM + 1, DT_BIAS, DECAY, SKIP, Q_CONV, K_CONV, V_CONV };

static Status comba_complete(void *config, const ModelConfig *model) {
    (void)model;
    CombaConfig *c = config;
    if (c->num_v_heads >= 0 && c->num_v_heads != c->num_heads) {
        log_error("model: num_v_heads %lld is not num_heads %lld: fla's Comba does not support that either",
                  (long long)c->num_v_heads, (long long)c->num_heads);
        return BAD_INPUT;
    }
    if (!c->use_output_correction || !c->use_inner_decay || c->correction_factor != 1) {
        log_error(
            "model: use_output_correction and use_inner_decay must be true, and correction_factor must be 1: fla's "
            "Comba ignores other values of these keys");
        return BAD_INPUT;
    }
    return value_head_size(c->head_dim, c->expand_v, &c->head_v_dim);
}

static void comba_parameters(Layer *layer) {
    const CombaConfig *c = layer->config;
    const int64_t h = layer->model->hidden_size, heads = c->num_heads;
    const int64_t key_size = heads * c->head_dim, value_size = heads * c->head_v_dim;
    layer_matrix(layer, Q_PROJ, "q_proj.weight", key_size, h);
    layer_matrix(layer, K_PROJ, "k_proj.weight", key_size, h);
    layer_matrix(layer, V_PROJ, "v_proj.weight", value_size, h);
    if (c->use_output_gate) layer_matrix(layer, G_PROJ, "g_proj.weight", value_size, h);
    layer_matrix(layer, A_PROJ, "a_proj.weight", heads, h);
    layer_matrix(layer, B_PROJ, "b_proj.weight", heads, h);
    layer_matrix(layer, O_PROJ, "o_proj.weight", h, value_size);
    layer_vector(layer, O_NORM, "o_norm.weight", c->head_v_dim, 1);
    layer_drawn_vector(layer, A_LOG, "A_log", heads, DECAY_INIT);
    layer_drawn_vector(layer, DT_BIAS, "dt_bias", heads, TIME_STEP_INIT);
    layer_vector(layer, DECAY, "decay", heads, 1);
    layer_vector(layer, SKIP, "D", heads, 1);
    if (!c->use_short_conv) return;
    layer_convolution(layer, Q_CONV, "q_conv1d.weight", key_size, c->conv_size);
    layer_convolution(layer, K_CONV, "k_conv1d.weight", key_size, c->conv_size);
    layer_convolution(layer, V_CONV, "v_conv1d.weight", value_size, c->conv_size);
}

static Tensor *comba_forward(const Layer *layer, Tape *tape, Tensor *x) {
    const CombaConfig *c = layer->config;
    Tensor *const *w = layer->weight;
    Tensor *y[4] = {NULL}, *gates[2];
    linear_group(tape, x, &w[Q_PROJ], c->use_output_gate ? 4 : 3, y);
    linear_group(tape, x, &w[A_PROJ], 2, gates);
    Tensor *q = convolved_silu(tape, y[0], w[Q_CONV]), *k = convolved_silu(tape, y[1], w[K_CONV]);
    Tensor *v = convolved_silu(tape, y[2], w[V_CONV]);
    q = l2_norm(tape, output_correction(tape, q, k, w[SKIP], w[DECAY]), c->head_dim, L2_NORM_EPS);
    k = l2_norm(tape, k, c->head_dim, L2_NORM_EPS);
    Tensor *decay = softplus_decay(tape, gates[0], w[A_LOG], w[DT_BIAS], NULL);
    Tensor *beta = sigmoid_gate(tape, gates[1], 1);
    const ChunkDeltaShape shape = {c->num_heads, c->num_heads, 1, true};
    Tensor *o = chunk_delta(tape, q, k, v, beta, decay, shape, NULL, NULL);
    o = gated_output_norm(tape, o, y[3], w[O_NORM], ACTIVATION_SIGMOID, (float)layer->model->norm_eps);
    return linear(tape, o, w[O_PROJ]);
}

const Mixer comba_mixer = {
    .model_type = "comba",
    .architecture = "CombaForCausalLM",
    .keys = comba_keys,
    .key_count = LENGTH(comba_keys),
    .model_defaults = "num_hidden_layers: 21",
    .config_size = sizeof(CombaConfig),
    .takes_attention = true,
    .complete = comba_complete,
    .parameters = comba_parameters,
    .forward = comba_forward,
};
