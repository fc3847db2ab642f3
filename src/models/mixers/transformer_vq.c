/* Transformer-VQ's attention (Lingle 2023, arXiv 2309.16354), with the config keys of its authors' code. A token
 * attends to the tokens of a window one by one, and to earlier tokens through a codebook. The time is linear in the
 * length of the sequence.
 *
 *   q = norm(x Wq), k = K^(-1/4) norm(x Wk), v = silu(x Wv), g = silu(x Wg)      norm: per head, without a weight
 *   c = the code nearest to k; each code is the moving average of the keys nearest to it
 *   s_ij = K^(-1/4) (q_i + u) c_j + K^(-1/2) (q_i + b) r_{i-j}, r = sinusoids Wr; second term only if i - j <= mem_len;
 *       u and b (parameters `u` and `v`) are one number per key channel
 *   y = (softmax(s) v * g) Wo                                     codebook_attention defines the j of the softmax
 *   loss: + c_beta |k - c|^2, averaged over a sequence's tokens, summed over heads and layers
 *
 * The state is n_code x V + n_code numbers for each head, and the window. A layer is one such mixer without an MLP;
 * there are 2 * n_layer layers. */
#include <math.h>

#include "models/mixers/parts.h"

typedef struct TransformerVqConfig {
    int64_t n_layer, n_head, d_k, d_v, n_code, block_len, mem_len, agg_cache, grad_thru_cache, pe_abs, e_tie, e_preln;
    double pe_lam, c_beta, c_gamma, e_scale;
} TransformerVqConfig;

static const Key transformer_vq_keys[] = {
    KEY(TransformerVqConfig, n_layer, KEY_INTEGER | KEY_NULLABLE, "null", 1, 2048, NULL,
        "pairs of layers (null: num_hidden_layers / 2)"),
    KEY(TransformerVqConfig, n_head, KEY_INTEGER, "1", 1, 4096, NULL, "heads"),
    KEY(TransformerVqConfig, d_k, KEY_INTEGER, "128", 1, 256, NULL, "width of a head's keys"),
    KEY(TransformerVqConfig, d_v, KEY_INTEGER | KEY_NULLABLE, "null", 1, 1 << 20, NULL,
        "width of a head's values (null: 2 * hidden_size)"),
    KEY(TransformerVqConfig, n_code, KEY_INTEGER, "512", 1, 1 << 20, NULL, "codes of a head"),
    KEY(TransformerVqConfig, block_len, KEY_INTEGER, "512", 1, 1 << 20, NULL, "tokens of a block"),
    KEY(TransformerVqConfig, mem_len, KEY_INTEGER, "512", 0, 1 << 20, NULL,
        "tokens before a block to which it attends one by one, and the largest distance with a position"),
    KEY(TransformerVqConfig, agg_cache, KEY_INTEGER, "1", 1, 1, NULL, "attention to codes (only 1 is supported)"),
    KEY(TransformerVqConfig, grad_thru_cache, KEY_INTEGER, "1", 1, 1, NULL,
        "values get gradients from attention to codes (only 1 is supported)"),
    KEY(TransformerVqConfig, pe_abs, KEY_INTEGER, "0", 0, 1, NULL,
        "add positions to the embeddings (only 0 is supported)"),
    KEY(TransformerVqConfig, pe_lam, KEY_REAL, "100000.0", 1, 1e12, NULL, "largest wavelength of positions / 2 pi"),
    KEY(TransformerVqConfig, c_beta, KEY_REAL, "0.0001", 0, 1e6, NULL, "factor on the loss term |key - code|^2"),
    KEY(TransformerVqConfig, c_gamma, KEY_REAL, "0.99", 1e-6, 1, NULL,
        "decay of the moving averages that are the codes"),
    KEY(TransformerVqConfig, e_tie, KEY_INTEGER, "0", 0, 1, NULL, "must be 1 if tie_word_embeddings is true, else 0"),
    KEY(TransformerVqConfig, e_preln, KEY_INTEGER, "1", 1, 1, NULL, "a norm before the head (only 1 is supported)"),
    KEY(TransformerVqConfig, e_scale, KEY_REAL, "1.0", 1, 1, NULL, "factor on the logits (only 1 is supported)"),
};

static const KeyAlias transformer_vq_aliases[] = {{"hidden_size", "d_model"}};

enum { Q_PROJ, KVG_PROJ, R_PROJ, RES_PROJ, U, V, C_SUM, C_COUNT };

static Status transformer_vq_complete(void *config, const ModelConfig *model) {
    TransformerVqConfig *c = config;
    if (c->n_layer < 0 && model->num_hidden_layers % 2 != 0)
        return refused_value("num_hidden_layers", model->num_hidden_layers, "must be even, twice n_layer");
    if (c->n_layer < 0) c->n_layer = model->num_hidden_layers / 2;
    if (c->d_v < 0) c->d_v = 2 * model->hidden_size;
    if (model->hidden_size % 2 != 0) return refused_value("hidden_size (d_model)", model->hidden_size, "must be even");
    if (c->pe_abs) return refused("pe_abs", "1 is not supported");
    if (c->e_tie != model->tie_word_embeddings)
        return refused("e_tie", "must be 1 if tie_word_embeddings is true, else 0");
    return OK;
}

