/* Kimi Delta Attention (Kimi Team 2025, arXiv 2510.26692), as in fla's KimiDeltaAttention:
 *
 *   q, k, v = silu(conv(x Wq)), silu(conv(x Wk)), silu(conv(x Wv))         q and k L2-normalised per head
 *   beta = sigmoid(x Wb)                                                   per value head; times 2 if allow_neg_eigval
 *   g = -e^A_log softplus(x Wf0 Wf1 + dt_bias)                             log decay per value head and key channel;
 *                                                                          lower_bound sigmoid(e^A_log (...)) if given
 *   S <- diag(e^g_t) S_{t-1},  S_t = S + beta_t k_t (v_t - k_t S)^T        per value head, S [K, V]
 *   o_t = K^(-1/2) q_t S_t
 *   y = (norm(o) * sigmoid(x Wg0 Wg1 + b)) Wo
 *
 * The state of a value head is K x V numbers. With num_v_heads > num_heads, several value heads share q and k. */
#include <math.h>

#include "base/log.h"
#include "models/mixers/parts.h"

typedef struct KdaConfig {
    double expand_v, lower_bound; /* lower_bound NaN: there is none */
    int64_t head_dim, num_heads, num_v_heads, conv_size;
    char *attn_mode;
    bool use_short_conv, allow_neg_eigval, safe_gate;
    int64_t head_v_dim;
} KdaConfig;

static const Key kda_keys[] = {
    KEY(KdaConfig, head_dim, KEY_INTEGER, "128", 1, 256, NULL, "key width of a head"),
    KEY(KdaConfig, num_heads, KEY_INTEGER, "16", 1, 4096, NULL, "query and key heads"),
    KEY(KdaConfig, num_v_heads, KEY_INTEGER | KEY_NULLABLE, "null", 1, 4096, NULL, "value heads (null: num_heads)"),
    KEY(KdaConfig, expand_v, KEY_REAL, "1.0", 1e-6, 64, NULL, "value width of a head / head_dim"),
    KEY(KdaConfig, attn_mode, KEY_CHOICE | KEY_INERT, "chunk", 0, 0, "chunk|fused_recurrent",
        "fla's kernel choice; the result is the same"),
    KEY(KdaConfig, use_short_conv, KEY_BOOLEAN, "true", 0, 0, NULL, "short convolutions on q, k and v"),
    KEY(KdaConfig, conv_size, KEY_INTEGER, "4", 1, 64, NULL, "width of the short convolutions"),
    KEY(KdaConfig, allow_neg_eigval, KEY_BOOLEAN, "false", 0, 0, NULL, "beta in (0, 2) instead of (0, 1)"),
    KEY(KdaConfig, lower_bound, KEY_REAL | KEY_NULLABLE, "null", -1e9, -1e-9, NULL,
        "least log decay; a sigmoid then replaces softplus (null: no bound)"),
    KEY(KdaConfig, safe_gate, KEY_BOOLEAN, "false", 0, 0, NULL, "the initial A_log is 0; needs lower_bound"),
};

enum { Q_PROJ, K_PROJ, V_PROJ, F_PROJ_0, G_PROJ_0, B_PROJ, OF_X, F_PROJ_1 = OF_X, G_PROJ_1, G_BIAS, O_PROJ };
enum { O_NORM = O_PROJ + 1, A_LOG, DT_BIAS, Q_CONV, K_CONV, V_CONV };

static Status kda_complete(void *config, const ModelConfig *model) {
    (void)model;
    KdaConfig *c = config;
    if (value_heads_complete(c->num_heads, &c->num_v_heads) != OK) return BAD_INPUT;
    if (c->safe_gate && isnan(c->lower_bound)) {
        log_error("model: safe_gate needs lower_bound, which is usually -5");
        return BAD_INPUT;
    }
    return value_head_size(c->head_dim, c->expand_v, &c->head_v_dim);
}

