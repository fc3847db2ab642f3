/* The parts that RWKV-6 and RWKV-7 share. */
#ifndef FLAME_MODELS_MIXERS_RWKV_H
#define FLAME_MODELS_MIXERS_RWKV_H

#include "models/mixers/parts.h"

/* The formula 1 - (i / h)^e of the initial values of RWKV-7's token mixes. `argument` holds h and e. */
double rwkv_rising(int64_t i, const double argument[3]);

/* The initial values of the second matrix of a low-rank projection. */
Init lora_init(int64_t rank, int64_t cols);
/* Adds the three weights of a low-rank projection f(x W0^T) W2^T + b, from `index` on, in the order of the enum:
 * "<name>.lora.0.weight" [rank, h], "<name>.lora.2.weight" [cols, rank], "<name>.lora.2.bias" [cols]. Returns the bias,
 * whose initial values are 0, for the caller to set other ones. */
enum { LORA_DOWN, LORA_UP, LORA_BIAS, LORA_WEIGHTS };
Parameter *lora_parameters(Layer *layer, int index, const char *name, int64_t rank, int64_t cols);
/* The second half of the projection, low W2^T + b, where `low` is f(x W0^T): [N, rank] -> [N, cols]. */
Tensor *lora_up(Tape *tape, Tensor *low, Tensor *const weight[LORA_WEIGHTS]);

/* RWKV's MLPs. x' is the row of x of the token before:
 *   RWKV-6: y = sigmoid((x + (x' - x) mu_r) Wr) * relu((x + (x' - x) mu_k) Wk)^2 Wv
 *   RWKV-7: y = relu((x + (x' - x) x_k) Wk)^2 Wv */
extern const Mlp rwkv6_channel_mix, rwkv7_channel_mix;

#endif
