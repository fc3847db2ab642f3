#include "suites/ends.h"

#include <math.h>

#include "kernels/ops.h"

enum { NORM_1, WEIGHT_1, BIAS_1, NORM_2, WEIGHT_2, BIAS_2 };

void decoder_parameters(Model *model) {
    const ModelConfig *c = &model->config;
    const int64_t h = c->hidden_size, square[2] = {h, h};
    const Init normal = {INIT_NORMAL, 0, c->initializer_range}, zero = {INIT_CONSTANT, 0, 0},
               one = {INIT_CONSTANT, 1, 0};
    model_parameter(model, NORM_1, "decoder.0.norm.weight", 1, &h, one);
    model_parameter(model, WEIGHT_1, "decoder.0.linear.weight", 2, square, normal);
    model_parameter(model, BIAS_1, "decoder.0.linear.bias", 1, &h, zero);
    model_parameter(model, NORM_2, "decoder.1.norm.weight", 1, &h, one);
    model_parameter(model, WEIGHT_2, "decoder.1.linear.weight", 2, square, normal);
    model_parameter(model, BIAS_2, "decoder.1.linear.bias", 1, &h, zero);
}

static Tensor *decoder_layer(const Model *model, Tape *tape, Tensor *x, int first) {
    Tensor *const *w = &model->ends_weight[first];
    x = rms_norm(tape, x, NULL, w[NORM_1], (float)model->config.norm_eps, NULL);
    return activation(tape, bias(tape, linear(tape, x, w[WEIGHT_1]), w[BIAS_1]), ACTIVATION_GELU);
}

Tensor *decoder_read_out(const Model *model, Tape *tape, Tensor *x) {
    x = sinusoid(tape, document_summary(tape, x, false));
    return decoder_layer(model, tape, decoder_layer(model, tape, x, NORM_1), NORM_2);
}

Tensor *mean_read_out(const Model *model, Tape *tape, Tensor *x) {
    (void)model;
    return document_summary(tape, x, true);
}

enum { CONV_NORM, CONV_FILTER, CONV_GATE, CONV_WIDTH = 3 };

/* Initial values of PyTorch's Conv1d and Linear: uniform within 1 / sqrt(inputs). */
static Init uniform_of(int64_t inputs) {
    const double range = 1 / sqrt((double)inputs);
    return (Init){INIT_UNIFORM, -range, range};
}

void base_conv_parameters(Model *model) {
    const int64_t h = model->config.hidden_size, square[2] = {h, h}, filter[3] = {h, 1, CONV_WIDTH};
    model_parameter(model, CONV_NORM, "base_conv.norm.weight", 1, &h, (Init){INIT_CONSTANT, 1, 0});
    model_parameter(model, CONV_FILTER, "base_conv.conv.weight", 3, filter, uniform_of(CONV_WIDTH));
    model_parameter(model, CONV_GATE, "base_conv.projection.weight", 2, square, uniform_of(h));
}

Tensor *base_conv_read_in(const Model *model, Tape *tape, Tensor *x) {
    Tensor *const *w = model->ends_weight;
    Tensor *u = rms_norm(tape, x, NULL, w[CONV_NORM], (float)model->config.norm_eps, NULL);
    Tensor *y = multiply(tape, short_convolution(tape, u, w[CONV_FILTER], NULL, false), linear(tape, u, w[CONV_GATE]));
    return add(tape, x, add(tape, y, u));
}
