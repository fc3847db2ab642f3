/* The block of the small xLSTM[1:0] (Beck et al. 2024, arXiv 2405.04517), as NX-AI's mLSTMBlock:
 *
 *   u, z = x Wup                                      each has the width proj_factor h
 *   c = silu(conv(u) + b)
 *   q, k, v = c Wq, c Wk, u Wv                        block-diagonal matrices, blocks of qkv_proj_blocksize
 *   i, f = [q k v] Wi + bi, [q k v] Wf + bf           one per head
 *   h = mLSTM's cell (mlstm.h)
 *   y = ((norm(h) + skip * c) * silu(z)) Wdown        norm: LayerNorm per head
 *
 * There is no MLP. Norms have no bias, and checkpoints hold their weight minus 1. The state is K x V + K + 1 numbers
 * for each head, and the last conv1d_kernel_size - 1 rows of u. */
#include <math.h>

#include "models/mixers/mlstm.h"

typedef struct MlstmBlockConfig {
    int64_t num_heads, conv1d_kernel_size, qkv_proj_blocksize, round_proj_up_to_multiple_of;
    double proj_factor;
    int64_t inner; /* width of u */
} MlstmBlockConfig;

#define FIXED(name, value, doc)                                                                                        \
    { name, KEY_FIXED, value, 0, 0, NULL, doc, 0 }
static const Key mlstm_block_keys[] = {
    KEY(MlstmBlockConfig, num_heads, KEY_INTEGER, "4", 1, 2048, NULL, "heads"),
    KEY(MlstmBlockConfig, conv1d_kernel_size, KEY_INTEGER, "4", 1, 64, NULL, "width of the short convolution"),
    KEY(MlstmBlockConfig, qkv_proj_blocksize, KEY_INTEGER, "4", 1, 16, NULL,
        "columns of a diagonal block of the q, k and v projections: 1, 2, 4, 8 or 16"),
    KEY(MlstmBlockConfig, proj_factor, KEY_REAL, "2.0", 1e-6, 64, NULL, "inner width / hidden_size"),
    KEY(MlstmBlockConfig, round_proj_up_to_multiple_of, KEY_INTEGER, "64", 1, 1 << 16, NULL, "its rounding"),
    FIXED("round_proj_up_dim_up", "true", "the inner width is rounded up"),
    FIXED("bias", "false", "projections have no biases"),
    FIXED("dropout", "0", "there is no dropout"),
    FIXED("add_post_blocks_norm", "true", "the last block is followed by a norm"),
    FIXED("slstm_at", "[]", "all blocks are mLSTM blocks"),
};

static const KeyAlias mlstm_block_aliases[] = {{"hidden_size", "embedding_dim"},
                                               {"num_hidden_layers", "num_blocks"},
                                               {"tie_word_embeddings", "tie_weights"},
                                               {"max_position_embeddings", "context_length"}};

enum { UP, CONV, CONV_BIAS, Q_PROJ, K_PROJ, V_PROJ, I_PROJ, F_PROJ, I_BIAS, F_BIAS, NORM, SKIP, DOWN };

static Status mlstm_block_complete(void *config, const ModelConfig *model) {
    MlstmBlockConfig *c = config;
    const double multiple = (double)c->round_proj_up_to_multiple_of;
    c->inner = (int64_t)(multiple * ceil((double)model->hidden_size * c->proj_factor / multiple));
    if (16 % c->qkv_proj_blocksize != 0) return refused("qkv_proj_blocksize", "is not 1, 2, 4, 8 or 16");
    if (c->inner % c->qkv_proj_blocksize != 0) return refused("qkv_proj_blocksize", "does not divide the inner width");
    if (c->inner % c->num_heads != 0) return refused("num_heads", "does not divide the inner width");
    return OK;
}

static void add_block_diagonal(Layer *layer, int index, const char *name) {
    const MlstmBlockConfig *c = layer->config;
    const int64_t n = c->qkv_proj_blocksize, shape[] = {c->inner / n, n, n};
    layer_parameter(layer, index, name, 3, shape, mlstm_embeddings_init(layer->model));
}

