/* RWKV-7, Goose (Peng et al. 2025, arXiv 2503.14456), as in fla's RWKV7Attention; x' is the row of x of the
 * token before:
 *
 *   x_i = x + (x' - x) mu_i                           for i = r, w, k, v, a, g
 *   r, k, v = x_r Wr, x_k Wk, x_v Wv
 *   w = -e^(-1/2) sigmoid(tanh(x_w W0) W1 + b)        log decay, one per key channel
 *   v = v + (v_first - v) sigmoid(x_v V0 V1 + b)      v_first is the v of layer 0, which leaves out this line
 *   a = sigmoid(x_a A0 A1 + b)
 *   n = k k_k / |k k_k| per head,  k = k (1 + (a - 1) k_a)
 *   S_t = diag(e^w_t) S_{t-1} - (n a)_t (n_t S_{t-1}) + k_t v_t^T      per head, S [K, K]
 *   o_t = r_t S_t
 *   y = ((norm(o) + s v) * g) Wo                      s: the sum of r r_k k over a head; norm: LayerNorm per head;
 *                                                     g = sigmoid(x_g G0) G1
 *
 * The state is head_dim x head_dim numbers for each head, and the last x. */
#include <math.h>

#include "models/mixers/rwkv.h"

typedef struct Rwkv7Config {
    int64_t head_dim, num_heads, decay_low_rank_dim, gate_low_rank_dim, a_low_rank_dim, v_low_rank_dim;
    IntegerList value_dim;
    char *attn_mode;
} Rwkv7Config;

static const Key rwkv7_config_keys[] = {
    /* At least 2 channels, because initial values rise from the first channel of a head to its last. */
    KEY(Rwkv7Config, head_dim, KEY_INTEGER | KEY_NULLABLE, "64", 2, 256, NULL, "width of a head"),
    KEY(Rwkv7Config, num_heads, KEY_INTEGER | KEY_NULLABLE, "null", 1, 4096, NULL,
        "heads (null: hidden_size / head_dim)"),
    KEY(Rwkv7Config, value_dim, KEY_INTEGER_LIST | KEY_NULLABLE | KEY_SCALAR, "null", 1, 1 << 20, NULL,
        "value width, one number or one per layer (only hidden_size)"),
    KEY(Rwkv7Config, decay_low_rank_dim, KEY_INTEGER, "64", 1, 1 << 16, NULL, "rank of the projection to the decay"),
    KEY(Rwkv7Config, gate_low_rank_dim, KEY_INTEGER, "128", 1, 1 << 16, NULL,
        "rank of the projection to the output gate"),
    KEY(Rwkv7Config, a_low_rank_dim, KEY_INTEGER, "64", 1, 1 << 16, NULL,
        "rank of the projection to the learning rate a"),
    KEY(Rwkv7Config, v_low_rank_dim, KEY_INTEGER, "16", 1, 1 << 16, NULL,
        "rank of the projection to the value residual"),
    KEY(Rwkv7Config, attn_mode, KEY_CHOICE | KEY_INERT, "chunk", 0, 0, "chunk|fused_recurrent",
        "fla's kernel choice; the result is the same"),
};

enum { MIXED_R, MIXED_W, MIXED_K, MIXED_V, MIXED_A, MIXED_G, MIXES };
enum {
    MU,
    K_K = MIXES,
    K_A,
    R_K,
    R_PROJ,
    K_PROJ,
    V_PROJ,
    O_PROJ,
    W_LORA,
    A_LORA = W_LORA + LORA_WEIGHTS,
    V_LORA = A_LORA + LORA_WEIGHTS,
    G_DOWN = V_LORA + LORA_WEIGHTS,
    G_UP,
    G_NORM,
    G_NORM_BIAS
};

static Status rwkv7_complete(void *config, const ModelConfig *model) {
    Rwkv7Config *c = config;
    if (c->head_dim < 0) {
        if (c->num_heads < 0) return refused("head_dim", "null needs num_heads");
        if (c->num_heads > model->hidden_size) return refused("num_heads", "is more than hidden_size");
        c->head_dim = model->hidden_size / c->num_heads;
    }
    if (model->hidden_size % c->head_dim != 0) return refused("head_dim", "does not divide hidden_size");
    if (c->num_heads >= 0 && c->num_heads * c->head_dim != model->hidden_size)
        return refused("num_heads", "is not hidden_size / head_dim");
    c->num_heads = model->hidden_size / c->head_dim;
    for (int64_t i = 0; i < c->value_dim.count; i++)
        if (c->value_dim.item[i] != model->hidden_size) return refused("value_dim", "only hidden_size is supported");
    if (c->value_dim.count > 1 && c->value_dim.count != model->num_hidden_layers)
        return refused("value_dim", "must be one number or as many as num_hidden_layers");
    return OK;
}

