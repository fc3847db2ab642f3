/* PaTH attention (Yang et al. 2025, arXiv 2505.16381), as in fla's PaTHAttention. The position of a key
 * relative to a query is the product of the matrices H_t = I - beta_t w_t w_t^T of the tokens between them:
 *
 *   q, k, v = x Wq, x Wk, x Wv
 *   w = silu(conv(x W0 W1))                                   L2-normalised per head; no silu and conv without
 *                                                             use_w_shortconv; x W without use_low_rank_w
 *   beta = 2 sigmoid(x Wb + b)                                per key-value head
 *   g = log sigmoid(x Wg + b)                                 per head, with use_forget_gate
 *   o_i = sum_j softmax_j((q_i H_i .. H_{j+1} k_j + g_{j+1} + .. + g_i) / sqrt(D)) v_j
 *   y = o Wo */
#include <math.h>

#include "models/mixers/parts.h"

typedef struct PathAttnConfig {
    int64_t num_heads, num_kv_heads;
    bool use_forget_gate, use_w_shortconv, use_low_rank_w;
    int64_t head_size;
} PathAttnConfig;

static const Key path_attn_keys[] = {
    KEY(PathAttnConfig, num_heads, KEY_INTEGER, "32", 1, 4096, NULL, "query heads"),
    KEY(PathAttnConfig, num_kv_heads, KEY_INTEGER | KEY_NULLABLE, "null", 1, 4096, NULL,
        "key and value heads (null: num_heads)"),
    KEY(PathAttnConfig, use_forget_gate, KEY_BOOLEAN, "false", 0, 0, NULL, "forget gates in addition to the positions"),
    KEY(PathAttnConfig, use_w_shortconv, KEY_BOOLEAN, "true", 0, 0, NULL, "short convolution and silu on w"),
    KEY(PathAttnConfig, use_low_rank_w, KEY_BOOLEAN, "true", 0, 0, NULL, "w is a projection of rank 32"),
};

enum { Q_PROJ, K_PROJ, V_PROJ, W_PROJ, BT_PROJ, G_PROJ, O_PROJ, W_PROJ_UP, BT_BIAS, G_BIAS, W_CONV };

/* fla fixes them; there are no config keys. */
enum { W_RANK = 32, W_CONV_SIZE = 3 };

static Status path_attn_complete(void *config, const ModelConfig *model) {
    PathAttnConfig *c = config;
    return attention_heads(model, c->num_heads, &c->num_kv_heads, &c->head_size, 128, false);
}

static void path_attn_parameters(Layer *layer) {
    const PathAttnConfig *c = layer->config;
    const int64_t h = layer->model->hidden_size, kv_size = c->num_kv_heads * c->head_size;
    layer_matrix(layer, Q_PROJ, "q_proj.weight", h, h);
    layer_matrix(layer, K_PROJ, "k_proj.weight", kv_size, h);
    layer_matrix(layer, V_PROJ, "v_proj.weight", kv_size, h);
    if (c->use_low_rank_w)
        layer_matrix(layer, W_PROJ, "w_proj.0.weight", W_RANK, h);
    else
        layer_matrix(layer, W_PROJ, "w_proj.weight", kv_size, h);
    layer_matrix(layer, BT_PROJ, "bt_proj.weight", c->num_kv_heads, h);
    if (c->use_forget_gate) layer_matrix(layer, G_PROJ, "g_proj.weight", c->num_heads, h);
    layer_matrix(layer, O_PROJ, "o_proj.weight", h, h);
    if (c->use_low_rank_w) layer_matrix(layer, W_PROJ_UP, "w_proj.1.weight", kv_size, W_RANK);
    layer_vector(layer, BT_BIAS, "bt_proj.bias", c->num_kv_heads, 0);
    if (c->use_forget_gate) layer_vector(layer, G_BIAS, "g_proj.bias", c->num_heads, 0);
    if (c->use_w_shortconv) layer_convolution(layer, W_CONV, "w_conv1d.weight", kv_size, W_CONV_SIZE);
}

static Tensor *path_attn_forward(const Layer *layer, Tape *tape, Tensor *x) {
    const PathAttnConfig *c = layer->config;
    Tensor *const *weight = layer->weight;
    Tensor *y[6] = {NULL}, *forget = NULL;
    linear_group(tape, x, &weight[Q_PROJ], c->use_forget_gate ? 6 : 5, y);
    Tensor *w = c->use_low_rank_w ? linear(tape, y[W_PROJ], weight[W_PROJ_UP]) : y[W_PROJ];
    if (c->use_w_shortconv) w = short_convolution(tape, w, weight[W_CONV], NULL, true);
    w = l2_norm(tape, w, c->head_size, L2_NORM_EPS);
    Tensor *beta = sigmoid_gate(tape, bias(tape, y[BT_PROJ], weight[BT_BIAS]), 2);
    if (c->use_forget_gate) forget = log_sigmoid_gate(tape, y[G_PROJ], weight[G_BIAS], 1, -INFINITY);
    const AttentionShape shape = {c->num_heads, c->num_kv_heads, 0};
    Tensor *o = path_attention(tape, y[Q_PROJ], y[K_PROJ], y[V_PROJ], w, beta, forget, shape);
    return linear(tape, o, weight[O_PROJ]);
}

const Mixer path_attn_mixer = {
    .model_type = "path_attn",
    .architecture = "PaTHAttentionForCausalLM",
    .keys = path_attn_keys,
    .key_count = LENGTH(path_attn_keys),
    .config_size = sizeof(PathAttnConfig),
    .complete = path_attn_complete,
    .parameters = path_attn_parameters,
    .forward = path_attn_forward,
};
