/* GateLoop (Katsch 2023, arXiv 2311.01927), with heads that have one channel each:
 *
 *   q, k, v = x Wqkv,  a = x Wa + b                   two columns of a per channel
 *   S_t = alpha_t S_{t-1} + k_t v_t                   per channel, S complex
 *   o_t = q_t Re S_t
 *   y = (o * silu(x Wg)) Wo
 *
 * With `transition: polar` alpha = sigmoid(a_0) e^(i a_1); with cartesian alpha = sigmoid(|c|) c / |c|, c = a_0 + i
 * a_1. The state is one complex number for each of dim_inner channels. */
#include <string.h>

#include "models/mixers/parts.h"

typedef struct GateLoopConfig {
    int64_t dim_inner, num_heads; /* -1: null */
    char *transition;
    double frac_gradient_state_transition;
} GateLoopConfig;

static const Key gateloop_keys[] = {
    KEY(GateLoopConfig, dim_inner, KEY_INTEGER | KEY_NULLABLE, "null", 1, 1 << 20, NULL,
        "channels (null: hidden_size)"),
    KEY(GateLoopConfig, num_heads, KEY_INTEGER | KEY_NULLABLE, "null", 1, 1 << 20, NULL,
        "heads; must be dim_inner or null"),
    KEY(GateLoopConfig, transition, KEY_CHOICE, "polar", 0, 0, "polar|cartesian",
        "what a channel's two columns of the state transition are: modulus and phase, or real and imaginary part"),
    KEY(GateLoopConfig, frac_gradient_state_transition, KEY_REAL, "1.0", 0, 1e3, NULL,
        "factor on the gradient of the state transitions"),
};

enum { QKV, GATES, TRANSITION, TRANSITION_BIAS, OUT };

static Status gateloop_complete(void *config, const ModelConfig *model) {
    GateLoopConfig *c = config;
    if (c->dim_inner < 0) c->dim_inner = model->hidden_size;
    if (c->num_heads >= 0 && c->num_heads != c->dim_inner)
        return refused("num_heads", "must be dim_inner or null: a head has one channel");
    c->num_heads = c->dim_inner;
    return OK;
}

static void gateloop_parameters(Layer *layer) {
    const GateLoopConfig *c = layer->config;
    const int64_t h = layer->model->hidden_size, inner = c->dim_inner;
    layer_matrix(layer, QKV, "to_qkv.weight", 3 * inner, h);
    layer_matrix(layer, GATES, "to_gates.weight", inner, h);
    layer_matrix(layer, TRANSITION, "to_a.weight", 2 * inner, h);
    layer_vector(layer, TRANSITION_BIAS, "to_a.bias", 2 * inner, 0);
    layer_matrix(layer, OUT, "to_out.weight", h, inner);
}

static Tensor *gateloop_forward(const Layer *layer, Tape *tape, Tensor *x) {
    const GateLoopConfig *c = layer->config;
    Tensor *const *w = layer->weight;
    const ComplexTransition transition = {.cartesian = strcmp(c->transition, "cartesian") == 0,
                                          .gradient_factor = (float)c->frac_gradient_state_transition};
    Tensor *y[3], *qkv[3];
    linear_group(tape, x, &w[QKV], 3, y);
    split(tape, y[0], (int64_t[]){c->dim_inner, c->dim_inner, c->dim_inner}, 3, qkv);
    Tensor *a = bias(tape, y[2], w[TRANSITION_BIAS]);
    Tensor *o = complex_scan(tape, qkv[0], qkv[1], qkv[2], a, transition, NULL, NULL);
    return linear(tape, swiglu(tape, y[1], o), w[OUT]);
}

const Mixer gateloop_mixer = {
    .model_type = "gateloop",
    .architecture = "GateLoopForCausalLM",
    .keys = gateloop_keys,
    .key_count = LENGTH(gateloop_keys),
    .config_size = sizeof(GateLoopConfig),
    .takes_attention = true,
    .complete = gateloop_complete,
    .parameters = gateloop_parameters,
    .forward = gateloop_forward,
};
