/* RWKV-6, Finch (Peng et al. 2024, arXiv 2404.05892), as in fla's RWKV6Attention; x' is the row of x of the
 * token before:
 *
 *   m = tanh((x + (x' - x) mu) W0) split in five parts, each times its part of W1
 *   x_i = x + (x' - x) (m_i + b_i)                    for i = r, w, k, v, g
 *   r, k, v, g = x_r Wr, x_k Wk, x_v Wv, x_g Wg
 *   a = -e^(tanh(x_w W2) W3 + b)                      log decay, one per key channel
 *   o_t = r_t (S_{t-1} + diag(u) k_t v_t^T)           per head, S [K, V]
 *   S_t = diag(e^a_t) S_{t-1} + k_t v_t^T
 *   y = (norm(o) * silu(g)) Wo                        norm: LayerNorm per head
 *
 * In chunk_gla, the state that a token reads already includes the token's own key and value. So chunk_gla gets the
 * keys, values and decays shifted by one token, which makes its state at t the S_{t-1} of the equations. The state of
 * the mixer is K x V numbers for each head, and the last x. */
#include <math.h>

#include "base/log.h"
#include "models/mixers/rwkv.h"

typedef struct Rwkv6Config {
    double expand_k, expand_v;
    int64_t num_heads, proj_low_rank_dim, gate_low_rank_dim;
    char *attn_mode;
    HeadSizes heads;
} Rwkv6Config;

static const Key rwkv6_keys[] = {
    KEY(Rwkv6Config, num_heads, KEY_INTEGER, "4", 1, 4096, NULL, "heads"),
    KEY(Rwkv6Config, expand_k, KEY_REAL, "0.5", 1e-6, 64, NULL, "key width / hidden_size"),
    KEY(Rwkv6Config, expand_v, KEY_REAL, "1.0", 1e-6, 64, NULL, "value width / hidden_size"),
    KEY(Rwkv6Config, proj_low_rank_dim, KEY_INTEGER, "32", 1, 1 << 16, NULL,
        "rank of the projection of each token mix"),
    KEY(Rwkv6Config, gate_low_rank_dim, KEY_INTEGER, "64", 1, 1 << 16, NULL, "rank of the projection to the decay"),
    KEY(Rwkv6Config, attn_mode, KEY_CHOICE | KEY_INERT, "chunk", 0, 0, "chunk|fused_recurrent",
        "fla's kernel choice; the result is the same"),
};

enum { MIXES = 5, LARGEST_HEAD = 8192 /* current_token has no wider heads */ };
enum {
    MU,
    MIX_DOWN,
    MIX_UP,
    MIX_BIAS,
    W_LORA,
    R_PROJ = W_LORA + LORA_WEIGHTS,
    K_PROJ,
    V_PROJ,
    G_PROJ,
    BONUS,
    G_NORM,
    G_NORM_BIAS,
    O_PROJ
};

static Status rwkv6_complete(void *config, const ModelConfig *model) {
    Rwkv6Config *c = config;
    const Status status = heads_complete(&c->heads, model, c->num_heads, NULL, c->expand_k, c->expand_v);
    if (status != OK) return status;
    if (c->heads.key_size / c->num_heads > LARGEST_HEAD || c->heads.value_size / c->num_heads > LARGEST_HEAD) {
        log_error(
            "model: key width %lld (hidden_size * expand_k) and value width %lld (hidden_size * expand_v) must be at "
            "most %d for each of num_heads %lld",
            (long long)c->heads.key_size, (long long)c->heads.value_size, LARGEST_HEAD, (long long)c->num_heads);
        return BAD_INPUT;
    }
    return OK;
}

/* torch's xavier_uniform_ with the gain 2^-2.5. */
static void xavier_matrix(Layer *layer, int index, const char *name, int64_t rows, int64_t cols) {
    const double bound = pow(2, -2.5) * sqrt(6.0 / (double)(rows + cols));
    layer_drawn_matrix(layer, index, name, rows, cols, (Init){INIT_UNIFORM, -bound, bound});
}

