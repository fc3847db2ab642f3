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
/* (cell(x Wih + bih) with Whh, bhh) Wo. */
Tensor *rnn_forward(const Layer *layer, Tape *tape, Tensor *x,
                    Tensor *(*cell)(Tape *tape, Tensor *x, Tensor *hidden, Tensor *bias, Tensor *initial,
                                    Tensor **final));

#endif
