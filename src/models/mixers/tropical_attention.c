/* Tropical attention (arXiv 2505.17190), which uses only sums and maxima. fla does not have it.
 *
 *   u = ln(1 + relu(x)) + shift                                       the paper subtracts lambda = -shift
 *   q_j = max_i(Wq_ij + u_i), k and v likewise                        per head; all heads share Wq, Wk and Wv
 *   s_ij = -(max_d(q_id - k_jd) - min_d(q_id - k_jd))                 Hilbert's projective metric
 *   c_i = max_j(s_ij + v_j),  j <= i                                  elementwise
 *   y = (e^c - 1) Wo
 *
 * The paper's attention is not causal; this one is. There are no positional embeddings. */
#include "models/mixers/parts.h"

typedef struct TropicalAttentionConfig {
    int64_t num_heads;
    bool tropical_norm;
    int64_t num_kv_heads, head_size;
} TropicalAttentionConfig;

static const Key tropical_attention_keys[] = {
    KEY(TropicalAttentionConfig, num_heads, KEY_INTEGER, "32", 1, 4096, NULL, "heads"),
    KEY(TropicalAttentionConfig, tropical_norm, KEY_BOOLEAN, "true", 0, 0, NULL,
        "add a learned vector to ln(1 + relu(x))"),
};

enum { Q_TROP, K_TROP, V_TROP, SHIFT, O_PROJ };

static Status tropical_attention_complete(void *config, const ModelConfig *model) {
    TropicalAttentionConfig *c = config;
    c->num_kv_heads = c->num_heads;
    return attention_heads(model, c->num_heads, &c->num_kv_heads, &c->head_size, 256, false);
}

static void tropical_attention_parameters(Layer *layer) {
    const TropicalAttentionConfig *c = layer->config;
    const int64_t h = layer->model->hidden_size, head = c->head_size;
    const Init normal = {INIT_NORMAL, 0, 1};
    layer_drawn_matrix(layer, Q_TROP, "q_trop.weight", head, head, normal);
    layer_drawn_matrix(layer, K_TROP, "k_trop.weight", head, head, normal);
    layer_drawn_matrix(layer, V_TROP, "v_trop.weight", head, head, normal);
    if (c->tropical_norm) layer_vector(layer, SHIFT, "shift", h, -1);
    layer_matrix(layer, O_PROJ, "o_proj.weight", h, h);
}

static Tensor *tropical_attention_forward(const Layer *layer, Tape *tape, Tensor *x) {
    const TropicalAttentionConfig *c = layer->config;
    Tensor *const *w = layer->weight;
    Tensor *u = activation(tape, x, ACTIVATION_LOG_1P_RELU);
    if (c->tropical_norm) u = bias(tape, u, w[SHIFT]);
    Tensor *q = max_plus_product(tape, u, w[Q_TROP]), *k = max_plus_product(tape, u, w[K_TROP]);
    Tensor *v = max_plus_product(tape, u, w[V_TROP]);
    Tensor *context = tropical_attention(tape, q, k, v, c->num_heads);
    return linear(tape, activation(tape, context, ACTIVATION_EXP_M1), w[O_PROJ]);
}

const Mixer tropical_attention_mixer = {
    .model_type = "tropical_attention",
    .architecture = "TropicalAttentionForCausalLM",
    .keys = tropical_attention_keys,
    .key_count = LENGTH(tropical_attention_keys),
    .config_size = sizeof(TropicalAttentionConfig),
    .takes_attention = true,
    .complete = tropical_attention_complete,
    .parameters = tropical_attention_parameters,
    .forward = tropical_attention_forward,
};
