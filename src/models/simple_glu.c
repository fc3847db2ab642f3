/* TransNormer's channel mixer, a gated linear unit without activation: y = ((x W1) * (x W2)) W3. */
#include "kernels/ops.h"
#include "models/model.h"

enum { LEFT, RIGHT, OUT };

static int64_t simple_glu_width(const ModelConfig *c) { return c->intermediate_size; }

static void simple_glu_parameters(Layer *layer) {
    const int64_t h = layer->model->hidden_size, width = simple_glu_width(layer->model);
    layer_matrix(layer, LEFT, "l1.weight", width, h);
    layer_matrix(layer, RIGHT, "l2.weight", width, h);
    layer_matrix(layer, OUT, "l3.weight", h, width);
}

static Tensor *simple_glu_forward(const Layer *layer, Tape *tape, Tensor *x) {
    Tensor *y[2];
    linear_group(tape, x, &layer->mlp[LEFT], 2, y);
    return linear(tape, multiply(tape, y[0], y[1]), layer->mlp[OUT]);
}

const Mlp simple_glu = {
    .name = "channel_mixer",
    .activations = "swish|silu", /* accepted without effect: this MLP has no activation */
    .width = simple_glu_width,
    .parameters = simple_glu_parameters,
    .forward = simple_glu_forward,
};
