/* The mLSTM cell and its initial values, which xlstm and mlstm_block share. */
#ifndef FLAME_MODELS_MIXERS_MLSTM_H
#define FLAME_MODELS_MIXERS_MLSTM_H

#include "models/mixers/parts.h"

/* The input and forget gates before bias and cap [N, heads], their biases [1, heads], and the soft cap of their sum. As
 * in exponential_gates, forget_bias may be NULL; input_bias then holds both biases [1, 2*heads]. */
typedef struct MlstmGates {
    Tensor *input, *input_bias, *forget, *forget_bias;
    float cap;
} MlstmGates;

/* Computes for each head, where i and f are the input and forget gates:
 *
 *   C_t = sigmoid(f_t) C_{t-1} + e^i_t K^(-1/2) k_t v_t^T, n_t = sigmoid(f_t) n_{t-1} + e^i_t K^(-1/2) k_t
 *   h_t = q_t C_t / (max(|q_t . n_t|, 1) + eps e^m_t)
 *
 * m_t is the running maximum that keeps C and n from overflowing. q, k [N, heads*K], v [N, heads*V] -> [N, heads*V]. */
Tensor *mlstm_cell(Tape *tape, Tensor *q, Tensor *k, Tensor *v, MlstmGates gates, float eps);

/* Adds a matrix [rows, cols] with initial values from N(0, 2 / (5 hidden_size)). mlstm_output_matrix is for matrices
 * whose output is added to the residual stream, and draws from N(0, (2 / (num_hidden_layers sqrt(dim)))^2). */
void mlstm_matrix(Layer *layer, int index, const char *name, int64_t rows, int64_t cols);
void mlstm_output_matrix(Layer *layer, int index, const char *name, int64_t rows, int64_t cols, int64_t dim);
Init mlstm_embeddings_init(const ModelConfig *config);

/* Initial values of a bias: `input` numbers that are all `value` (the bias of the input gates; may be 0 numbers), then
 * `heads` numbers that rise evenly from 3 to 6 (the bias of the forget gates). */
Formula mlstm_forget_bias(int64_t input, double value, int64_t heads);
#endif
