/* Mamba, a selective state space (Gu & Dao 2023, arXiv 2312.00752), as in fla's Mamba. For every channel c and state n:
 *
 *   u, z = x Win
 *   u = silu(conv(u) + b)
 *   r, B, C = u Wx                                    r has dt_rank columns; all channels share B and C
 *   dt = softplus(r Wdt + dt_bias),  A = -e^A_log
 *   h_cn = e^(dt_c A_cn) h_cn + dt_c B_n u_c
 *   y_c = (sum over n of C_n h_cn + D_c u_c) silu(z_c)
 *   y Wout
 *
 * A block is the mixer alone, without an MLP. The state is h, and the last conv_kernel - 1 rows of u before the
 * convolution. */
#include "models/mixers/mamba.h"

#include <math.h>
#include <string.h>

#include "base/log.h"

static const Key mamba_keys[] = {
    MAMBA_KEYS,
    KEY(MambaConfig, use_conv_bias, KEY_BOOLEAN, "true", 0, 0, NULL, "bias of the short convolution"),
    MAMBA_TIME_KEYS("dt_", "dt_init_floor"),
    {"use_mambapy", KEY_IGNORED, NULL, 0, 0, NULL, NULL, 0},
};

/* The Mamba of transformers has the same tensors, but other names for some keys. */
static const KeyAlias mamba_aliases[] = {
    {"norm_eps", "layer_norm_epsilon"},          {"dt_rank", "time_step_rank"}, {"dt_scale", "time_step_scale"},
    {"dt_init_scheme", "time_step_init_scheme"}, {"dt_min", "time_step_min"},   {"dt_max", "time_step_max"},
    {"dt_init_floor", "time_step_floor"},
};

enum { IN_PROJ, IN_BIAS, CONV, CONV_BIAS, X_PROJ, DT_PROJ, DT_BIAS, A_LOG, SKIP, OUT_PROJ, OUT_BIAS };

Status mamba_complete(void *config, const ModelConfig *model) {
    MambaConfig *c = config;
    c->inner = c->expand * model->hidden_size;
    if (c->dt_rank < 0) c->dt_rank = (model->hidden_size + 15) / 16;
    const bool ordered = c->dt_min <= c->dt_max;
    if (ordered && c->dt_init_floor <= c->dt_min) return OK;
    const bool short_names = strcmp(model->model_type, "mamba") == 0;
    log_error("model.%s: %s",
              short_names ? (ordered ? "dt_init_floor" : "dt_min") : (ordered ? "time_step_floor" : "time_step_min"),
              ordered ? "must not be larger than the least initial dt" : "is larger than the largest initial dt");
    return BAD_INPUT;
}

int64_t mamba_inner_size(const void *config) { return ((const MambaConfig *)config)->inner; }

/* The distribution from which torch draws a linear layer with `inputs` inputs, times `factor`. */
static Init torch_init(int64_t inputs, double factor) {
    const double bound = factor / sqrt((double)inputs);
    return (Init){INIT_UNIFORM, -bound, bound};
}

static Init dt_proj_init(const MambaConfig *c) {
    const Init init = torch_init(c->dt_rank, c->dt_scale);
    return strcmp(c->dt_init_scheme, "constant") == 0 ? (Init){INIT_CONSTANT, init.b, 0} : init;
}

static Init out_proj_init(const Layer *layer) {
    const MambaConfig *c = layer->config;
    if (!c->rescale_prenorm_residual) return (Init){INIT_NORMAL, 0, layer->model->initializer_range};
    return torch_init(c->inner, 1 / sqrt((double)layer->model->num_hidden_layers));
}

/* The initial value for state n is ln(n + 1). */
static double initial_A_log(int64_t i, const double argument[3]) { return log((double)(i % (int64_t)argument[0] + 1)); }

void mamba_parameters(Layer *layer) {
    const MambaConfig *c = layer->config;
    const int64_t h = layer->model->hidden_size, inner = c->inner, N = c->state_size;
    const Init conv = torch_init(c->conv_kernel, 1);
    layer_matrix(layer, IN_PROJ, "in_proj.weight", 2 * inner, h);
    if (c->use_bias) layer_vector(layer, IN_BIAS, "in_proj.bias", 2 * inner, 0);
    layer_parameter(layer, CONV, "conv1d.weight", 3, (int64_t[]){inner, 1, c->conv_kernel}, conv);
    if (c->use_conv_bias) layer_drawn_vector(layer, CONV_BIAS, "conv1d.bias", inner, conv);
    layer_matrix(layer, X_PROJ, "x_proj.weight", c->dt_rank + 2 * N, inner);
    layer_drawn_matrix(layer, DT_PROJ, "dt_proj.weight", inner, c->dt_rank, dt_proj_init(c));
    layer_drawn_vector(layer, DT_BIAS, "dt_proj.bias", inner, (Init){INIT_INVERSE_SOFTPLUS, c->dt_min, c->dt_max});
    layer_parameter(layer, A_LOG, "A_log", 2, (int64_t[]){inner, N}, (Init){INIT_FORMULA, 0, 0})->formula =
        (Formula){initial_A_log, {(double)N}};
    layer_vector(layer, SKIP, "D", inner, 1);
    layer_drawn_matrix(layer, OUT_PROJ, "out_proj.weight", h, inner, out_proj_init(layer));
    if (c->use_bias) layer_vector(layer, OUT_BIAS, "out_proj.bias", h, 0);
}

Tensor *mamba_forward(const Layer *layer, Tape *tape, Tensor *x) {
    const MambaConfig *c = layer->config;
    Tensor *const *w = layer->weight;
    Tensor *projected = linear(tape, x, w[IN_PROJ]), *uz[2], *rBC[3];
    if (c->use_bias) projected = bias(tape, projected, w[IN_BIAS]);
    split(tape, projected, (int64_t[]){c->inner, c->inner}, 2, uz);
    Tensor *u = short_convolution(tape, uz[0], w[CONV], w[CONV_BIAS], true);
    split(tape, linear(tape, u, w[X_PROJ]), (int64_t[]){c->dt_rank, c->state_size, c->state_size}, 3, rBC);
    Tensor *dt = linear(tape, rBC[0], w[DT_PROJ]);
    Tensor *y = selective_scan(tape, u, dt, rBC[1], rBC[2], w[A_LOG], w[DT_BIAS], NULL, NULL);
    y = linear(tape, gated_skip(tape, y, u, w[SKIP], uz[1]), w[OUT_PROJ]);
    return c->use_bias ? bias(tape, y, w[OUT_BIAS]) : y;
}

static const ModelLayout mamba_layout = {
    .model = "backbone", .final_norm = "norm_f", .mixer_norm = "norm", .mixer = "mixer", .trains_padding = true};

const Mixer mamba_mixer = {
    .model_type = "mamba",
    .architecture = "MambaForCausalLM",
    .keys = mamba_keys,
    .key_count = LENGTH(mamba_keys),
    .aliases = mamba_aliases,
    .alias_count = LENGTH(mamba_aliases),
    .config_size = sizeof(MambaConfig),
    .model_defaults = "{num_hidden_layers: 48, norm_eps: 1.0e-5, pad_token_id: 0, hidden_act: silu}",
    .layout = &mamba_layout,
    .complete = mamba_complete,
    .inner_size = mamba_inner_size,
    .parameters = mamba_parameters,
    .forward = mamba_forward,
};
