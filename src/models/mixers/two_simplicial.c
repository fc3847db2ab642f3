/* 2-simplicial attention (Roy et al. 2025, arXiv 2507.02754): attention to pairs of tokens. fla does not have it.
 *
 *   q, k1, v1, k2, v2 = x Wq, x Wk1, x Wv1, x Wk2, x Wv2              (no rotations: they would change the scores)
 *   o_i = sum over j, k of softmax_jk(sum_d q_id k1_jd k2_kd / sqrt(D)) v1_j * v2_k,
 *         0 <= i - j < window1, 0 <= i - k < window2                  (* elementwise; k2 and v2 may have a bias)
 *   y = o Wo
 *
 * In the paper, every fourth layer is of this kind; the others are ordinary attention (the key `attn`). */
#include "models/mixers/parts.h"

typedef struct TwoSimplicialConfig {
    int64_t num_heads, num_kv_heads, window1, window2;
    double k2_bias, v2_bias;
    int64_t head_size;
} TwoSimplicialConfig;

static const Key two_simplicial_keys[] = {
    KEY(TwoSimplicialConfig, num_heads, KEY_INTEGER, "32", 1, 4096, NULL, "query heads"),
    KEY(TwoSimplicialConfig, num_kv_heads, KEY_INTEGER | KEY_NULLABLE, "null", 1, 4096, NULL,
        "key and value heads (null: num_heads)"),
    KEY(TwoSimplicialConfig, window1, KEY_INTEGER, "512", 1, 1e9, NULL,
        "tokens of the window of k1 and v1, the query's own included"),
    KEY(TwoSimplicialConfig, window2, KEY_INTEGER, "32", 1, 1e9, NULL,
        "tokens of the window of k2 and v2, the query's own included"),
    KEY(TwoSimplicialConfig, k2_bias, KEY_REAL, "0.0", -1e6, 1e6, NULL, "added to every entry of k2"),
    KEY(TwoSimplicialConfig, v2_bias, KEY_REAL, "0.0", -1e6, 1e6, NULL, "added to every entry of v2"),
};

enum { Q_PROJ, K1_PROJ, V1_PROJ, K2_PROJ, V2_PROJ, O_PROJ };

static Status two_simplicial_complete(void *config, const ModelConfig *model) {
    TwoSimplicialConfig *c = config;
    return attention_heads(model, c->num_heads, &c->num_kv_heads, &c->head_size, 128, false);
}

static void two_simplicial_parameters(Layer *layer) {
    const TwoSimplicialConfig *c = layer->config;
    const int64_t h = layer->model->hidden_size, kv_size = c->num_kv_heads * c->head_size;
    layer_matrix(layer, Q_PROJ, "q_proj.weight", h, h);
    layer_matrix(layer, K1_PROJ, "k1_proj.weight", kv_size, h);
    layer_matrix(layer, V1_PROJ, "v1_proj.weight", kv_size, h);
    layer_matrix(layer, K2_PROJ, "k2_proj.weight", kv_size, h);
    layer_matrix(layer, V2_PROJ, "v2_proj.weight", kv_size, h);
    layer_matrix(layer, O_PROJ, "o_proj.weight", h, h);
}

static Tensor *two_simplicial_forward(const Layer *layer, Tape *tape, Tensor *x) {
    const TwoSimplicialConfig *c = layer->config;
    Tensor *const *w = layer->weight;
    Tensor *y[5];
    linear_group(tape, x, &w[Q_PROJ], 5, y);
    const SimplicialShape shape = {c->num_heads, c->num_kv_heads,   c->window1,
                                   c->window2,   (float)c->k2_bias, (float)c->v2_bias};
    const SimplicialInputs in = {y[Q_PROJ], y[K1_PROJ], y[V1_PROJ], y[K2_PROJ], y[V2_PROJ]};
    return linear(tape, simplicial_attention(tape, in, shape), w[O_PROJ]);
}

const Mixer two_simplicial_mixer = {
    .model_type = "two_simplicial",
    .architecture = "TwoSimplicialForCausalLM",
    .keys = two_simplicial_keys,
    .key_count = LENGTH(two_simplicial_keys),
    .config_size = sizeof(TwoSimplicialConfig),
    .takes_attention = true,
    .complete = two_simplicial_complete,
    .parameters = two_simplicial_parameters,
    .forward = two_simplicial_forward,
};
