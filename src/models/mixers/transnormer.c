/* TransNormerLLM (Qin et al. 2023, arXiv 2307.14995), as in OpenNLPLab's TransnormerForCausalLM:
 *
 *   q, k, v, u = x Wqkvu,  q, k = f(q), f(k)          per head; in some layers with LRPE, see below
 *   S_t = e^(-s_n (1 - l/(L-1) + 1e-5)) S_{t-1} + k_t v_t^T          head n, layer l of L, S [K, V]
 *   o_t = q_t S_t
 *   y = (norm(o) * u) Wo                              norm over all heads together
 *
 * Norms have no weights, embeddings are multiplied by the square root of their width, and the MLP is ((x W1) * (x W2))
 * W3. With LRPE (learned positions, linear_use_lrpe_list), q and k become [x cos(t theta), x sin(t theta)] with learned
 * theta, so K = 2V, else K = V. The state of a head is K x V numbers. */
#include <math.h>
#include <stdlib.h>

#include "models/mixers/parts.h"

enum { LARGEST_KEY = 256, MOST_HEADS = 64, MOST_LAYERS = 256 };

typedef struct TransnormerConfig {
    int64_t decoder_attention_heads, hidden_dim;
    char *norm_type, *linear_act_fun;
    IntegerList linear_use_lrpe_list;
    bool no_scale_embedding, add_bos_token, bias;
    float log_decay[MOST_LAYERS][MOST_HEADS];
} TransnormerConfig;

static const Key transnormer_keys[] = {
    KEY(TransnormerConfig, decoder_attention_heads, KEY_INTEGER, "8", 1, MOST_HEADS, NULL, "heads"),
    KEY(TransnormerConfig, hidden_dim, KEY_INTEGER | KEY_NULLABLE, "null", 1, 1 << 20, NULL,
        "width of all heads together (null: decoder_embed_dim)"),
    KEY(TransnormerConfig, linear_act_fun, KEY_CHOICE, "silu", 0, 0, FEATURE_MAPS, "function applied to q and k"),
    KEY(TransnormerConfig, linear_use_lrpe_list, KEY_INTEGER_LIST, "[]", 0, 1, NULL,
        "for each layer, 1 if it has learned positions (LRPE), else 0 ([]: only the first has)"),
    KEY(TransnormerConfig, no_scale_embedding, KEY_BOOLEAN, "false", 0, 0, NULL,
        "do not multiply embeddings by the square root of their width"),
    KEY(TransnormerConfig, norm_type, KEY_CHOICE, "simplermsnorm", 0, 0, "simplermsnorm",
        "kind of norm: an RMS norm without a weight (only this one)"),
    KEY(TransnormerConfig, bias, KEY_BOOLEAN, "false", 0, 0, NULL, "biases of the projections (only false)"),
    KEY(TransnormerConfig, add_bos_token, KEY_BOOLEAN | KEY_INERT, "false", 0, 0, NULL, "for Hugging Face's tokenizer"),
};

/* OpenNLPLab's names for keys that all models share. */
static const KeyAlias transnormer_aliases[] = {{"hidden_size", "decoder_embed_dim"},
                                               {"num_hidden_layers", "decoder_layers"},
                                               {"intermediate_size", "glu_dim"},
                                               {"initializer_range", "init_std"}};

enum { QKVU, OUT, THETA };

/* ALiBi's slope of head n of H, counted from 0. If H is a power of two, it is 2^(-8(n+1)/H). Otherwise the first P
 * heads, P the largest power of two below H, have the slopes of P heads, and the rest every other slope of 2P heads. */
static double slope(int64_t n, int64_t heads) {
    int64_t power = 1;
    while (2 * power <= heads) power *= 2;
    return n < power ? exp2(-8 * (double)(n + 1) / (double)power)
                     : exp2(-8 * (double)(2 * (n - power) + 1) / (double)(2 * power));
}

/* Sets an empty list to that of the released models: learned positions in the first layer only. */
static void choose_positions(IntegerList *list, int64_t layers) {
    if (list->count > 0) return;
    *list = (IntegerList){layers, calloc((size_t)layers, sizeof *list->item)};
    CHECK_MEMORY(list->item, "out of memory");
    list->item[0] = 1;
}

