/* Mamba-2, state space duality (Dao & Gu 2024, arXiv 2405.21060), as in fla's Mamba2. A head has P
 * channels and a state of N rows, and the heads of a group share B and C:
 *
 *   z, u, r = x Win                                   u = [x', B, C]
 *   x', B, C = silu(conv(u) + b)
 *   dt = softplus(r + dt_bias)                        per head
 *   S_t = e^(-dt_t e^A_log) S_{t-1} + B_t (dt_t x'_t)^T          per head, S [N, P]
 *   y_t = C_t S_t + D x'_t
 *   y = norm(y * silu(z)) Wout                        norm: per group; norm(y) * silu(z) if
 *                                                     norm_before_gate, y * silu(z) without rmsnorm
 *
 * A block is the mixer alone, without an MLP. The state is N x P numbers for each head, and the last conv_kernel - 1
 * rows of u. */
#include <math.h>

#include "base/log.h"
#include "models/mixers/parts.h"

typedef struct Mamba2Config {
    int64_t head_dim, state_size, expand, conv_kernel, n_groups, chunk_size, num_heads;
    double dt_min, dt_max, dt_init_floor, conv_init; /* conv_init NaN: initializer_range */
    RealList A_init_range, dt_limit;
    bool use_bias, use_conv_bias, D_has_hdim, rmsnorm, norm_before_gate, residual_in_fp32, rescale_prenorm_residual;
    int64_t inner, shared; /* widths of x' and of B or C */
} Mamba2Config;

static const Key mamba2_keys[] = {
    KEY(Mamba2Config, head_dim, KEY_INTEGER, "64", 1, 512, NULL, "channels of a head"),
    KEY(Mamba2Config, num_heads, KEY_INTEGER | KEY_NULLABLE, "null", 1, 1 << 20, NULL,
        "heads; must be expand * hidden_size / head_dim or null"),
    KEY(Mamba2Config, state_size, KEY_INTEGER, "128", 1, 1024, NULL, "rows of a head's state"),
    KEY(Mamba2Config, expand, KEY_INTEGER, "2", 1, 64, NULL, "channels / hidden_size"),
    KEY(Mamba2Config, n_groups, KEY_INTEGER, "1", 1, 1 << 20, NULL, "groups of heads that share B and C"),
    KEY(Mamba2Config, conv_kernel, KEY_INTEGER, "4", 1, 64, NULL, "width of the short convolution"),
    KEY(Mamba2Config, use_bias, KEY_BOOLEAN, "false", 0, 0, NULL, "biases on the two projections"),
    KEY(Mamba2Config, use_conv_bias, KEY_BOOLEAN, "true", 0, 0, NULL, "bias of the short convolution"),
    KEY(Mamba2Config, conv_init, KEY_REAL | KEY_NULLABLE | KEY_INERT, "null", 0, 0, NULL,
        "bound of the initial convolution weights (only null)"),
    KEY(Mamba2Config, A_init_range, KEY_REAL_LIST | KEY_INERT, "[1, 16]", 1e-6, 1e6, NULL,
        "range in which the initial e^A_log are uniform"),
    KEY(Mamba2Config, dt_min, KEY_REAL | KEY_INERT, "0.001", 1e-12, 1e3, NULL,
        "least initial dt; ln dt starts uniform"),
    KEY(Mamba2Config, dt_max, KEY_REAL | KEY_INERT, "0.1", 1e-12, 1e3, NULL, "largest initial dt"),
    KEY(Mamba2Config, dt_init_floor, KEY_REAL | KEY_INERT, "0.0001", 1e-12, 1e3, NULL,
        "initial dt are raised to this (at most dt_min)"),
    KEY(Mamba2Config, dt_limit, KEY_REAL_LIST, "[0.0, .inf]", 0, INFINITY, NULL, "range of dt (only [0, inf])"),
    KEY(Mamba2Config, D_has_hdim, KEY_BOOLEAN, "false", 0, 0, NULL,
        "D has one number per channel instead of one per head"),
    KEY(Mamba2Config, rmsnorm, KEY_BOOLEAN, "true", 0, 0, NULL, "apply a norm to the output"),
    KEY(Mamba2Config, norm_before_gate, KEY_BOOLEAN, "false", 0, 0, NULL,
        "apply the norm before the gate instead of after it"),
    KEY(Mamba2Config, residual_in_fp32, KEY_BOOLEAN | KEY_INERT, "true", 0, 0, NULL,
        "without effect: the residual is always added in fp32"),
    KEY(Mamba2Config, rescale_prenorm_residual, KEY_BOOLEAN | KEY_INERT, "true", 0, 0, NULL,
        "out_proj starts smaller in deeper models"),
    KEY(Mamba2Config, chunk_size, KEY_INTEGER | KEY_INERT, "256", 1, 1 << 20, NULL,
        "fla's kernel choice; without effect here"),
    /* names from older releases, which fla no longer reads */
    {"rms_norm", KEY_FIXED, "true", 0, 0, NULL, "the key is called rmsnorm now", 0},
    {"time_step_min", KEY_FIXED, "0.001", 0, 0, NULL, "the key is called dt_min now", 0},
    {"time_step_max", KEY_FIXED, "0.1", 0, 0, NULL, "the key is called dt_max now", 0},
    {"time_step_floor", KEY_FIXED, "0.0001", 0, 0, NULL, "the key is called dt_init_floor now", 0},
    {"time_step_limit", KEY_FIXED, "[0, .inf]", 0, 0, NULL, "the key is called dt_limit now", 0},
    {"time_step_rank", KEY_IGNORED, NULL, 0, 0, NULL, NULL, 0},
};

