#include "models/mixers/parts.h"

#include <math.h>
#include <string.h>

#include "base/log.h"

Status refused(const char *key, const char *what) {
    log_error("model.%s: %s", key, what);
    return BAD_INPUT;
}

Status refused_value(const char *key, int64_t value, const char *what) {
    log_error("model.%s is %lld; it %s", key, (long long)value, what);
    return BAD_INPUT;
}

Status heads_complete(HeadSizes *heads, const ModelConfig *model, int64_t num_heads, int64_t *num_kv_heads,
                      double expand_k, double expand_v) {
    if (num_kv_heads && *num_kv_heads < 0) *num_kv_heads = num_heads;
    const int64_t kv_count = num_kv_heads ? *num_kv_heads : num_heads;
    const int64_t key_size = (int64_t)((double)model->hidden_size * expand_k);
    const int64_t value_size = (int64_t)((double)model->hidden_size * expand_v);
    if (num_heads % kv_count != 0) {
        log_error("model: num_heads %lld is not a multiple of num_kv_heads %lld", (long long)num_heads,
                  (long long)kv_count);
        return BAD_INPUT;
    }
    if (key_size % num_heads != 0 || value_size % num_heads != 0 || key_size == 0 || value_size == 0) {
        log_error(
            "model: key width %lld (hidden_size * expand_k) and value width %lld (hidden_size * expand_v) must be "
            "multiples of num_heads %lld",
            (long long)key_size, (long long)value_size, (long long)num_heads);
        return BAD_INPUT;
    }
    *heads = (HeadSizes){num_heads, kv_count, key_size, value_size};
    return OK;
}

Status value_heads_complete(int64_t num_heads, int64_t *num_v_heads) {
    if (*num_v_heads < 0) *num_v_heads = num_heads;
    if (*num_v_heads % num_heads == 0) return OK;
    log_error("model: num_v_heads %lld is not a multiple of num_heads %lld", (long long)*num_v_heads,
              (long long)num_heads);
    return BAD_INPUT;
}

Status value_head_size(int64_t head_dim, double expand_v, int64_t *size) {
    const double exact = (double)head_dim * expand_v;
    *size = llround(exact);
    if (*size > 0 && fabs(exact - (double)*size) < 1e-5 * exact) return OK;
    log_error("model: head_dim %lld * expand_v %g is not a whole number", (long long)head_dim, expand_v);
    return BAD_INPUT;
}

Tensor *feature_map(Tape *tape, Tensor *x, const char *name) {
    if (!name) return x;
    const Activation kind = strcmp(name, "relu") == 0      ? ACTIVATION_RELU
                            : strcmp(name, "sigmoid") == 0 ? ACTIVATION_SIGMOID
                                                           : ACTIVATION_SILU;
    return activation(tape, x, kind);
}

const char *output_norm_name(const ModelConfig *model, bool use_output_gate) {
    const bool swish = strcmp(model->hidden_act, "swish") == 0 || strcmp(model->hidden_act, "silu") == 0;
    return use_output_gate && model->fuse_norm && swish ? "g_norm_swish_gate.weight" : "g_norm.weight";
}

Tensor *slot_attention(Tape *tape, Tensor *q, Tensor *k, Tensor *v, Tensor *s, Tensor *g, ChunkGlaShape shape) {
    Tensor *b = chunk_gla_values(tape, q, k, s, g, shape, NULL, NULL);
    Tensor *p = group_softmax(tape, b, b->cols / shape.heads);
    shape.scale = 1;
    return chunk_gla(tape, p, s, v, g, shape, NULL, NULL);
}

Status attention_heads(const ModelConfig *model, int64_t num_heads, int64_t *num_kv_heads, int64_t *head_size,
                       int64_t most, bool even) {
    if (*num_kv_heads < 0) *num_kv_heads = num_heads;
    if (num_heads % *num_kv_heads != 0) {
        log_error("model: num_heads %lld is not a multiple of num_kv_heads %lld", (long long)num_heads,
                  (long long)*num_kv_heads);
        return BAD_INPUT;
    }
    *head_size = model->hidden_size / num_heads;
    if (model->hidden_size % num_heads != 0 || *head_size > most || (even && *head_size % 2 != 0)) {
        log_error("model: hidden_size %lld / num_heads %lld must be %s head size of at most %lld",
                  (long long)model->hidden_size, (long long)num_heads, even ? "an even" : "a", (long long)most);
        return BAD_INPUT;
    }
    return OK;
}

Status heads_of_own_keys(const ModelConfig *model, int64_t num_heads, int64_t *num_key_value_heads) {
    if (*num_key_value_heads < 0) *num_key_value_heads = num_heads;
    if (*num_key_value_heads != num_heads) return refused("num_key_value_heads", "only num_heads is supported");
    if (model->hidden_size % num_heads != 0) return refused("num_heads", "does not divide hidden_size");
    return OK;
}

Tensor *normalised_attention(Tape *tape, Tensor *q, Tensor *k, Tensor *v, int64_t heads, float scale, float eps) {
    const ChunkSimpleGlaShape shape = {
        .heads = heads, .key_size = q->cols / heads, .value_size = v->cols / heads, .scale = scale};
    Tensor *o = chunk_simple_gla(tape, q, k, v, (ChunkSimpleGlaGates){0}, shape, NULL, NULL);
    return normalise(tape, o, chunk_normaliser(tape, q, k, NULL, NULL, heads, scale, NULL, NULL), NULL, eps);
}
