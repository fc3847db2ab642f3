/* HGRN2, gated linear RNNs with state expansion (Qin et al. 2024, arXiv 2404.07904), as in fla's HGRN2Attention:
 *
 *   q, i = silu(x Wq), x Wi                           with use_short_conv: conv(x Wq), conv(x Wi), conv(x Wf)
 *   f = bound + (1 - bound) sigmoid(x Wf)             bound: 0 in layer 0, then learned, growing with the layer
 *   S_t = diag(f_t) S_{t-1} + (1 - f_t) i_t^T         per head, S [K, V]
 *   o_t = K^(-1/2) q_t S_t
 *   y = norm(o) Wo                                    over all heads together
 *
 * The state of a head is K x V numbers, with K = expand_ratio and V = hidden_size / num_heads. */
#include "base/log.h"
#include "models/mixers/parts.h"

typedef struct Hgrn2Config {
    int64_t num_heads, expand_ratio, conv_size;
    char *attn_mode;
    bool use_short_conv, use_lower_bound;
    int64_t key_size; /* of all heads together */
} Hgrn2Config;

static const Key hgrn2_keys[] = {
    KEY(Hgrn2Config, num_heads, KEY_INTEGER | KEY_NULLABLE, "null", 1, 4096, NULL,
        "heads (null: hidden_size / expand_ratio)"),
    KEY(Hgrn2Config, expand_ratio, KEY_INTEGER | KEY_NULLABLE, "128", 1, 1 << 20, NULL,
        "key width of a head (null: hidden_size / num_heads)"),
    KEY(Hgrn2Config, attn_mode, KEY_CHOICE | KEY_INERT, "chunk", 0, 0, "chunk|fused_chunk|fused_recurrent",
        "fla's kernel choice; the result is the same"),
    KEY(Hgrn2Config, use_short_conv, KEY_BOOLEAN, "false", 0, 0, NULL, "short convolutions on q, f and i"),
    KEY(Hgrn2Config, conv_size, KEY_INTEGER, "4", 1, 64, NULL, "width of the short convolutions"),
    KEY(Hgrn2Config, use_lower_bound, KEY_BOOLEAN, "true", 0, 0, NULL, "learned lower bounds of the forget gates"),
};

enum { Q_PROJ, F_PROJ, I_PROJ, O_PROJ, G_NORM, Q_CONV, F_CONV, I_CONV, LOWER_BOUNDS };

/* fla does not pass norm_eps to this norm, so the norm keeps its own default. */
static const float g_norm_eps = 1e-5f;

static Status hgrn2_complete(void *config, const ModelConfig *model) {
    Hgrn2Config *c = config;
    const int64_t h = model->hidden_size;
    if (c->expand_ratio < 0 && c->num_heads < 0) {
        log_error("model: expand_ratio and num_heads are both null; set one of them");
        return BAD_INPUT;
    }
    const int64_t heads = c->expand_ratio < 0 ? c->num_heads : h / c->expand_ratio;
    if (c->expand_ratio < 0) c->expand_ratio = h / heads;
    if (c->num_heads >= 0 && c->num_heads != heads) {
        log_error("model: num_heads %lld is not hidden_size %lld / expand_ratio %lld: set only one of num_heads and "
                  "expand_ratio",
                  (long long)c->num_heads, (long long)h, (long long)c->expand_ratio);
        return BAD_INPUT;
    }
    c->num_heads = heads;
    c->key_size = heads * c->expand_ratio;
    if (heads == 0 || h % heads != 0 || (c->use_lower_bound && c->key_size != h)) {
        log_error("model: hidden_size %lld must be a multiple of expand_ratio %lld", (long long)h,
                  (long long)c->expand_ratio);
        return BAD_INPUT;
    }
    return OK;
}

static void hgrn2_parameters(Layer *layer) {
    const Hgrn2Config *c = layer->config;
    const int64_t h = layer->model->hidden_size;
    layer_matrix(layer, Q_PROJ, "q_proj.weight", c->key_size, h);
    layer_matrix(layer, F_PROJ, "f_proj.weight", c->key_size, h);
    layer_matrix(layer, I_PROJ, "i_proj.weight", h, h);
    layer_matrix(layer, O_PROJ, "o_proj.weight", h, h);
    layer_vector(layer, G_NORM, "g_norm.weight", h, 1);
    if (c->use_lower_bound)
        layer_shared_matrix(layer, LOWER_BOUNDS, "lower_bounds", layer->model->num_hidden_layers, h, 0);
    if (!c->use_short_conv) return;
    layer_convolution(layer, Q_CONV, "q_conv1d.weight", c->key_size, c->conv_size);
    layer_convolution(layer, F_CONV, "f_conv1d.weight", c->key_size, c->conv_size);
    layer_convolution(layer, I_CONV, "i_conv1d.weight", h, c->conv_size);
}

static Tensor *hgrn2_forward(const Layer *layer, Tape *tape, Tensor *x) {
    const Hgrn2Config *c = layer->config;
    Tensor *const *w = layer->weight;
    Tensor *y[3], *k;
    linear_group(tape, x, &w[Q_PROJ], 3, y);
    Tensor *q = convolved_silu(tape, y[0], w[Q_CONV]);
    Tensor *f = convolved(tape, y[1], w[F_CONV]), *i = convolved(tape, y[2], w[I_CONV]);
    Tensor *decay = lower_bound_gate(tape, f, NULL, w[LOWER_BOUNDS], layer->index, &k);
    const ChunkGlaShape shape = {.heads = c->num_heads, .kv_heads = c->num_heads};
    Tensor *o = chunk_gla(tape, q, k, i, decay, shape, NULL, NULL);
    return linear(tape, rms_norm(tape, o, NULL, w[G_NORM], g_norm_eps, NULL), w[O_PROJ]);
}

const Mixer hgrn2_mixer = {
    .model_type = "hgrn2",
    .architecture = "HGRN2ForCausalLM",
    .keys = hgrn2_keys,
    .key_count = LENGTH(hgrn2_keys),
    .config_size = sizeof(Hgrn2Config),
    .takes_attention = true,
    .complete = hgrn2_complete,
    .parameters = hgrn2_parameters,
    .forward = hgrn2_forward,
};
