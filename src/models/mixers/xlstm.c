/* The mLSTM blocks of xLSTM-7B (Beck et al. 2024, arXiv 2405.04517 and 2503.13427), as in transformers' xLSTM:
 *
 *   q, k, v, r = x Wq, x Wk, x Wv, x Wr
 *   i, f = c(x Wi + bi), c(x Wf + bf)                 c(x) = gate_soft_cap tanh(x / gate_soft_cap), one per head
 *   h = mLSTM's cell (mlstm.h)
 *   y = (sigmoid(r) * norm(h)) Wo                     norm: LayerNorm per head, without a bias
 *
 * The state of a head is K x V + K + 1 numbers. The MLP is down(silu(gate(x)) * up(x)), and the logits have a soft cap.
 * With `weight_mode: fused`, checkpoints hold Wq, Wk, Wv and Wr as one tensor, Wi and Wf as another, and gate and up as
 * a third. */
#include "models/mixers/mlstm.h"
#include "models/mixers/xlstm.h"

static const KeyAlias xlstm_aliases[] = {{"hidden_size", "embedding_dim"}, {"num_hidden_layers", "num_blocks"}};

/* With `weight_mode: fused`, Q_PROJ holds the weights of q, k, v and r, and I_PROJ those of i and f. */
enum { Q_PROJ, K_PROJ, V_PROJ, R_PROJ, I_PROJ, F_PROJ, PROJECTIONS, I_BIAS = PROJECTIONS, F_BIAS, NORM, OUT_PROJ };

static void add_gates(Layer *layer, const XlstmConfig *c) {
    const int64_t h = layer->model->hidden_size, heads = c->num_heads, both = 2 * heads;
    const Init zero = {INIT_CONSTANT, 0, 0}, formula = {INIT_FORMULA, 0, 0};
    if (c->fused) {
        layer_drawn_matrix(layer, I_PROJ, "ifgate_preact.weight", both, h, zero);
        layer_parameter(layer, I_BIAS, "ifgate_preact.bias", 1, &both, formula)->formula =
            mlstm_forget_bias(heads, -10, heads);
        return;
    }
    layer_drawn_matrix(layer, I_PROJ, "igate_preact.weight", heads, h, zero);
    layer_drawn_matrix(layer, F_PROJ, "fgate_preact.weight", heads, h, zero);
    layer_vector(layer, I_BIAS, "igate_preact.bias", heads, -10);
    layer_parameter(layer, F_BIAS, "fgate_preact.bias", 1, &heads, formula)->formula = mlstm_forget_bias(0, 0, heads);
}

static void xlstm_parameters(Layer *layer) {
    const XlstmConfig *c = layer->config;
    const int64_t h = layer->model->hidden_size;
    if (c->fused) {
        mlstm_matrix(layer, Q_PROJ, "qkv_opreact.weight", 2 * (c->key_size + c->value_size), h);
    } else {
        mlstm_matrix(layer, Q_PROJ, "q.weight", c->key_size, h);
        mlstm_matrix(layer, K_PROJ, "k.weight", c->key_size, h);
        mlstm_matrix(layer, V_PROJ, "v.weight", c->value_size, h);
        layer_drawn_matrix(layer, R_PROJ, "ogate_preact.weight", c->value_size, h, (Init){INIT_CONSTANT, 0, 0});
    }
    add_gates(layer, c);
    layer_vector(layer, NORM, "multihead_norm.weight", c->value_size, 1);
    mlstm_output_matrix(layer, OUT_PROJ, "out_proj.weight", h, c->value_size, c->value_size);
}

static void project(const XlstmConfig *c, Tape *tape, Tensor *x, Tensor *const w[], Tensor *y[PROJECTIONS]) {
    if (!c->fused) {
        linear_group(tape, x, &w[Q_PROJ], PROJECTIONS, y);
        return;
    }
    Tensor *stacked[2];
    linear_group(tape, x, (Tensor *[]){w[Q_PROJ], w[I_PROJ]}, 2, stacked);
    split(tape, stacked[0], (int64_t[]){c->key_size, c->key_size, c->value_size, c->value_size}, 4, &y[Q_PROJ]);
    split(tape, stacked[1], (int64_t[]){c->num_heads, c->num_heads}, 2, &y[I_PROJ]);
}

static Tensor *xlstm_forward(const Layer *layer, Tape *tape, Tensor *x) {
    const XlstmConfig *c = layer->config;
    Tensor *const *w = layer->weight;
    Tensor *y[PROJECTIONS];
    project(c, tape, x, w, y);
    const MlstmGates gates = {y[I_PROJ], w[I_BIAS], y[F_PROJ], w[F_BIAS], (float)c->gate_soft_cap};
    Tensor *h = mlstm_cell(tape, y[Q_PROJ], y[K_PROJ], y[V_PROJ], gates, (float)c->eps);
    h = layer_norm_unbiased(tape, h, w[NORM], 0, c->value_size / c->num_heads, (float)layer->model->norm_eps);
    return linear(tape, multiply(tape, activation(tape, y[R_PROJ], ACTIVATION_SIGMOID), h), w[OUT_PROJ]);
}

static const ModelLayout xlstm_layout = {.model = "backbone",
                                         .final_norm = "out_norm",
                                         .layers = "blocks",
                                         .mixer_norm = "norm_mlstm",
                                         .mixer = "mlstm_layer",
                                         .mlp = &xlstm_ffn,
                                         .trains_padding = true,
                                         .embeddings_init = mlstm_embeddings_init,
                                         .head_init = mlstm_embeddings_init};

static float xlstm_logit_cap(const void *config) { return (float)((const XlstmConfig *)config)->output_logit_soft_cap; }

const Mixer xlstm_mixer = {
    .model_type = "xlstm",
    .architecture = "xLSTMForCausalLM",
    .keys = xlstm_keys,
    .key_count = XLSTM_KEYS,
    .aliases = xlstm_aliases,
    .alias_count = LENGTH(xlstm_aliases),
    .config_size = sizeof(XlstmConfig),
    .model_defaults = "{bos_token_id: 0, pad_token_id: 1, use_cache: false}",
    .layout = &xlstm_layout,
    .complete = xlstm_complete,
    .logit_cap = xlstm_logit_cap,
    .parameters = xlstm_parameters,
    .forward = xlstm_forward,
};