static double along(int64_t i, double h) { return (double)i / (h - 1) - 0.5; }
static double within_head(int64_t i, double head_dim) {
    const double middle = (head_dim - 1) / 2, z = (fmod((double)i, head_dim) - middle) / middle;
    return z * fabs(z);
}

/* argument: hidden_size, the value in the middle, and the difference between the last channel and the first */
static double sloping(int64_t i, const double argument[3]) { return argument[1] + argument[2] * along(i, argument[0]); }
/* argument: hidden_size, head_dim, and the position of the layer among all layers, from 0 to 1 */
static double decay_bias(int64_t i, const double argument[3]) {
    const double channel = (double)i / (argument[0] - 1);
    return -6 + 6 * pow(channel, 1 + pow(argument[2], 0.3)) + 0.5 + 2.5 * within_head(i, argument[1]);
}
/* argument: hidden_size, head_dim */
static double rate_bias(int64_t i, const double argument[3]) {
    return -0.19 + 0.3 * within_head(i, argument[1]) + 0.4 * along(i, argument[0]);
}

static const Init by_formula = {INIT_FORMULA, 0, 0};

static void mix_parameters(Layer *layer, double h) {
    static const char *const names[] = {"x_r", "x_w", "x_k", "x_v", "x_a", "x_g"};
    static const double steepness[] = {0.2, 0.9, 0.7, 0.7, 0.9, 0.2};
    const double left = 1 - (double)layer->index / (double)layer->model->num_hidden_layers;
    for (int i = 0; i < MIXES; i++)
        layer_parameter(layer, MU + i, names[i], 3, (int64_t[]){1, 1, (int64_t)h}, by_formula)->formula =
            (Formula){rwkv_rising, {h, steepness[i] * left}};
}

static void rwkv7_parameters(Layer *layer) {
    const Rwkv7Config *c = layer->config;
    const int64_t h = layer->model->hidden_size, layers = layer->model->num_hidden_layers;
    const double width = (double)h, head_dim = (double)c->head_dim;
    const double depth = layers > 1 ? (double)layer->index / (double)(layers - 1) : 0;
    const Init orthogonal = {INIT_ORTHOGONAL, 1, 0}, small = {INIT_ORTHOGONAL, 0.1, 0}, zero = {INIT_CONSTANT, 0, 0};
    mix_parameters(layer, width);
    layer_parameter(layer, K_K, "k_k", 1, &h, by_formula)->formula = (Formula){sloping, {width, 0.71, -0.1}};
    layer_vector(layer, K_A, "k_a", h, 1.02);
    layer_drawn_matrix(layer, R_K, "r_k", c->num_heads, c->head_dim, (Init){INIT_CONSTANT, -0.04, 0});
    layer_drawn_matrix(layer, R_PROJ, "r_proj.weight", h, h, orthogonal);
    layer_drawn_matrix(layer, K_PROJ, "k_proj.weight", h, h, small);
    layer_drawn_matrix(layer, V_PROJ, "v_proj.weight", h, h, orthogonal);
    layer_drawn_matrix(layer, O_PROJ, "o_proj.weight", h, h, zero);
    Parameter *decay = lora_parameters(layer, W_LORA, "w_lora", c->decay_low_rank_dim, h);
    decay->init = by_formula, decay->formula = (Formula){decay_bias, {width, head_dim, depth}};
    Parameter *rate = lora_parameters(layer, A_LORA, "a_lora", c->a_low_rank_dim, h);
    rate->init = by_formula, rate->formula = (Formula){rate_bias, {width, head_dim}};
    if (!layer->first) {
        Parameter *residual = lora_parameters(layer, V_LORA, "v_lora", c->v_low_rank_dim, h);
        residual->init = by_formula, residual->formula = (Formula){sloping, {width, 0.73, -0.4}};
    }
    layer_drawn_matrix(layer, G_DOWN, "g_lora.lora.0.weight", c->gate_low_rank_dim, h, zero);
    layer_drawn_matrix(layer, G_UP, "g_lora.lora.2.weight", h, c->gate_low_rank_dim,
                       lora_init(c->gate_low_rank_dim, h));
    layer_vector(layer, G_NORM, "g_norm.weight", h, pow((double)(layer->index + 1) / (double)layers, 0.7));
    layer_vector(layer, G_NORM_BIAS, "g_norm.bias", h, 0);
}

