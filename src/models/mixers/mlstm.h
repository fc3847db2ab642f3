/* The mLSTM cell, and initial values, for the two models that have it (xlstm, mlstm_block). */
#ifndef FLAME_MODELS_MIXERS_MLSTM_H
#define FLAME_MODELS_MIXERS_MLSTM_H

#include "models/mixers/parts.h"

/* The gates before the cap, [N, heads], and their biases, [1, heads]. As in exponential_gates, forget_bias may be NULL:
 * input_bias then holds both biases, [1, 2*heads]. */
typedef struct MlstmGates {
    Tensor *input, *input_bias, *forget, *forget_bias;
    float cap;
} MlstmGates;

/* Per head, with i, f the gates:
 *
 *   C_t = sigmoid(f_t) C_{t-1} + e^i_t K^(-1/2) k_t v_t^T, n_t = sigmoid(f_t) n_{t-1} + e^i_t K^(-1/2) k_t
 *   h_t = q_t C_t / (max(|q_t . n_t|, 1) + eps e^m_t)
 *
 * where m_t is the running maximum that stabilises C and n. q, k [N, heads*K], v [N, heads*V] -> [N, heads*V]. */
Tensor *mlstm_cell(Tape *tape, Tensor *q, Tensor *k, Tensor *v, MlstmGates gates, float eps);

/* Adds a matrix with initial values from N(0, 2 / (5 h)) or, if it writes to the residual stream (mlstm_output_matrix),
 * from N(0, (2 / (layers sqrt(dim)))^2). */
void mlstm_matrix(Layer *layer, int index, const char *name, int64_t rows, int64_t cols);
void mlstm_output_matrix(Layer *layer, int index, const char *name, int64_t rows, int64_t cols, int64_t dim);
Init mlstm_embeddings_init(const ModelConfig *config);

/* The initial bias of the forget gates: `heads` numbers that rise evenly from 3 to 6. They follow `input` numbers that
 * are all `value`. */
Formula mlstm_forget_bias(int64_t input, double value, int64_t heads);
#endif