enum { IN_PROJ, IN_BIAS, CONV, CONV_BIAS, DT_BIAS, A_LOG, SKIP, NORM, OUT_PROJ, OUT_BIAS };

static Status mamba2_complete(void *config, const ModelConfig *model) {
    Mamba2Config *c = config;
    c->inner = c->expand * model->hidden_size;
    c->shared = c->n_groups * c->state_size;
    const int64_t heads = c->inner / c->head_dim;
    if (c->inner % c->head_dim != 0) return refused("head_dim", "does not divide expand * hidden_size");
    if (c->num_heads >= 0 && c->num_heads != heads)
        return refused("num_heads", "is not expand * hidden_size / head_dim");
    if (heads % c->n_groups != 0) return refused("n_groups", "does not divide expand * hidden_size / head_dim");
    c->num_heads = heads;
    const double *limit = c->dt_limit.item, *range = c->A_init_range.item;
    if (c->dt_limit.count != 2 || limit[0] != 0 || !isinf(limit[1]))
        return refused("dt_limit", "only [0, inf] is supported");
    if (c->A_init_range.count != 2 || range[0] > range[1])
        return refused("A_init_range", "must be two numbers, the smaller one first");
    if (c->dt_min > c->dt_max) return refused("dt_min", "is larger than dt_max");
    if (c->dt_init_floor > c->dt_min) return refused("dt_init_floor", "must not be larger than dt_min");
    if (!isnan(c->conv_init)) return refused("conv_init", "only null is supported");
    if (model->tie_word_embeddings) return refused("tie_word_embeddings", "true is not supported, as in fla");
    return OK;
}

/* With rescale_prenorm_residual, the weights are uniform within 1 / sqrt(inner), as in a linear layer of torch, and
 * then divided by the square root of the number of layers. */
static Init out_proj_init(const Layer *layer) {
    const Mamba2Config *c = layer->config;
    if (!c->rescale_prenorm_residual) return (Init){INIT_NORMAL, 0, layer->model->initializer_range};
    const double bound = 1 / sqrt((double)c->inner * (double)layer->model->num_hidden_layers);
    return (Init){INIT_UNIFORM, -bound, bound};
}

