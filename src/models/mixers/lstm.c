/* Long short-term memory (Hochreiter & Schmidhuber 1997), as torch.nn.LSTM:
 *
 *   i, f, g, o = x Wih + bih + h_{t-1} Whh + bhh
 *   c_t = sigmoid(f) c_{t-1} + sigmoid(i) tanh(g),  h_t = sigmoid(o) tanh(c_t)
 *   y = h Wo
 *
 * The state is h and c, rnn_hidden_size numbers each. The tokens of a sequence are computed one after another, because
 * each needs h_{t-1} Whh. */
#include "models/mixers/lstm.h"

#include <math.h>

const Key rnn_keys[RNN_KEYS] = {
    KEY(RnnConfig, rnn_hidden_size, KEY_INTEGER | KEY_NULLABLE, "null", 1, 1 << 20, NULL,
        "width of the state (null: hidden_size)"),
};

enum { WEIGHT_IH, WEIGHT_HH, O_PROJ, BIAS_IH, BIAS_HH };

Status rnn_complete(void *config, const ModelConfig *model) {
    RnnConfig *c = config;
    if (c->rnn_hidden_size < 0) c->rnn_hidden_size = model->hidden_size;
    return OK;
}

void rnn_parameters(Layer *layer, int64_t gates) {
    const int64_t h = layer->model->hidden_size, D = ((const RnnConfig *)layer->config)->rnn_hidden_size;
    const double bound = 1 / sqrt((double)D);
    const Init init = {INIT_UNIFORM, -bound, bound};
    layer_drawn_matrix(layer, WEIGHT_IH, "weight_ih", gates * D, h, init);
    layer_drawn_matrix(layer, WEIGHT_HH, "weight_hh", gates * D, D, init);
    layer_drawn_vector(layer, BIAS_IH, "bias_ih", gates * D, init);
    layer_drawn_vector(layer, BIAS_HH, "bias_hh", gates * D, init);
    layer_matrix(layer, O_PROJ, "o_proj.weight", h, D);
}

Tensor *rnn_forward(const Layer *layer, Tape *tape, Tensor *x,
                    Tensor *(*cell)(Tape *tape, Tensor *x, Tensor *hidden, Tensor *bias, Tensor *initial,
                                    Tensor **final)) {
    Tensor *const *w = layer->weight;
    x = bias(tape, linear(tape, x, w[WEIGHT_IH]), w[BIAS_IH]);
    return linear(tape, cell(tape, x, w[WEIGHT_HH], w[BIAS_HH], NULL, NULL), w[O_PROJ]);
}

static void lstm_parameters(Layer *layer) { rnn_parameters(layer, 4); }

static Tensor *lstm_forward(const Layer *layer, Tape *tape, Tensor *x) { return rnn_forward(layer, tape, x, lstm); }

const Mixer lstm_mixer = {
    .model_type = "lstm",
    .architecture = "LSTMForCausalLM",
    .keys = rnn_keys,
    .key_count = RNN_KEYS,
    .config_size = sizeof(RnnConfig),
    .takes_attention = true,
    .complete = rnn_complete,
    .parameters = lstm_parameters,
    .forward = lstm_forward,
};
