/* LightNet (Qin et al. 2024, arXiv 2405.21022), as in fla's LightNetAttention:
 *
 *   q, r, v = silu(x Wq), x Wk, x Wv                  (optionally a short convolution before silu)
 *   z_t = log sum over j <= t of e^r_j                per key channel
 *   k_t = e^(r_t - z_t), a_t = z_{t-1} - z_t          a softmax over the tokens so far, and its log decay
 *   S_t = diag(e^a_t) S_{t-1} + k_t v_t^T             per head, S [K, V]
 *   o_t = K^(-1/2) q_t S_t
 *   y = (norm(o) * silu(x Wg0 Wg1)) Wo                norm over all heads together
 *
 * The state of a head is K x V numbers, with K = expand_ratio and V = hidden_size / num_heads, and z. */
#include "base/log.h"
#include "models/mixers/parts.h"

typedef struct LightnetConfig {
    int64_t num_heads, expand_ratio, conv_size, gate_low_rank_dim;
    char *attn_mode;
    bool use_short_conv;
} LightnetConfig;

static const Key lightnet_keys[] = {
    KEY(LightnetConfig, num_heads, KEY_INTEGER | KEY_NULLABLE, "null", 1, 4096, NULL,
        "heads (null: hidden_size / expand_ratio)"),
    KEY(LightnetConfig, expand_ratio, KEY_INTEGER | KEY_NULLABLE, "128", 1, 1 << 20, NULL,
        "key width of a head (null: hidden_size / num_heads)"),
    KEY(LightnetConfig, attn_mode, KEY_CHOICE | KEY_INERT, "chunk", 0, 0, "chunk|fused_chunk",
        "fla's kernel choice; the result is the same"),
    KEY(LightnetConfig, use_short_conv, KEY_BOOLEAN, "false", 0, 0, NULL, "short convolutions on q, k and v"),
    KEY(LightnetConfig, conv_size, KEY_INTEGER, "4", 1, 64, NULL, "width of the short convolutions"),
    KEY(LightnetConfig, gate_low_rank_dim, KEY_INTEGER, "128", 1, 1 << 20, NULL,
        "width between the two matrices of the output gate"),
};

enum { Q_PROJ, K_PROJ, V_PROJ, G_PROJ_0, G_PROJ_1, O_PROJ, G_NORM, Q_CONV, K_CONV, V_CONV };

/* fla does not pass norm_eps to this norm, so the norm keeps its own default. */
static const float g_norm_eps = 1e-6f;

static Status lightnet_complete(void *config, const ModelConfig *model) {
    LightnetConfig *c = config;
    const int64_t h = model->hidden_size;
    if (c->expand_ratio < 0 && c->num_heads < 0) {
        log_error("model: expand_ratio and num_heads are both null; set one of them");
        return BAD_INPUT;
    }
    const bool follows = c->num_heads < 0;
    if (follows && h < c->expand_ratio) {
        log_error("model: hidden_size %lld is smaller than expand_ratio %lld; set num_heads or a smaller expand_ratio",
                  (long long)h, (long long)c->expand_ratio);
        return BAD_INPUT;
    }
    if (follows) c->num_heads = h / c->expand_ratio;
    if (c->expand_ratio < 0) c->expand_ratio = h / c->num_heads;
    if (h % c->num_heads != 0) {
        log_error("model: hidden_size %lld must be a multiple of num_heads %lld%s", (long long)h,
                  (long long)c->num_heads, follows ? ", which is hidden_size / expand_ratio" : "");
        return BAD_INPUT;
    }
    return OK;
}

static void lightnet_parameters(Layer *layer) {
    const LightnetConfig *c = layer->config;
    const int64_t h = layer->model->hidden_size, key_size = c->num_heads * c->expand_ratio;
    layer_matrix(layer, Q_PROJ, "q_proj.weight", key_size, h);
    layer_matrix(layer, K_PROJ, "k_proj.weight", key_size, h);
    layer_matrix(layer, V_PROJ, "v_proj.weight", h, h);
    layer_matrix(layer, G_PROJ_0, "g_proj.0.weight", c->gate_low_rank_dim, h);
    layer_matrix(layer, G_PROJ_1, "g_proj.1.weight", h, c->gate_low_rank_dim);
    layer_matrix(layer, O_PROJ, "o_proj.weight", h, h);
    layer_vector(layer, G_NORM, "g_norm.weight", h, 1);
    if (!c->use_short_conv) return;
    layer_convolution(layer, Q_CONV, "q_conv1d.weight", key_size, c->conv_size);
    layer_convolution(layer, K_CONV, "k_conv1d.weight", key_size, c->conv_size);
    layer_convolution(layer, V_CONV, "v_conv1d.weight", h, c->conv_size);
}

static Tensor *lightnet_forward(const Layer *layer, Tape *tape, Tensor *x) {
    const LightnetConfig *c = layer->config;
    Tensor *const *w = layer->weight;
    Tensor *y[4], *decay;
    linear_group(tape, x, &w[Q_PROJ], 4, y);
    Tensor *q = convolved_silu(tape, y[0], w[Q_CONV]);
    Tensor *k = running_softmax(tape, convolved(tape, y[1], w[K_CONV]), NULL, &decay, NULL);
    Tensor *v = convolved(tape, y[2], w[V_CONV]);
    const ChunkGlaShape shape = {.heads = c->num_heads, .kv_heads = c->num_heads};
    Tensor *o = chunk_gla(tape, q, k, v, decay, shape, NULL, NULL);
    Tensor *gate = linear(tape, y[3], w[G_PROJ_1]);
    return linear(tape, gated_rms_norm(tape, o, gate, w[G_NORM], ACTIVATION_SILU, g_norm_eps), w[O_PROJ]);
}

const Mixer lightnet_mixer = {
    .model_type = "lightnet",
    .architecture = "LightNetForCausalLM",
    .keys = lightnet_keys,
    .key_count = LENGTH(lightnet_keys),
    .config_size = sizeof(LightnetConfig),
    .takes_attention = true,
    .fixes_attention_base = true,
    .complete = lightnet_complete,
    .parameters = lightnet_parameters,
    .forward = lightnet_forward,
};
