/* xLSTM-7B's blocks of mLSTM (Beck et al. 2024, arXiv 2405.04517 and 2503.13427), as in transformers' xLSTM:
 *
 *   q, k, v, r = x Wq, x Wk, x Wv, x Wr
 *   i, f = c(x Wi + bi), c(x Wf + bf)                 c(x) = gate_soft_cap tanh(x / gate_soft_cap), one per head
 *   h = mLSTM's cell (mlstm.h)
 *   y = (sigmoid(r) * norm(h)) Wo                     norm: LayerNorm per head, without a bias
 *
 * State per head K x V + K + 1. The MLP is down(silu(gate(x)) * up(x)), the logits have a soft cap. With weight_mode
 * fused Wq, Wk, Wv and Wr are one tensor of a checkpoint, and so are Wi and Wf, and gate and up. */
#include <math.h>
#include <string.h>

#include "models/mixers/mlstm.h"

typedef struct XlstmConfig {
    int64_t num_heads, ffn_round_up_to_multiple_of, chunk_size, max_inference_chunksize;
    double qk_dim_factor, v_dim_factor, ffn_proj_factor, gate_soft_cap, output_logit_soft_cap, eps;
    bool use_bias, norm_reduction_force_float32, add_out_norm, return_last_states;
    char *weight_mode, *mode, *chunkwise_kernel, *sequence_kernel, *step_kernel, *autocast_kernel_dtype,
        *inference_state_dtype;
    bool fused;
    int64_t key_size, value_size, ffn_size; /* widths */
} XlstmConfig;

#define DTYPES "float32|bfloat16|float16"
static const Key xlstm_keys[] = {
    KEY(XlstmConfig, num_heads, KEY_INTEGER, "8", 1, 2048, NULL, "heads"),
    KEY(XlstmConfig, qk_dim_factor, KEY_REAL, "0.5", 1e-6, 64, NULL, "key width / hidden_size"),
    KEY(XlstmConfig, v_dim_factor, KEY_REAL, "1.0", 1e-6, 64, NULL, "value width / hidden_size"),
    KEY(XlstmConfig, ffn_proj_factor, KEY_REAL, "2.667", 1e-6, 64, NULL, "MLP width / hidden_size"),
    KEY(XlstmConfig, ffn_round_up_to_multiple_of, KEY_INTEGER, "64", 1, 1 << 16, NULL, "rounding of the MLP's width"),
    KEY(XlstmConfig, gate_soft_cap, KEY_REAL, "15.0", 1e-3, 1e6, NULL, "soft cap of the gates"),
    KEY(XlstmConfig, output_logit_soft_cap, KEY_REAL, "30.0", 1e-3, 1e6, NULL, "soft cap of the logits"),
    KEY(XlstmConfig, eps, KEY_REAL, "1e-06", 0, 1, NULL, "added to the cell's divisor"),
    KEY(XlstmConfig, weight_mode, KEY_CHOICE, "single", 0, 0, "single|fused", "whether projections are stacked"),
    KEY(XlstmConfig, use_bias, KEY_BOOLEAN, "false", 0, 0, NULL, "biases of projections (only false is supported)"),
    KEY(XlstmConfig, add_out_norm, KEY_BOOLEAN | KEY_INERT, "true", 0, 0, NULL,
        "without effect: the last norm is always there"),
    KEY(XlstmConfig, norm_reduction_force_float32, KEY_BOOLEAN | KEY_INERT, "true", 0, 0, NULL,
        "without effect: norms sum in fp32"),
    KEY(XlstmConfig, chunk_size, KEY_INTEGER | KEY_INERT, "1048576", 1, 1 << 30, NULL,
        "for Hugging Face, whose own code runs sequences below it"),
    KEY(XlstmConfig, mode, KEY_CHOICE | KEY_INERT, "inference", 0, 0, "inference|train|train_with_padding",
        "transformers' kernel choice, as the next ones"),
    KEY(XlstmConfig, chunkwise_kernel, KEY_STRING | KEY_INERT, "chunkwise--native_autograd", 0, 0, NULL,
        "without effect"),
    KEY(XlstmConfig, sequence_kernel, KEY_STRING | KEY_INERT, "native_sequence__native", 0, 0, NULL, "without effect"),
    KEY(XlstmConfig, step_kernel, KEY_STRING | KEY_INERT, "native", 0, 0, NULL, "without effect"),
    KEY(XlstmConfig, autocast_kernel_dtype, KEY_CHOICE | KEY_INERT, "bfloat16", 0, 0, DTYPES, "without effect"),
    KEY(XlstmConfig, inference_state_dtype, KEY_CHOICE | KEY_INERT, "float32", 0, 0, DTYPES, "without effect"),
    KEY(XlstmConfig, return_last_states, KEY_BOOLEAN | KEY_INERT, "true", 0, 0, NULL, "for Hugging Face's generation"),
    KEY(XlstmConfig, max_inference_chunksize, KEY_INTEGER | KEY_INERT, "16384", 1, 1 << 30, NULL,
        "for Hugging Face's generation"),
};