/* The values v of the layer. The first layer passes its values to all later layers, which mix them into theirs. */
static Tensor *values(const Layer *layer, Tape *tape, Tensor *x) {
    Tensor *const *w = layer->weight;
    Tensor *v = linear(tape, x, w[V_PROJ]);
    if (layer->first) {
        hand_on(tape, v);
        return v;
    }
    Tensor *gate = lora_up(tape, linear(tape, x, w[V_LORA + LORA_DOWN]), &w[V_LORA]);
    return lerp(tape, v, tape->handed_on, activation(tape, gate, ACTIVATION_SIGMOID));
}

static Tensor *rwkv7_forward(const Layer *layer, Tape *tape, Tensor *x) {
    const Rwkv7Config *c = layer->config;
    Tensor *const *w = layer->weight;
    Tensor *in[MIXES], *keys[3]; /* in the order of rwkv7_keys: k, -n and n a */
    token_mix(tape, x, &w[MU], NULL, MIXES, in);
    Tensor *r = linear(tape, in[MIXED_R], w[R_PROJ]), *k = linear(tape, in[MIXED_K], w[K_PROJ]);
    Tensor *v = values(layer, tape, in[MIXED_V]);
    Tensor *low = activation(tape, linear(tape, in[MIXED_W], w[W_LORA + LORA_DOWN]), ACTIVATION_TANH);
    Tensor *decay = sigmoid_gate(tape, lora_up(tape, low, &w[W_LORA]), -0.6065306597126334f);
    Tensor *rate = lora_up(tape, linear(tape, in[MIXED_A], w[A_LORA + LORA_DOWN]), &w[A_LORA]);
    Tensor *gate = activation(tape, linear(tape, in[MIXED_G], w[G_DOWN]), ACTIVATION_SIGMOID);
    /* Without fused norms, fla bounds |k| from below by 1e-12 instead of adding an eps. */
    const float key_eps = layer->model->fuse_norm ? L2_NORM_EPS : 1e-24f;
    rwkv7_keys(tape, k, activation(tape, rate, ACTIVATION_SIGMOID), w[K_K], w[K_A], c->head_dim, key_eps, keys);
    Tensor *o = chunk_dplr(tape, r, keys[0], v, keys[1], keys[2], decay, c->num_heads, 1, NULL, NULL);
    const float eps = (float)(layer->model->norm_eps * (double)c->head_dim);
    o = layer_norm(tape, o, NULL, w[G_NORM], w[G_NORM_BIAS], c->head_dim, eps, NULL);
    o = current_token(tape, o, r, keys[0], v, w[R_K], c->num_heads);
    return linear(tape, multiply(tape, o, linear(tape, gate, w[G_UP])), w[O_PROJ]);
}

static Init embeddings_init(const ModelConfig *config) {
    (void)config;
    return (Init){INIT_UNIFORM, -1e-4, 1e-4};
}
static Init head_init(const ModelConfig *c) {
    const double ratio = (double)c->vocab_size / (double)c->hidden_size;
    return (Init){INIT_ORTHOGONAL, ratio > 1 ? 0.5 * sqrt(ratio) : 0.5, 0};
}

static const ModelLayout rwkv7_layout = {.model = "model",
                                         .final_norm = "norm",
                                         .mixer_norm = "attn_norm",
                                         .mixer = "attn",
                                         .first_norm = "pre_norm",
                                         .mlp = &rwkv7_channel_mix,
                                         .layer_norm = true,
                                         .embeddings_init = embeddings_init,
                                         .head_init = head_init};

const Mixer rwkv7_mixer = {
    .model_type = "rwkv7",
    .architecture = "RWKV7ForCausalLM",
    .keys = rwkv7_config_keys,
    .key_count = LENGTH(rwkv7_config_keys),
    .config_size = sizeof(Rwkv7Config),
    .model_defaults = "{hidden_act: sqrelu, norm_eps: 1.0e-5, use_l2warp: true}",
    .layout = &rwkv7_layout,
    .hands_on = true,
    .takes_attention = true,
    .complete = rwkv7_complete,
    .parameters = rwkv7_parameters,
    .forward = rwkv7_forward,
};
