#include "suites/read_out.h"

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
    Tensor *const *w = &model->read_out_weight[first];
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
