/* The parts that the recurrent networks lstm and gru share. */
#ifndef FLAME_MODELS_MIXERS_LSTM_H
#define FLAME_MODELS_MIXERS_LSTM_H

#include "models/mixers/parts.h"

typedef struct RnnConfig {
    int64_t rnn_hidden_size; /* -1: null */
} RnnConfig;

enum { RNN_KEYS = 1 };
extern const Key rnn_keys[RNN_KEYS];

Status rnn_complete(void *config, const ModelConfig *model);
/* Adds o_proj and the parameters of torch.nn.LSTM (4 gates) or torch.nn.GRU (3 gates), with torch's names and initial
 * values. */
void rnn_parameters(Layer *layer, int64_t gates);
/* The output of the mixer, cell(x Wih + bih) Wo: [N, hidden_size] -> [N, hidden_size]. `cell` gets Whh and bhh as
 * `hidden` and `bias`. */
Tensor *rnn_forward(const Layer *layer, Tape *tape, Tensor *x,
                    Tensor *(*cell)(Tape *tape, Tensor *x, Tensor *hidden, Tensor *bias, Tensor *initial,
                                    Tensor **final));

#endif
