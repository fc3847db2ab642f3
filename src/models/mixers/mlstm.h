/* The cell of mLSTM and the initial values that its two forms of block (xlstm, mlstm_block) share. */
#ifndef FLAME_MODELS_MIXERS_MLSTM_H
#define FLAME_MODELS_MIXERS_MLSTM_H

#include "models/mixers/parts.h"

/* Raw gates [N, heads] and their biases [1, heads], before the cap; a NULL forget_bias as in exponential_gates. */
typedef struct MlstmGates {
    Tensor *input, *input_bias, *forget, *forget_bias;
    float cap;
} MlstmGates;

/* Per head, with i, f the gates:
 *
 *   C_t = sigmoid(f_t) C_{t-1} + e^i_t K^(-1/2) k_t v_t^T, n_t = sigmoid(f_t) n_{t-1} + e^i_t K^(-1/2) k_t
 *   h_t = q_t C_t / (max(|q_t . n_t|, 1) + eps e^m_t)
 *
 * m_t: the running maximum that C and n are stabilised by. q, k [N, heads*K], v [N, heads*V] -> [N, heads*V]. */
Tensor *mlstm_cell(Tape *tape, Tensor *q, Tensor *k, Tensor *v, MlstmGates gates, float eps);

/* A matrix with initial values from N(0, 2 / (5 h)), and one that writes to the residual stream, from N(0, (2 / (layers
 * sqrt(dim)))^2). */
void mlstm_matrix(Layer *layer, int index, const char *name, int64_t rows, int64_t cols);
void mlstm_output_matrix(Layer *layer, int index, const char *name, int64_t rows, int64_t cols, int64_t dim);
Init mlstm_embeddings_init(const ModelConfig *config);

/* Element i of n numbers that go from 3 to 6: the initial bias of the forget gates. argument: n, and before it `input`
 * numbers of their own value. */
Formula mlstm_forget_bias(int64_t input, double value, int64_t heads);
#endif