static void mlstm_block_parameters(Layer *layer) {
    const MlstmBlockConfig *c = layer->config;
    const int64_t h = layer->model->hidden_size, inner = c->inner, heads = c->num_heads, width = c->conv1d_kernel_size;
    const double bound = 1 / sqrt((double)width);
    const Init zero = {INIT_CONSTANT, 0, 0}, conv = {INIT_UNIFORM, -bound, bound}; /* as torch's convolutions */
    mlstm_matrix(layer, UP, "proj_up.weight", 2 * inner, h);
    layer_parameter(layer, CONV, "conv1d.conv.weight", 3, (int64_t[]){inner, 1, width}, conv);
    layer_drawn_vector(layer, CONV_BIAS, "conv1d.conv.bias", inner, conv);
    add_block_diagonal(layer, Q_PROJ, "q_proj.weight");
    add_block_diagonal(layer, K_PROJ, "k_proj.weight");
    add_block_diagonal(layer, V_PROJ, "v_proj.weight");
    layer_drawn_matrix(layer, I_PROJ, "mlstm_cell.igate.weight", heads, 3 * inner, zero);
    layer_drawn_matrix(layer, F_PROJ, "mlstm_cell.fgate.weight", heads, 3 * inner, zero);
    layer_drawn_vector(layer, I_BIAS, "mlstm_cell.igate.bias", heads, (Init){INIT_NORMAL, 0, 0.1});
    layer_parameter(layer, F_BIAS, "mlstm_cell.fgate.bias", 1, &heads, (Init){INIT_FORMULA, 0, 0})->formula =
        mlstm_forget_bias(0, 0, heads);
    layer_vector(layer, NORM, "mlstm_cell.outnorm.weight", inner, 0);
    layer_vector(layer, SKIP, "learnable_skip", inner, 1);
    mlstm_output_matrix(layer, DOWN, "proj_down.weight", h, inner, h);
}

static Tensor *mlstm_block_forward(const Layer *layer, Tape *tape, Tensor *x) {
    const MlstmBlockConfig *c = layer->config;
    Tensor *const *w = layer->weight, *up[2], *qkv[3], *gate[2];
    split(tape, linear(tape, x, w[UP]), (int64_t[]){c->inner, c->inner}, 2, up);
    Tensor *u = short_convolution(tape, up[0], w[CONV], w[CONV_BIAS], true);
    linear_blocks(tape, u, &w[Q_PROJ], 2, &qkv[0]);
    linear_blocks(tape, up[0], &w[V_PROJ], 1, &qkv[2]);
    linear_concatenated(tape, qkv, 3, &w[I_PROJ], 2, gate);
    const MlstmGates gates = {gate[0], w[I_BIAS], gate[1], w[F_BIAS], 0};
    Tensor *y = mlstm_cell(tape, qkv[0], qkv[1], qkv[2], gates, 1e-6f); /* NX-AI's code fixes this eps */
    y = layer_norm_unbiased(tape, y, w[NORM], 1, c->inner / c->num_heads, (float)layer->model->norm_eps);
    return linear(tape, gated_skip(tape, y, u, w[SKIP], up[1]), w[DOWN]);
}

static const ModelLayout mlstm_block_layout = {.model = "xlstm_block_stack",
                                               .final_norm = "post_blocks_norm",
                                               .layers = "blocks",
                                               .mixer_norm = "xlstm_norm",
                                               .mixer = "xlstm",
                                               .embeddings = "token_embedding",
                                               .residual_norms = true,
                                               .trains_padding = true,
                                               .embeddings_init = mlstm_embeddings_init,
                                               .head_init = mlstm_embeddings_init};

const Mixer mlstm_block_mixer = {
    .model_type = "mlstm_block",
    .architecture = "xLSTMLMModel",
    .keys = mlstm_block_keys,
    .key_count = LENGTH(mlstm_block_keys),
    .aliases = mlstm_block_aliases,
    .alias_count = LENGTH(mlstm_block_aliases),
    .config_size = sizeof(MlstmBlockConfig),
    .model_defaults = "{norm_eps: 1.0e-5}",
    .layout = &mlstm_block_layout,
    .complete = mlstm_block_complete,
    .parameters = mlstm_block_parameters,
    .forward = mlstm_block_forward,
};
