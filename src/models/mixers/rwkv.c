#include "models/mixers/rwkv.h"

#include <math.h>
#include <stdio.h>

Init lora_init(int64_t rank, int64_t cols) {
    return (Init){INIT_ORTHOGONAL, 0.1 * (rank > cols ? sqrt((double)rank / (double)cols) : 1), 0};
}

double rwkv_rising(int64_t i, const double argument[3]) { return 1 - pow((double)i / argument[0], argument[1]); }

Parameter *lora_parameters(Layer *layer, int index, const char *name, int64_t rank, int64_t cols) {
    char full[PARAMETER_NAME];
    snprintf(full, sizeof full, "%s.lora.0.weight", name);
    layer_drawn_matrix(layer, index + LORA_DOWN, full, rank, layer->model->hidden_size, (Init){INIT_CONSTANT, 0, 0});
    snprintf(full, sizeof full, "%s.lora.2.weight", name);
    layer_drawn_matrix(layer, index + LORA_UP, full, cols, rank, lora_init(rank, cols));
    snprintf(full, sizeof full, "%s.lora.2.bias", name);
    return layer_parameter(layer, index + LORA_BIAS, full, 1, &cols, (Init){INIT_CONSTANT, 0, 0});
}

Tensor *lora_up(Tape *tape, Tensor *low, Tensor *const weight[LORA_WEIGHTS]) {
    return bias(tape, linear(tape, low, weight[LORA_UP]), weight[LORA_BIAS]);
}

/* intermediate_size if it is given, else int(hidden_size * hidden_ratio) rounded up to a multiple of 32. */
static int64_t channel_mix_width(const ModelConfig *c) {
    if (c->intermediate_size > 0) return c->intermediate_size;
    const int64_t width = (int64_t)((double)c->hidden_size * (isnan(c->hidden_ratio) ? 4 : c->hidden_ratio));
    return (width + 31) / 32 * 32;
}

enum { KEY_MU, RECEPTANCE_MU, CHANNEL_KEY, CHANNEL_VALUE, RECEPTANCE };

static void rwkv6_channel_mix_parameters(Layer *layer) {
    const int64_t h = layer->model->hidden_size, width = channel_mix_width(layer->model);
    layer_vector(layer, KEY_MU, "key.mu", h, 0);
    layer_vector(layer, RECEPTANCE_MU, "receptance.mu", h, 0);
    layer_matrix(layer, CHANNEL_KEY, "key.linear.weight", width, h);
    layer_matrix(layer, CHANNEL_VALUE, "value.weight", h, width);
    layer_matrix(layer, RECEPTANCE, "receptance.linear.weight", h, h);
}

static Tensor *channel_value(const Layer *layer, Tape *tape, Tensor *x) {
    Tensor *key = activation(tape, linear(tape, x, layer->mlp[CHANNEL_KEY]), ACTIVATION_SQUARED_RELU);
    return linear(tape, key, layer->mlp[CHANNEL_VALUE]);
}

static Tensor *rwkv6_channel_mix_forward(const Layer *layer, Tape *tape, Tensor *x) {
    Tensor *mixed[2];
    token_mix(tape, x, &layer->mlp[KEY_MU], NULL, 2, mixed);
    Tensor *gate = activation(tape, linear(tape, mixed[1], layer->mlp[RECEPTANCE]), ACTIVATION_SIGMOID);
    return multiply(tape, gate, channel_value(layer, tape, mixed[0]));
}

static void rwkv7_channel_mix_parameters(Layer *layer) {
    const int64_t h = layer->model->hidden_size, width = channel_mix_width(layer->model);
    const double left = 1 - (double)layer->index / (double)layer->model->num_hidden_layers;
    layer_parameter(layer, KEY_MU, "x_k", 1, &h, (Init){INIT_FORMULA, 0, 0})->formula =
        (Formula){rwkv_rising, {(double)h, pow(left, 4)}};
    layer_drawn_matrix(layer, CHANNEL_KEY, "key.weight", width, h, (Init){INIT_ORTHOGONAL, 1, 0});
    layer_drawn_matrix(layer, CHANNEL_VALUE, "value.weight", h, width, (Init){INIT_CONSTANT, 0, 0});
}

static Tensor *rwkv7_channel_mix_forward(const Layer *layer, Tape *tape, Tensor *x) {
    Tensor *mixed;
    token_mix(tape, x, &layer->mlp[KEY_MU], NULL, 1, &mixed);
    return channel_value(layer, tape, mixed);
}

const Mlp rwkv6_channel_mix = {
    .norm = "ffn_norm",
    .name = "ffn",
    .activations = "sqrelu",
    .width = channel_mix_width,
    .parameters = rwkv6_channel_mix_parameters,
    .forward = rwkv6_channel_mix_forward,
};

const Mlp rwkv7_channel_mix = {
    .norm = "ffn_norm",
    .name = "ffn",
    .activations = "sqrelu",
    .width = channel_mix_width,
    .parameters = rwkv7_channel_mix_parameters,
    .forward = rwkv7_channel_mix_forward,
};
