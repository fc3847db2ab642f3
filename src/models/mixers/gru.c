/* The gated recurrent unit (Cho et al. 2014, arXiv 1406.1078), as torch.nn.GRU, which applies the reset gate r after
 * the product:
 *
 *   a = x Wih + bih,  b = h_{t-1} Whh + bhh
 *   r, z = sigmoid(a_r + b_r), sigmoid(a_z + b_z),  n = tanh(a_n + r b_n)
 *   h_t = (1 - z) n + z h_{t-1}
 *   y = h Wo
 *
 * The state is h, rnn_hidden_size numbers. As in lstm.c, the tokens of a sequence are computed one after another. */
#include "models/mixers/lstm.h"

static void gru_parameters(Layer *layer) { rnn_parameters(layer, 3); }

static Tensor *gru_forward(const Layer *layer, Tape *tape, Tensor *x) { return rnn_forward(layer, tape, x, gru); }

const Mixer gru_mixer = {
    .model_type = "gru",
    .architecture = "GRUForCausalLM",
    .keys = rnn_keys,
    .key_count = RNN_KEYS,
    .config_size = sizeof(RnnConfig),
    .takes_attention = true,
    .complete = rnn_complete,
    .parameters = gru_parameters,
    .forward = gru_forward,
};