static void mamba2_parameters(Layer *layer) {
    const Mamba2Config *c = layer->config;
    const int64_t h = layer->model->hidden_size, heads = c->num_heads, channels = c->inner + 2 * c->shared;
    const double *range = c->A_init_range.item;
    layer_matrix(layer, IN_PROJ, "in_proj.weight", c->inner + channels + heads, h);
    if (c->use_bias) layer_vector(layer, IN_BIAS, "in_proj.bias", c->inner + channels + heads, 0);
    layer_convolution(layer, CONV, "conv1d.weight", channels, c->conv_kernel);
    if (c->use_conv_bias) layer_vector(layer, CONV_BIAS, "conv1d.bias", channels, 0);
    layer_drawn_vector(layer, DT_BIAS, "dt_bias", heads, (Init){INIT_INVERSE_SOFTPLUS, c->dt_min, c->dt_max});
    layer_drawn_vector(layer, A_LOG, "A_log", heads, (Init){INIT_LOG_UNIFORM, range[0], range[1]});
    layer_vector(layer, SKIP, "D", c->D_has_hdim ? c->inner : heads, 1);
    if (c->rmsnorm) layer_vector(layer, NORM, "norm.weight", c->inner, 1);
    layer_drawn_matrix(layer, OUT_PROJ, "out_proj.weight", h, c->inner, out_proj_init(layer));
    if (c->use_bias) layer_vector(layer, OUT_BIAS, "out_proj.bias", h, 0);
}

/* Applies the skip connection D x' (only if D has one number per channel), the gate and the norm. norm_before_gate
 * decides the order of the last two. */
static Tensor *gated_output(const Layer *layer, Tape *tape, Tensor *y, Tensor *x, Tensor *gate) {
    const Mamba2Config *c = layer->config;
    Tensor *const *w = layer->weight;
    const int64_t group_cols = c->inner / c->n_groups;
    const float eps = (float)layer->model->norm_eps;
    if (c->D_has_hdim) y = gated_skip(tape, y, x, w[SKIP], NULL);
    if (!c->rmsnorm) return swiglu(tape, gate, y);
    if (!c->norm_before_gate) return rms_norm_groups(tape, y, gate, w[NORM], group_cols, eps);
    return swiglu(tape, gate, rms_norm_groups(tape, y, NULL, w[NORM], group_cols, eps));
}

static Tensor *mamba2_forward(const Layer *layer, Tape *tape, Tensor *x) {
    const Mamba2Config *c = layer->config;
    Tensor *const *w = layer->weight;
    Tensor *projected = linear(tape, x, w[IN_PROJ]), *zur[3], *xBC[3];
    if (c->use_bias) projected = bias(tape, projected, w[IN_BIAS]);
    split(tape, projected, (int64_t[]){c->inner, c->inner + 2 * c->shared, c->num_heads}, 3, zur);
    Tensor *convolved = short_convolution(tape, zur[1], w[CONV], w[CONV_BIAS], true);
    split(tape, convolved, (int64_t[]){c->inner, c->shared, c->shared}, 3, xBC);
    ChunkSimpleGlaGates gates = {.skip = c->D_has_hdim ? NULL : w[SKIP]};
    gates.log_decay = softplus_decay(tape, zur[2], w[A_LOG], w[DT_BIAS], &gates.log_scale);
    const ChunkSimpleGlaShape shape = {
        .heads = c->num_heads, .key_size = c->state_size, .value_size = c->head_dim, .scale = 1};
    Tensor *y = chunk_simple_gla(tape, xBC[2], xBC[1], xBC[0], gates, shape, NULL, NULL);
    y = linear(tape, gated_output(layer, tape, y, xBC[0], zur[0]), w[OUT_PROJ]);
    return c->use_bias ? bias(tape, y, w[OUT_BIAS]) : y;
}

static const ModelLayout mamba2_layout = {
    .model = "backbone", .final_norm = "norm_f", .mixer_norm = "norm", .mixer = "mixer", .trains_padding = true};

const Mixer mamba2_mixer = {
    .model_type = "mamba2",
    .architecture = "Mamba2ForCausalLM",
    .keys = mamba2_keys,
    .key_count = LENGTH(mamba2_keys),
    .config_size = sizeof(Mamba2Config),
    .model_defaults = "{num_hidden_layers: 48, norm_eps: 1.0e-5, pad_token_id: 0, hidden_act: silu}",
    .layout = &mamba2_layout,
    .complete = mamba2_complete,
    .parameters = mamba2_parameters,
    .forward = mamba2_forward,
};
