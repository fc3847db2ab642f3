#include "models/mixers/mlstm.h"

#include <math.h>

Tensor *mlstm_cell(Tape *tape, Tensor *q, Tensor *k, Tensor *v, MlstmGates gates, float eps) {
    Tensor *m;
    const int64_t heads = gates.input->cols, K = q->cols / heads;
    ChunkSimpleGlaGates stable = {0};
    const ChunkSimpleGlaShape shape = {
        .heads = heads, .key_size = K, .value_size = v->cols / heads, .scale = 1 / sqrtf((float)K)};
    stable.log_decay = exponential_gates(tape, gates.input, gates.input_bias, gates.forget, gates.forget_bias,
                                         gates.cap, &stable.log_scale, &m);
    Tensor *o = chunk_simple_gla(tape, q, k, v, stable, shape, NULL, NULL);
    Tensor *z = chunk_normaliser(tape, q, k, stable.log_decay, stable.log_scale, heads, shape.scale, NULL, NULL);
    return normalise(tape, o, z, m, eps);
}

Init mlstm_embeddings_init(const ModelConfig *config) {
    return (Init){INIT_NORMAL, 0, sqrt(2 / (5 * (double)config->hidden_size))};
}

void mlstm_matrix(Layer *layer, int index, const char *name, int64_t rows, int64_t cols) {
    layer_drawn_matrix(layer, index, name, rows, cols, mlstm_embeddings_init(layer->model));
}

void mlstm_output_matrix(Layer *layer, int index, const char *name, int64_t rows, int64_t cols, int64_t dim) {
    const double deviation = 2 / ((double)layer->model->num_hidden_layers * sqrt((double)dim));
    layer_drawn_matrix(layer, index, name, rows, cols, (Init){INIT_NORMAL, 0, deviation});
}

static double forget_bias(int64_t i, const double argument[3]) {
    const double input = argument[0], heads = argument[2], n = (double)i - input;
    return n < 0 ? argument[1] : heads > 1 ? 3 + 3 * n / (heads - 1) : 3;
}

Formula mlstm_forget_bias(int64_t input, double value, int64_t heads) {
    return (Formula){forget_bias, {(double)input, value, (double)heads}};
}