static const KeyAlias xlstm_aliases[] = {{"hidden_size", "embedding_dim"}, {"num_hidden_layers", "num_blocks"}};

/* q, k, v, r, i, f, each as one product; stacked: Q_PROJ and I_PROJ. */
enum { Q_PROJ, K_PROJ, V_PROJ, R_PROJ, I_PROJ, F_PROJ, PROJECTIONS, I_BIAS = PROJECTIONS, F_BIAS, NORM, OUT_PROJ };

static Status xlstm_complete(void *config, const ModelConfig *model) {
    XlstmConfig *c = config;
    const double h = (double)model->hidden_size, multiple = (double)c->ffn_round_up_to_multiple_of;
    c->key_size = (int64_t)(h * c->qk_dim_factor);
    c->value_size = (int64_t)(h * c->v_dim_factor);
    c->ffn_size = (int64_t)multiple * (int64_t)floor((h * c->ffn_proj_factor + multiple - 1) / multiple);
    c->fused = strcmp(c->weight_mode, "fused") == 0;
    if (c->use_bias) return refused("use_bias", "true is not supported");
    if (c->key_size % c->num_heads != 0 || c->key_size == 0)
        return refused("num_heads", "does not divide hidden_size * qk_dim_factor");
    if (c->value_size % c->num_heads != 0 || c->value_size == 0)
        return refused("num_heads", "does not divide hidden_size * v_dim_factor");
    return OK;
}

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

enum { UP_GATE, UP, DOWN };

static int64_t ffn_width(const ModelConfig *config) { return ((const XlstmConfig *)config->mixer_config)->ffn_size; }

static void ffn_parameters(Layer *layer) {
    const XlstmConfig *c = layer->config;
    const int64_t h = layer->model->hidden_size;
    if (c->fused) {
        mlstm_matrix(layer, UP_GATE, "proj_up_gate_z.weight", 2 * c->ffn_size, h);
    } else {
        mlstm_matrix(layer, UP_GATE, "proj_up_gate.weight", c->ffn_size, h);
        mlstm_matrix(layer, UP, "proj_up.weight", c->ffn_size, h);
    }
    mlstm_output_matrix(layer, DOWN, "proj_down.weight", h, c->ffn_size, c->ffn_size);
}

static Tensor *ffn_forward(const Layer *layer, Tape *tape, Tensor *x) {
    const XlstmConfig *c = layer->config;
    Tensor *const *w = layer->mlp, *y[2];
    if (c->fused)
        split(tape, linear(tape, x, w[UP_GATE]), (int64_t[]){c->ffn_size, c->ffn_size}, 2, y);
    else
        linear_group(tape, x, &w[UP_GATE], 2, y);
    return linear(tape, swiglu(tape, y[0], y[1]), w[DOWN]);
}

static const Mlp xlstm_ffn = {.norm = "norm_ffn",
                              .name = "ffn",
                              .activations = "swish|silu",
                              .width = ffn_width,
                              .parameters = ffn_parameters,
                              .forward = ffn_forward};

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
    .key_count = LENGTH(xlstm_keys),
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