static void kda_parameters(Layer *layer) {
    const KdaConfig *c = layer->config;
    const int64_t h = layer->model->hidden_size, rank = c->head_v_dim;
    const int64_t key_size = c->num_heads * c->head_dim, value_size = c->num_v_heads * c->head_v_dim;
    const int64_t gate_size = c->num_v_heads * c->head_dim;
    layer_matrix(layer, Q_PROJ, "q_proj.weight", key_size, h);
    layer_matrix(layer, K_PROJ, "k_proj.weight", key_size, h);
    layer_matrix(layer, V_PROJ, "v_proj.weight", value_size, h);
    layer_matrix(layer, F_PROJ_0, "f_proj.0.weight", rank, h);
    layer_matrix(layer, G_PROJ_0, "g_proj.0.weight", rank, h);
    layer_matrix(layer, B_PROJ, "b_proj.weight", c->num_v_heads, h);
    layer_matrix(layer, F_PROJ_1, "f_proj.1.weight", gate_size, rank);
    layer_matrix(layer, G_PROJ_1, "g_proj.1.weight", value_size, rank);
    layer_vector(layer, G_BIAS, "g_proj.1.bias", value_size, 0);
    layer_matrix(layer, O_PROJ, "o_proj.weight", h, value_size);
    layer_vector(layer, O_NORM, "o_norm.weight", c->head_v_dim, 1);
    const Init rates = c->safe_gate ? (Init){INIT_CONSTANT, 0, 0} : (Init){INIT_LOG_UNIFORM, 1, 16};
    layer_drawn_vector(layer, A_LOG, "A_log", c->num_v_heads, rates);
    layer_drawn_vector(layer, DT_BIAS, "dt_bias", gate_size, TIME_STEP_INIT);
    if (!c->use_short_conv) return;
    layer_convolution(layer, Q_CONV, "q_conv1d.weight", key_size, c->conv_size);
    layer_convolution(layer, K_CONV, "k_conv1d.weight", key_size, c->conv_size);
    layer_convolution(layer, V_CONV, "v_conv1d.weight", value_size, c->conv_size);
}

static Tensor *kda_forward(const Layer *layer, Tape *tape, Tensor *x) {
    const KdaConfig *c = layer->config;
    Tensor *const *w = layer->weight;
    const int64_t group = c->num_v_heads / c->num_heads;
    Tensor *y[OF_X];
    linear_group(tape, x, &w[Q_PROJ], OF_X, y);
    Tensor *q = l2_norm(tape, convolved_silu(tape, y[Q_PROJ], w[Q_CONV]), c->head_dim, L2_NORM_EPS);
    Tensor *k = l2_norm(tape, convolved_silu(tape, y[K_PROJ], w[K_CONV]), c->head_dim, L2_NORM_EPS);
    Tensor *v = convolved_silu(tape, y[V_PROJ], w[V_CONV]);
    Tensor *f = linear(tape, y[F_PROJ_0], w[F_PROJ_1]);
    Tensor *decay = channel_decay(tape, f, w[A_LOG], w[DT_BIAS], isnan(c->lower_bound) ? 0 : (float)c->lower_bound);
    Tensor *beta = sigmoid_gate(tape, y[B_PROJ], c->allow_neg_eigval ? 2 : 1);
    q = repeat_heads(tape, q, c->num_heads, group);
    k = repeat_heads(tape, k, c->num_heads, group);
    Tensor *o = chunk_kda(tape, q, k, v, beta, decay, c->num_v_heads, NULL, NULL);
    Tensor *gate = bias(tape, linear(tape, y[G_PROJ_0], w[G_PROJ_1]), w[G_BIAS]);
    o = gated_rms_norm(tape, o, gate, w[O_NORM], ACTIVATION_SIGMOID, (float)layer->model->norm_eps);
    return linear(tape, o, w[O_PROJ]);
}

const Mixer kda_mixer = {
    .model_type = "kda",
    .architecture = "KDAForCausalLM",
    .keys = kda_keys,
    .key_count = LENGTH(kda_keys),
    .config_size = sizeof(KdaConfig),
    .takes_attention = true,
    .complete = kda_complete,
    .parameters = kda_parameters,
    .forward = kda_forward,
};
