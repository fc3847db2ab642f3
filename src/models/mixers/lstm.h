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
/* Adds the parameters of torch.nn.LSTM or GRU, with their names and initial values, for `gates` gates, and o_proj. */
void rnn_parameters(Layer *layer, int64_t gates);
/* The output of the mixer: cell(x Wih + bih) Wo, where Whh and bhh are the cell's hidden weights and bias. */
Tensor *rnn_forward(const Layer *layer, Tape *tape, Tensor *x,
                    Tensor *(*cell)(Tape *tape, Tensor *x, Tensor *hidden, Tensor *bias, Tensor *initial,
                                    Tensor **final));

#endif