static Status transnormer_complete(void *config, const ModelConfig *model) {
    TransnormerConfig *c = config;
    if (c->hidden_dim < 0) c->hidden_dim = model->hidden_size;
    const int64_t layers = model->num_hidden_layers, heads = c->decoder_attention_heads, V = c->hidden_dim / heads;
    IntegerList *positions = &c->linear_use_lrpe_list;
    if (layers < 2 || layers > MOST_LAYERS)
        return refused_value("num_hidden_layers (decoder_layers)", layers, "must be 2 to 256");
    choose_positions(positions, layers);
    bool any = false;
    for (int64_t l = 0; l < positions->count; l++) any |= positions->item[l] != 0;
    const struct {
        bool wrong;
        const char *key, *what;
    } checks[] = {
        {c->hidden_dim % heads != 0, "hidden_dim", "is not a multiple of decoder_attention_heads"},
        {V > (any ? LARGEST_KEY / 2 : LARGEST_KEY), "decoder_attention_heads",
         "gives heads of more than 256 columns (128 if a layer has learned positions)"},
        {positions->count != layers, "linear_use_lrpe_list", "must have one number for each layer"},
        {any && c->hidden_dim != model->hidden_size, "hidden_dim",
         "must be hidden_size (decoder_embed_dim) if a layer has learned positions"},
        {model->intermediate_size < 0, "intermediate_size (glu_dim)", "must be a number"},
        {model->norm_eps != 1e-6, "norm_eps", "only 1e-6 is supported, as in OpenNLPLab's code"},
        {model->tie_word_embeddings, "tie_word_embeddings", "true is not supported"},
        {c->bias, "bias", "true is not supported"},
    };
    for (int i = 0; i < LENGTH(checks); i++)
        if (checks[i].wrong) return refused(checks[i].key, checks[i].what);
    for (int64_t l = 0; l < layers; l++)
        for (int64_t n = 0; n < heads; n++)
            c->log_decay[l][n] = (float)(-slope(n, heads) * (1 - (double)l / (double)(layers - 1) + 1e-5));
    return OK;
}

/* The initial theta of column m: 10000^(-2m/d), where d is the number of columns of all heads together. */
static double initial_theta(int64_t i, const double argument[3]) { return pow(10000, -2 * (double)i / argument[0]); }

static void transnormer_parameters(Layer *layer) {
    const TransnormerConfig *c = layer->config;
    const int64_t h = layer->model->hidden_size, inner = c->hidden_dim, heads = c->decoder_attention_heads;
    layer_matrix(layer, QKVU, "qkvu_proj.weight", 4 * inner, h);
    layer_matrix(layer, OUT, "out_proj.weight", h, inner);
    if (!c->linear_use_lrpe_list.item[layer->index]) return;
    layer_parameter(layer, THETA, "lrpe.theta", 3, (int64_t[]){heads, 1, inner / heads}, (Init){INIT_FORMULA, 0, 0})
        ->formula = (Formula){initial_theta, {(double)inner}};
}

static Tensor *transnormer_forward(const Layer *layer, Tape *tape, Tensor *x) {
    const TransnormerConfig *c = layer->config;
    Tensor *const *w = layer->weight;
    const int64_t inner = c->hidden_dim, heads = c->decoder_attention_heads, V = inner / heads;
    Tensor *parts[3], *qk[2];
    split(tape, linear(tape, x, w[QKVU]), (int64_t[]){2 * inner, inner, inner}, 3, parts);
    split(tape, feature_map(tape, parts[0], c->linear_act_fun), (int64_t[]){inner, inner}, 2, qk);
    for (int i = 0; w[THETA] && i < 2; i++) qk[i] = lrpe(tape, qk[i], w[THETA]);
    const ChunkSimpleGlaShape shape = {.heads = heads,
                                       .key_size = w[THETA] ? 2 * V : V,
                                       .value_size = V,
                                       .scale = 1,
                                       .log_decay = c->log_decay[layer->index]};
    Tensor *o = chunk_simple_gla(tape, qk[0], qk[1], parts[1], (ChunkSimpleGlaGates){0}, shape, NULL, NULL);
    o = rms_norm_plain(tape, o, inner, (float)layer->model->norm_eps);
    return linear(tape, multiply(tape, o, parts[2]), w[OUT]);
}

static double embeddings_scale(const ModelConfig *model) {
    const TransnormerConfig *c = model->mixer_config;
    return c->no_scale_embedding ? 1 : sqrt((double)model->hidden_size);
}

static const ModelLayout transnormer_layout = {.model = "model",
                                               .embeddings = "model.embed_tokens",
                                               .mixer = "token_mixer",
                                               .mlp = &simple_glu,
                                               .embeddings_scale = embeddings_scale};

const Mixer transnormer_mixer = {
    .model_type = "transnormer",
    .architecture = "TransnormerForCausalLM",
    .keys = transnormer_keys,
    .key_count = LENGTH(transnormer_keys),
    .aliases = transnormer_aliases,
    .alias_count = LENGTH(transnormer_aliases),
    .config_size = sizeof(TransnormerConfig),
    .model_defaults =
        "{hidden_size: 1024, num_hidden_layers: 24, vocab_size: 64000, intermediate_size: 2816, pad_token_id: 0}",
    .layout = &transnormer_layout,
    .complete = transnormer_complete,
    .parameters = transnormer_parameters,
    .forward = transnormer_forward,
};
