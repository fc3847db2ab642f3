/* The MLP of most models, fla's GatedMLP: y = (silu(x Wg) * (x Wu)) Wd. */
#include <math.h>

#include "kernels/ops.h"
#include "models/model.h"

enum { GATE_PROJ, UP_PROJ, DOWN_PROJ };

/* intermediate_size if it sets the MLP's width, else int(hidden_size * hidden_ratio * 2 / 3) rounded up to a multiple
 * of 256. */
static int64_t gated_mlp_width(const ModelConfig *c) {
    if (c->intermediate_size > 0 && !c->mixer->inner_size) return c->intermediate_size;
    const double ratio = isnan(c->hidden_ratio) ? 4 : c->hidden_ratio;
    const int64_t width = (int64_t)((double)c->hidden_size * ratio * 2 / 3);
    return (width + 255) / 256 * 256;
}

static void gated_mlp_parameters(Layer *layer) {
    const int64_t h = layer->model->hidden_size, width = gated_mlp_width(layer->model);
    layer_matrix(layer, GATE_PROJ, "gate_proj.weight", width, h);
    layer_matrix(layer, UP_PROJ, "up_proj.weight", width, h);
    layer_matrix(layer, DOWN_PROJ, "down_proj.weight", h, width);
}

static Tensor *gated_mlp_forward(const Layer *layer, Tape *tape, Tensor *x) {
    Tensor *y[2];
    linear_group(tape, x, &layer->mlp[GATE_PROJ], 2, y);
    return linear(tape, swiglu(tape, y[0], y[1]), layer->mlp[DOWN_PROJ]);
}

const Mlp gated_mlp = {
    .norm = "mlp_norm",
    .name = "mlp",
    .activations = "swish|silu",
    .width = gated_mlp_width,
    .parameters = gated_mlp_parameters,
    .forward = gated_mlp_forward,
};
