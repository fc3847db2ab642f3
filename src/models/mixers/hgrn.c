/* HGRN, hierarchically gated recurrent network (Qin et al. 2023, arXiv 2311.04823), as in fla's HGRNAttention (real
 * states):
 *
 *   i, g = x Wi, x Wg                                 with use_short_conv: i = conv(x Wi), and conv(x Wf) below
 *   f = bound + (1 - bound) sigmoid(x Wf)             bound: 0 in layer 0, then learned, growing with the layer
 *   h_t = f_t * h_{t-1} + (1 - f_t) * silu(i_t)       per channel
 *   y = (norm(h) * silu(g)) Wo
 *
 * The state is one number for each of expand_ratio * hidden_size channels. */
#include "base/log.h"
#include "models/mixers/parts.h"

typedef struct HgrnConfig {
    int64_t expand_ratio, conv_size;
    char *attn_mode;
    bool use_short_conv, use_lower_bound;
} HgrnConfig;

static const Key hgrn_keys[] = {
    KEY(HgrnConfig, expand_ratio, KEY_INTEGER, "1", 1, 64, NULL, "channels / hidden_size"),
    KEY(HgrnConfig, attn_mode, KEY_CHOICE | KEY_INERT, "fused_recurrent", 0, 0, "chunk|fused_recurrent",
        "fla's kernel choice; the result is the same"),
    KEY(HgrnConfig, use_short_conv, KEY_BOOLEAN, "false", 0, 0, NULL, "short convolutions on i and f"),
    KEY(HgrnConfig, conv_size, KEY_INTEGER, "4", 1, 64, NULL, "width of the short convolutions"),
    KEY(HgrnConfig, use_lower_bound, KEY_BOOLEAN, "true", 0, 0, NULL, "learned lower bounds of the forget gates"),
};

enum { I_PROJ, F_PROJ, G_PROJ, O_PROJ, G_NORM, I_CONV, F_CONV, LOWER_BOUNDS };

static Status hgrn_complete(void *config, const ModelConfig *model) {
    const HgrnConfig *c = config;
    (void)model;
    if (c->use_lower_bound && c->expand_ratio != 1) {
        log_error("model: expand_ratio is %lld, but use_lower_bound needs 1, because there are hidden_size bounds",
                  (long long)c->expand_ratio);
        return BAD_INPUT;
    }
    return OK;
}

static void hgrn_parameters(Layer *layer) {
    const HgrnConfig *c = layer->config;
    const int64_t h = layer->model->hidden_size, channels = h * c->expand_ratio;
    layer_matrix(layer, I_PROJ, "i_proj.weight", channels, h);
    layer_matrix(layer, F_PROJ, "f_proj.weight", channels, h);
    layer_matrix(layer, G_PROJ, "g_proj.weight", channels, h);
    layer_matrix(layer, O_PROJ, "o_proj.weight", h, channels);
    layer_vector(layer, G_NORM, "g_norm.weight", channels, 1);
    if (c->use_lower_bound)
        layer_shared_matrix(layer, LOWER_BOUNDS, "lower_bounds", layer->model->num_hidden_layers, channels, 0);
    if (!c->use_short_conv) return;
    layer_convolution(layer, I_CONV, "i_conv1d.weight", channels, c->conv_size);
    layer_convolution(layer, F_CONV, "f_conv1d.weight", channels, c->conv_size);
}

static Tensor *hgrn_forward(const Layer *layer, Tape *tape, Tensor *x) {
    Tensor *const *w = layer->weight;
    Tensor *y[3], *input;
    linear_group(tape, x, &w[I_PROJ], 3, y);
    Tensor *i = convolved(tape, y[0], w[I_CONV]), *f = convolved(tape, y[1], w[F_CONV]);
    Tensor *decay = lower_bound_gate(tape, f, i, w[LOWER_BOUNDS], layer->index, &input);
    Tensor *h = diagonal_scan(tape, input, decay, NULL, NULL);
    h = gated_rms_norm(tape, h, y[2], w[G_NORM], ACTIVATION_SILU, (float)layer->model->norm_eps);
    return linear(tape, h, w[O_PROJ]);
}

const Mixer hgrn_mixer = {
    .model_type = "hgrn",
    .architecture = "HGRNForCausalLM",
    .keys = hgrn_keys,
    .key_count = LENGTH(hgrn_keys),
    .config_size = sizeof(HgrnConfig),
    .takes_attention = true,
    .complete = hgrn_complete,
    .parameters = hgrn_parameters,
    .forward = hgrn_forward,
};
