/* MesaNet (von Oswald et al. 2025, arXiv 2506.05233), as in fla's MesaNet:
 *
 *   q, k = silu(conv(x Wq)), silu(conv(x Wk)),  v = x Wv            q and k L2-normalised per head
 *   beta = sigmoid(x Wb + bias),  g = log sigmoid(x Wa + bias)      per head
 *   H_t = e^g_t H_{t-1} + beta_t k_t k_t^T                          per head, [K, K]
 *   S_t = e^g_t S_{t-1} + beta_t k_t v_t^T                          per head, [K, V]
 *   o_t = ((H_t + diag(l))^-1 q_t) S_t                              l = softplus(lambda) + lambda_lower_bound
 *   y = (norm(o) * silu(x Wg)) Wo                                   norm(o) Wo without use_output_gate
 *
 * The product with the inverse is computed by max_cg_step_training iterations of conjugate gradients. The state of a
 * head is K x 2K numbers. */
#include <math.h>

#include "models/mixers/parts.h"

typedef struct MesaNetConfig {
    double lambda_lower_bound;
    int64_t num_heads, head_dim, conv_size, max_cg_step_training, max_cg_step_decoding;
    char *attn_mode;
    bool use_output_gate, use_short_conv;
} MesaNetConfig;

static const Key mesa_net_keys[] = {
    KEY(MesaNetConfig, num_heads, KEY_INTEGER, "16", 1, 4096, NULL, "heads"),
    KEY(MesaNetConfig, head_dim, KEY_INTEGER, "128", 1, 128, NULL, "key and value width of a head"),
    KEY(MesaNetConfig, attn_mode, KEY_CHOICE | KEY_INERT, "chunk", 0, 0, "chunk", "fla's kernel choice"),
    KEY(MesaNetConfig, use_output_gate, KEY_BOOLEAN, "false", 0, 0, NULL, "gate the output"),
    KEY(MesaNetConfig, use_short_conv, KEY_BOOLEAN | KEY_INERT, "true", 0, 0, NULL,
        "without effect: fla's model always has the short convolutions"),
    KEY(MesaNetConfig, conv_size, KEY_INTEGER, "4", 1, 64, NULL, "width of the short convolutions on q and k"),
    KEY(MesaNetConfig, lambda_lower_bound, KEY_REAL, "0.25", 0, 0.9999, NULL,
        "lower bound of l, which is added to the diagonal of H"),
    KEY(MesaNetConfig, max_cg_step_training, KEY_INTEGER, "30", 1, 1000, NULL, "iterations of conjugate gradients"),
    KEY(MesaNetConfig, max_cg_step_decoding, KEY_INTEGER | KEY_INERT, "30", 1, 1000, NULL,
        "iterations in generation by fla; without effect here"),
};

enum { Q_PROJ, K_PROJ, V_PROJ, G_PROJ, A_PROJ, B_PROJ, O_PROJ };
enum { LAMBDA = O_PROJ + 1, A_BIAS, B_BIAS, O_NORM, Q_CONV, K_CONV };

static void mesa_net_parameters(Layer *layer) {
    const MesaNetConfig *c = layer->config;
    const int64_t h = layer->model->hidden_size, inner = c->num_heads * c->head_dim;
    layer_matrix(layer, Q_PROJ, "q_proj.weight", inner, h);
    layer_matrix(layer, K_PROJ, "k_proj.weight", inner, h);
    layer_matrix(layer, V_PROJ, "v_proj.weight", inner, h);
    if (c->use_output_gate) layer_matrix(layer, G_PROJ, "g_proj.weight", inner, h);
    layer_matrix(layer, A_PROJ, "a_proj.weight", c->num_heads, h);
    layer_matrix(layer, B_PROJ, "b_proj.weight", c->num_heads, h);
    layer_matrix(layer, O_PROJ, "o_proj.weight", h, inner);
    layer_vector(layer, A_BIAS, "a_proj.bias", c->num_heads, 0);
    layer_vector(layer, B_BIAS, "b_proj.bias", c->num_heads, 0);
    layer_vector(layer, LAMBDA, "lambda_params", inner, log(exp(1 - c->lambda_lower_bound) - 1)); /* l = 1 */
    layer_vector(layer, O_NORM, "o_norm.weight", c->head_dim, 1);
    layer_convolution(layer, Q_CONV, "q_conv1d.weight", inner, c->conv_size);
    layer_convolution(layer, K_CONV, "k_conv1d.weight", inner, c->conv_size);
}

static Tensor *mesa_net_forward(const Layer *layer, Tape *tape, Tensor *x) {
    const MesaNetConfig *c = layer->config;
    Tensor *const *w = layer->weight;
    Tensor *y[4] = {NULL}, *gates[2];
    linear_group(tape, x, &w[Q_PROJ], c->use_output_gate ? 4 : 3, y);
    linear_group(tape, x, &w[A_PROJ], 2, gates);
    Tensor *q = l2_norm(tape, convolved_silu(tape, y[0], w[Q_CONV]), c->head_dim, L2_NORM_EPS);
    Tensor *k = l2_norm(tape, convolved_silu(tape, y[1], w[K_CONV]), c->head_dim, L2_NORM_EPS);
    Tensor *decay = log_sigmoid_gate(tape, gates[0], w[A_BIAS], 1, -INFINITY);
    Tensor *log_beta = log_sigmoid_gate(tape, gates[1], w[B_BIAS], 1, -INFINITY);
    const MesaSolveShape solve = {c->num_heads, (int32_t)c->max_cg_step_training, (float)c->lambda_lower_bound};
    q = mesa_solve(tape, q, k, decay, log_beta, w[LAMBDA], solve, NULL, NULL);
    const ChunkSimpleGlaGates gates_of = {.log_decay = decay, .log_scale = log_beta};
    const ChunkSimpleGlaShape shape = {
        .heads = c->num_heads, .key_size = c->head_dim, .value_size = c->head_dim, .scale = 1};
    Tensor *o = chunk_simple_gla(tape, q, k, y[2], gates_of, shape, NULL, NULL);
    o = gated_output_norm(tape, o, y[3], w[O_NORM], ACTIVATION_SILU, (float)layer->model->norm_eps);
    return linear(tape, o, w[O_PROJ]);
}

const Mixer mesa_net_mixer = {
    .model_type = "mesa_net",
    .architecture = "MesaNetForCausalLM",
    .keys = mesa_net_keys,
    .key_count = LENGTH(mesa_net_keys),
    .config_size = sizeof(MesaNetConfig),
    .takes_attention = true,
    .parameters = mesa_net_parameters,
    .forward = mesa_net_forward,
};
