/* The MLP of xlstm. */
#include "models/mixers/mlstm.h"
#include "models/mixers/xlstm.h"

enum { UP_GATE, UP, DOWN };

static int64_t ffn_width(const ModelConfig *config) { return ((const XlstmConfig *)config->mixer_config)->ffn_size; }

static void ffn_parameters(Layer *layer) {
    const XlstmConfig *c = layer->config;
    const int64_t h = layer->model->hidden_size;
    if (c->fused) {
        mlstm_matrix(layer, UP_GATE, "proj_up_gate_z.weight", 2 * c->ffn_size, h);
    } else {
        mlstm_matrix(layer, UP_GATE, "proj_up_gate.weight", c->ffn_size, h);
        mlstm_matrix(layer, UP, "proj_up.weight", c->ffn_size, h);
    }
    mlstm_output_matrix(layer, DOWN, "proj_down.weight", h, c->ffn_size, c->ffn_size);
}

static Tensor *ffn_forward(const Layer *layer, Tape *tape, Tensor *x) {
    const XlstmConfig *c = layer->config;
    Tensor *const *w = layer->mlp, *y[2];
    if (c->fused)
        split(tape, linear(tape, x, w[UP_GATE]), (int64_t[]){c->ffn_size, c->ffn_size}, 2, y);
    else
        linear_group(tape, x, &w[UP_GATE], 2, y);
    return linear(tape, swiglu(tape, y[0], y[1]), w[DOWN]);
}

const Mlp xlstm_ffn = {.norm = "norm_ffn",
                       .name = "ffn",
                       .activations = "swish|silu",
                       .width = ffn_width,
                       .parameters = ffn_parameters,
                       .forward = ffn_forward};