static int64_t layer_count(const void *config) { return 2 * ((const TransformerVqConfig *)config)->n_layer; }

static void add_dense(Layer *layer, int index, const char *name, int64_t rows, int64_t cols) {
    layer_drawn_matrix(layer, index, name, rows, cols, (Init){INIT_NORMAL, 0, 1 / sqrt((double)cols)});
}

static void transformer_vq_parameters(Layer *layer) {
    const TransformerVqConfig *c = layer->config;
    const int64_t h = layer->model->hidden_size, H = c->n_head, S = c->n_code, K = c->d_k;
    add_dense(layer, Q_PROJ, "q_proj.weight", H * K, h);
    add_dense(layer, KVG_PROJ, "kvg_proj.weight", H * (K + 2 * c->d_v), h);
    add_dense(layer, R_PROJ, "r_proj.weight", H * K, h);
    add_dense(layer, RES_PROJ, "res_proj.weight", h, H * c->d_v);
    layer_vector(layer, U, "u", H * K, 0);
    layer_vector(layer, V, "v", H * K, 0);
    const Init codes = {INIT_NORMAL, 0, 1 / sqrt((double)(H * S))}, one = {INIT_CONSTANT, 1, 0};
    layer_parameter(layer, C_SUM, "quantizer.c_sum", 3, (int64_t[]){H, S, K}, codes)->moving_average = c->c_gamma;
    layer_parameter(layer, C_COUNT, "quantizer.c_count", 2, (int64_t[]){H, S}, one)->moving_average = c->c_gamma;
}

static Tensor *transformer_vq_forward(const Layer *layer, Tape *tape, Tensor *x) {
    const TransformerVqConfig *c = layer->config;
    Tensor *const *w = layer->weight;
    const int64_t H = c->n_head, K = c->d_k, distances = (c->mem_len / 8 + 1) * 8;
    const float eps = (float)layer->model->norm_eps, factor = powf((float)K, -0.25f);
    Tensor *projected[2], *kvg[3], *index, *error, *codes;
    linear_group(tape, x, &w[Q_PROJ], 2, projected);
    split(tape, projected[1], (int64_t[]){H * K, H * c->d_v, H * c->d_v}, 3, kvg);
    Tensor *q = rms_norm_plain(tape, projected[0], K, eps);
    Tensor *k = scale(tape, rms_norm_plain(tape, kvg[0], K, eps), factor);
    Tensor *r = linear(tape, sinusoid_table(tape, distances, x->cols, (float)c->pe_lam), w[R_PROJ]);
    Tensor *positions = head_products(tape, bias(tape, q, w[V]), scale(tape, r, factor * factor), H);
    k = nearest_codes(tape, k, w[C_SUM], w[C_COUNT], H, &index, &error, &codes);
    add_loss(tape, error, (float)c->c_beta);
    const CodebookAttentionShape shape = {H, c->block_len, c->mem_len, factor};
    Tensor *o = codebook_attention(tape, bias(tape, q, w[U]), k, activation(tape, kvg[1], ACTIVATION_SILU), positions,
                                   index, codes, shape);
    return linear(tape, swiglu(tape, kvg[2], o), w[RES_PROJ]);
}

static Init embeddings_init(const ModelConfig *config) {
    (void)config;
    return (Init){INIT_NORMAL, 0, 1};
}
static Init head_init(const ModelConfig *config) {
    return (Init){INIT_NORMAL, 0, 1 / sqrt((double)config->hidden_size)};
}

static const ModelLayout transformer_vq_layout = {.model = "model",
                                                  .final_norm = "norm",
                                                  .mixer_norm = "attn_norm",
                                                  .mixer = "attn",
                                                  .norm_bias = true,
                                                  .head_bias = true,
                                                  .trains_padding = true,
                                                  .embeddings_init = embeddings_init,
                                                  .head_init = head_init};

const Mixer transformer_vq_mixer = {
    .model_type = "transformer_vq",
    .architecture = "TransformerVQForCausalLM",
    .keys = transformer_vq_keys,
    .key_count = LENGTH(transformer_vq_keys),
    .aliases = transformer_vq_aliases,
    .alias_count = LENGTH(transformer_vq_aliases),
    .config_size = sizeof(TransformerVqConfig),
    .model_defaults = "{num_hidden_layers: 48}",
    .layout = &transformer_vq_layout,
    .adds_loss = true,
    .complete = transformer_vq_complete,
    .layer_count = layer_count,
    .parameters = transformer_vq_parameters,
    .forward = transformer_vq_forward,
};