static void rwkv6_parameters(Layer *layer) {
    const Rwkv6Config *c = layer->config;
    const int64_t h = layer->model->hidden_size, keys = c->heads.key_size, values = c->heads.value_size;
    const int64_t ranks = MIXES * c->proj_low_rank_dim, bonus[] = {c->heads.count, keys / c->heads.count};
    layer_vector(layer, MU, "x_proj.0.mu", h, 0);
    xavier_matrix(layer, MIX_DOWN, "x_proj.0.linear.weight", ranks, h);
    xavier_matrix(layer, MIX_UP, "x_proj.2.weight", h, ranks);
    layer_drawn_matrix(layer, MIX_BIAS, "x_bias", MIXES, h, (Init){INIT_CONSTANT, 0, 0});
    xavier_matrix(layer, R_PROJ, "r_proj.linear.weight", keys, h);
    lora_parameters(layer, W_LORA, "w_proj.linear", c->gate_low_rank_dim, keys);
    xavier_matrix(layer, K_PROJ, "k_proj.linear.weight", keys, h);
    xavier_matrix(layer, V_PROJ, "v_proj.linear.weight", values, h);
    xavier_matrix(layer, G_PROJ, "g_proj.linear.weight", values, h);
    layer_drawn_matrix(layer, BONUS, "bonus", bonus[0], bonus[1], (Init){INIT_CONSTANT, 0, 0});
    layer_vector(layer, G_NORM, "g_norm.weight", values, 1);
    layer_vector(layer, G_NORM_BIAS, "g_norm.bias", values, 0);
    xavier_matrix(layer, O_PROJ, "o_proj.weight", h, values);
}

static Tensor *rwkv6_forward(const Layer *layer, Tape *tape, Tensor *x) {
    const Rwkv6Config *c = layer->config;
    Tensor *const *w = layer->weight;
    Tensor *mixed, *mix[MIXES], *in[MIXES];
    token_mix(tape, x, &w[MU], NULL, 1, &mixed);
    linear_parts(tape, activation(tape, linear(tape, mixed, w[MIX_DOWN]), ACTIVATION_TANH), w[MIX_UP], MIXES, mix);
    token_mix(tape, x, mix, w[MIX_BIAS], MIXES, in);
    Tensor *r = linear(tape, in[0], w[R_PROJ]), *k = linear(tape, in[2], w[K_PROJ]);
    Tensor *v = linear(tape, in[3], w[V_PROJ]), *gate = linear(tape, in[4], w[G_PROJ]);
    Tensor *low = activation(tape, linear(tape, in[1], w[W_LORA + LORA_DOWN]), ACTIVATION_TANH);
    Tensor *decay = exponential_decay(tape, lora_up(tape, low, &w[W_LORA]));
    const ChunkGlaShape shape = {c->heads.count, c->heads.count, 1};
    Tensor *o =
        chunk_gla(tape, r, token_shift(tape, k), token_shift(tape, v), token_shift(tape, decay), shape, NULL, NULL);
    o = current_token(tape, o, r, k, v, w[BONUS], c->heads.count);
    const float eps = (float)layer->model->norm_eps;
    o = layer_norm(tape, o, NULL, w[G_NORM], w[G_NORM_BIAS], o->cols / c->heads.count, eps, NULL);
    return linear(tape, swiglu(tape, gate, o), w[O_PROJ]);
}

static const ModelLayout rwkv6_layout = {.model = "model",
                                         .final_norm = "norm",
                                         .mixer_norm = "attn_norm",
                                         .mixer = "attn",
                                         .first_norm = "pre_norm",
                                         .mlp = &rwkv6_channel_mix,
                                         .layer_norm = true};

const Mixer rwkv6_mixer = {
    .model_type = "rwkv6",
    .architecture = "RWKV6ForCausalLM",
    .keys = rwkv6_keys,
    .key_count = LENGTH(rwkv6_keys),
    .config_size = sizeof(Rwkv6Config),
    .model_defaults = "{hidden_ratio: 3.5, hidden_act: sqrelu, norm_eps: 1.0e-5}",
    .layout = &rwkv6_layout,
    .takes_attention = true,
    .complete = rwkv6_complete,
    .parameters = rwkv6_parameters,
    .forward = rwkv6_forward,
};
