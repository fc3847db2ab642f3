/* Native Sparse Attention (Yuan et al. 2025, arXiv 2502.11089), as in fla's NativeSparseAttention, which compresses a
 * block to the mean of its keys and the mean of its values. Each query head computes, with the keys and values of its
 * key head:
 *
 *   q, k, v = x Wq, x Wk, x Wv (+ biases); q, k = rotate(q), rotate(k)
 *   compressed: softmax attention to the means of k and v over the whole blocks so far
 *   selected:   softmax attention to the tokens of block_counts blocks: the first, the token's own, the one before it,
 *               and those that get most of the compressed attention of the key head's query heads
 *   window:     softmax attention to the last window_size tokens, the token's own included
 *   y = (sum over the three branches of sigmoid(x Wg) o) Wo          a gate for each branch and query head */
#include "base/log.h"
#include "kernels/ops.h"
#include "models/model.h"

typedef struct NsaConfig {
    int64_t num_heads, num_kv_heads, head_dim, block_size, block_counts, window_size;
    double rope_theta;
    bool qkv_bias;
} NsaConfig;

static const Key nsa_keys[] = {
    KEY(NsaConfig, num_heads, KEY_INTEGER, "64", 16, 4096, NULL, "query heads"),
    KEY(NsaConfig, num_kv_heads, KEY_INTEGER, "4", 1, 256, NULL, "key and value heads"),
    KEY(NsaConfig, head_dim, KEY_INTEGER, "32", 2, 128, NULL, "head size"),
    KEY(NsaConfig, qkv_bias, KEY_BOOLEAN, "false", 0, 0, NULL, "biases on the q, k and v projections"),
    KEY(NsaConfig, block_size, KEY_INTEGER, "64", 1, 1 << 20, NULL, "tokens of a block"),
    KEY(NsaConfig, block_counts, KEY_INTEGER, "16", 3, 1 << 20, NULL, "blocks that a token selects"),
    KEY(NsaConfig, window_size, KEY_INTEGER, "512", 1, 1e9, NULL,
        "tokens to which the window branch attends, the query's own included"),
    KEY(NsaConfig, rope_theta, KEY_REAL, "10000.0", 1, 1e12, NULL, "base of the rotary frequencies"),
};

enum { Q_PROJ, K_PROJ, V_PROJ, G_PROJ, O_PROJ, Q_BIAS, K_BIAS, V_BIAS };

/* Each key head is read by 16, 32, 64, ... query heads, as in fla. */
static Status nsa_complete(void *config, const ModelConfig *model) {
    const NsaConfig *c = config;
    const int64_t group = c->num_heads / c->num_kv_heads;
    (void)model;
    if (c->num_heads % c->num_kv_heads != 0 || group < 16 || (group & (group - 1)) != 0) {
        log_error("model: num_heads %lld / num_kv_heads %lld must be a power of two of at least 16",
                  (long long)c->num_heads, (long long)c->num_kv_heads);
        return BAD_INPUT;
    }
    if (c->head_dim % 2 != 0) {
        log_error("model: head_dim %lld must be even, because positions rotate pairs of columns",
                  (long long)c->head_dim);
        return BAD_INPUT;
    }
    return OK;
}

static void nsa_parameters(Layer *layer) {
    const NsaConfig *c = layer->config;
    const int64_t h = layer->model->hidden_size, size = c->num_heads * c->head_dim;
    const int64_t kv_size = c->num_kv_heads * c->head_dim;
    layer_matrix(layer, Q_PROJ, "q_proj.weight", size, h);
    layer_matrix(layer, K_PROJ, "k_proj.weight", kv_size, h);
    layer_matrix(layer, V_PROJ, "v_proj.weight", kv_size, h);
    layer_matrix(layer, G_PROJ, "g_proj.weight", 3 * c->num_heads, h); /* row 3 * head + branch */
    layer_matrix(layer, O_PROJ, "o_proj.weight", h, size);
    if (!c->qkv_bias) return;
    layer_vector(layer, Q_BIAS, "q_proj.bias", size, 0);
    layer_vector(layer, K_BIAS, "k_proj.bias", kv_size, 0);
    layer_vector(layer, V_BIAS, "v_proj.bias", kv_size, 0);
}

static Tensor *nsa_forward(const Layer *layer, Tape *tape, Tensor *x) {
    const NsaConfig *c = layer->config;
    Tensor *const *w = layer->weight;
    Tensor *qkvg[4], *selected, *branch[3];
    linear_group(tape, x, &w[Q_PROJ], 4, qkvg);
    if (c->qkv_bias)
        for (int i = 0; i < 3; i++) qkvg[i] = bias(tape, qkvg[i], w[Q_BIAS + i]);
    Tensor *q = rotary(tape, qkvg[0], c->head_dim, (float)c->rope_theta);
    Tensor *k = rotary(tape, qkvg[1], c->head_dim, (float)c->rope_theta), *v = qkvg[2];
    const BlockAttentionShape blocks = {c->num_heads, c->num_kv_heads, c->block_size, c->block_counts};
    const AttentionShape window = {c->num_heads, c->num_kv_heads, c->window_size};
    branch[0] = compressed_attention(tape, q, block_means(tape, k, c->block_size), block_means(tape, v, c->block_size),
                                     blocks, &selected);
    branch[1] = selected_attention(tape, q, k, v, selected, blocks);
    branch[2] = attention(tape, q, k, v, window);
    return linear(tape, branch_gate(tape, qkvg[3], branch, c->num_heads), w[O_PROJ]);
}

const Mixer nsa_mixer = {
    .model_type = "nsa",
    .architecture = "NSAForCausalLM",
    .keys = nsa_keys,
    .key_count = LENGTH(nsa_keys),
    .config_size = sizeof(NsaConfig),
    .complete = nsa_complete,
    .parameters = nsa_parameters,
    .forward = nsa_forward,
};
