#include "models/model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "base/log.h"
#include "kernels/ops.h"

#define MODEL_KEY(name, type, default_text, low, high, choices, doc)                                                   \
    { #name, type, default_text, low, high, choices, doc, offsetof(ModelConfig, name) }

static const Key model_keys[] = {
    MODEL_KEY(model_type, KEY_STRING, "gla", 0, 0, NULL, "which model: the mixer's name"),
    MODEL_KEY(hidden_size, KEY_INTEGER, "2048", 1, 1 << 20, NULL, "width of the residual stream"),
    MODEL_KEY(num_hidden_layers, KEY_INTEGER, "24", 1, 4096, NULL, "layers"),
    MODEL_KEY(vocab_size, KEY_INTEGER, "32000", 1, 1 << 30, NULL, "rows of the embedding table"),
    MODEL_KEY(hidden_ratio, KEY_REAL | KEY_NULLABLE, "4", 1e-3, 1e3, NULL,
              "MLP width / hidden_size * 3/2, rounded up to 256"),
    MODEL_KEY(intermediate_size, KEY_INTEGER | KEY_NULLABLE, "null", 1, 1 << 24, NULL,
              "MLP width (null: by hidden_ratio)"),
    MODEL_KEY(hidden_act, KEY_CHOICE, "swish", 0, 0, "swish|silu", "activation of the MLP and of output gates"),
    MODEL_KEY(norm_eps, KEY_REAL, "1e-06", 0, 1, NULL, "added to the mean square in norms"),
    MODEL_KEY(initializer_range, KEY_REAL, "0.02", 0, 10, NULL, "standard deviation of initial matrices"),
    MODEL_KEY(max_position_embeddings, KEY_INTEGER, "2048", 1, 1e12, NULL,
              "length promised to Hugging Face; no table depends on it"),
    MODEL_KEY(tie_word_embeddings, KEY_BOOLEAN, "false", 0, 0, NULL, "the head uses the embedding table"),
    MODEL_KEY(elementwise_affine, KEY_BOOLEAN, "true", 0, 0, NULL, "norms have weights (false is not supported)"),
    MODEL_KEY(use_cache, KEY_BOOLEAN, "true", 0, 0, NULL, "for Hugging Face's generation"),
    MODEL_KEY(pad_token_id, KEY_INTEGER | KEY_NULLABLE, "null", 0, 1 << 30, NULL, "its embedding row gets no gradient"),
    MODEL_KEY(bos_token_id, KEY_INTEGER | KEY_NULLABLE, "1", 0, 1 << 30, NULL, "for Hugging Face's generation"),
    MODEL_KEY(eos_token_id, KEY_INTEGER | KEY_NULLABLE, "2", 0, 1 << 30, NULL, "for Hugging Face's generation"),
    MODEL_KEY(fuse_norm, KEY_BOOLEAN, "true", 0, 0, NULL, "fla's kernel choice; decides the name of GLA's output norm"),
    MODEL_KEY(fuse_swiglu, KEY_BOOLEAN, "true", 0, 0, NULL, "fla's kernel choice, without effect here"),
    MODEL_KEY(fuse_cross_entropy, KEY_BOOLEAN, "true", 0, 0, NULL, "fla's kernel choice, without effect here"),
    MODEL_KEY(fuse_linear_cross_entropy, KEY_BOOLEAN, "false", 0, 0, NULL, "fla's kernel choice, without effect here"),
    MODEL_KEY(use_l2warp, KEY_BOOLEAN, "false", 0, 0, NULL, "RWKV's regulariser (true is not supported)"),
};

/* Keys that need more than a value, and those that every Hugging Face config.json carries. */
typedef struct ExtraConfig {
    const ConfigValue *attn;
    int64_t attnres_block_size;
} ExtraConfig;

static const Key extra_keys[] = {
    {"attn", KEY_VALUE | KEY_NULLABLE, "null", 0, 0, NULL,
     "hybrid: {layers, num_heads, num_kv_heads, window_size, ...}", offsetof(ExtraConfig, attn)},
    {"attnres_block_size", KEY_INTEGER | KEY_NULLABLE, "null", 0, 0, NULL, "only null is supported",
     offsetof(ExtraConfig, attnres_block_size)},
    {"architectures", KEY_IGNORED, "null", 0, 0, NULL, "follows from model_type", 0},
    {"transformers_version", KEY_IGNORED, "null", 0, 0, NULL, "who wrote the file", 0},
    {"dtype", KEY_IGNORED, "null", 0, 0, NULL, "element type of the saved weights", 0},
    {"torch_dtype", KEY_IGNORED, "null", 0, 0, NULL, "element type of the saved weights", 0},
};

/* The hybrid key's own entries beside those of the attention mixer. */
typedef struct HybridConfig {
    IntegerList layers;
} HybridConfig;

static const Key hybrid_keys[] = {
    {"layers", KEY_INTEGER_LIST, "[]", 0, 1e6, NULL, "which layers are softmax attention",
     offsetof(HybridConfig, layers)},
};

static const ModelLayout usual_layout = {
    .model = "model", .final_norm = "norm", .mixer_norm = "attn_norm", .mixer = "attn", .mlp = true};

static Status unsupported(const char *key, const char *what) {
    if (log_rank() == 0) log_error("model.%s: %s is not supported", key, what);
    return BAD_INPUT;
}

static void *zeroed(int64_t count, size_t size) {
    void *memory = calloc((size_t)(count > 0 ? count : 1), size);
    CHECK(memory, "out of memory");
    return memory;
}

/* int(h * ratio * 2 / 3), rounded up to 256, as fla's GatedMLP. */
static int64_t mlp_width(const ModelConfig *c) {
    if (c->intermediate_size > 0) return c->intermediate_size;
    const double ratio = isnan(c->hidden_ratio) ? 4 : c->hidden_ratio;
    const int64_t width = (int64_t)((double)c->hidden_size * ratio * 2 / 3);
    return (width + 255) / 256 * 256;
}

/* The keys of `attn`: attention in the layers that it lists. */
static Status read_hybrid(Model *model, const ConfigValue *attn) {
    const Mixer *attention = mixer_find("transformer");
    if (!model->mixer->takes_attention)
        return config_error(attn, "model.attn: %s takes no hybrid layers", model->config.model_type);
    if (attn->type != VALUE_MAPPING) return config_error(attn, "model.attn must be a mapping {layers, num_heads, ...}");
    if (!config_value_get(attn, "num_heads")) return config_error(attn, "model.attn.num_heads is missing");
    if (config_value_get(attn, "qk_norm"))
        return config_error(attn, "model.attn.qk_norm: hybrid layers have no qk_norm in fla");
    HybridConfig hybrid = {0};
    model->attention_config = zeroed(1, attention->config_size);
    const KeyTable tables[] = {{attention->keys, attention->key_count, model->attention_config, "attn"},
                               {hybrid_keys, LENGTH(hybrid_keys), &hybrid, "attn"}};
    keys_defaults(tables, 2);
    Status status = keys_apply(tables, 2, attn, "model.attn", NULL);
    model->attention_layers = hybrid.layers.item; /* taken over */
    model->attention_layer_count = (int)hybrid.layers.count;
    if (status != OK) return status;
    if (hybrid.layers.count == 0)
        return config_error(attn, "model.attn.layers is empty: leave `attn` out for no hybrid layers");
    for (int64_t i = 0; i < hybrid.layers.count; i++) {
        if (hybrid.layers.item[i] < 0 || hybrid.layers.item[i] >= model->config.num_hidden_layers)
            return config_error(attn, "model.attn.layers: %lld is not a layer of 0..%lld",
                                (long long)hybrid.layers.item[i], (long long)model->config.num_hidden_layers - 1);
        for (int64_t j = 0; j < i; j++)
            if (hybrid.layers.item[i] == hybrid.layers.item[j])
                return config_error(attn, "model.attn.layers: %lld stands there twice",
                                    (long long)hybrid.layers.item[i]);
    }
    return attention->complete(model->attention_config, &model->config);
}

/* The shared keys' defaults that are the mixer's own. */
static void set_model_defaults(const Mixer *mixer, const KeyTable *table) {
    if (!mixer->model_defaults) return;
    ConfigValue *defaults = NULL;
    const size_t length = strlen(mixer->model_defaults);
    CHECK(config_value_read_yaml(mixer->model_type, mixer->model_defaults, length, &defaults) == OK &&
              keys_apply(table, 1, defaults, "model", NULL) == OK,
          "the defaults of %s", mixer->model_type);
    config_value_free(defaults);
}

/* Fills the model's and the mixer's config from the keys. */
static Status read_config(Model *model) {
    const ConfigValue *type = config_value_get(model->source, "model_type");
    if (!type || type->type != VALUE_STRING)
        return config_error(type ? type : model->source, "model.model_type is missing; one of: %s", mixer_names());
    model->mixer = mixer_find(type->text);
    if (!model->mixer)
        return config_error(type, "model.model_type: there is no mixer \"%s\"; one of: %s", type->text, mixer_names());
    model->layout = model->mixer->layout ? model->mixer->layout : &usual_layout;
    model->mixer_config = zeroed(1, model->mixer->config_size);
    ExtraConfig extra = {0};
    const KeyTable tables[] = {{model_keys, LENGTH(model_keys), &model->config, "model"},
                               {model->mixer->keys, model->mixer->key_count, model->mixer_config, "model"},
                               {extra_keys, LENGTH(extra_keys), &extra, "model"}};
    keys_defaults(tables, 3);
    set_model_defaults(model->mixer, &tables[0]);
    Status status = keys_apply(tables, 3, model->source, "model", config_hints());
    if (status != OK) return status;
    if (extra.attnres_block_size >= 0) return unsupported("attnres_block_size", "any value but null");
    if (!model->config.elementwise_affine) return unsupported("elementwise_affine", "false");
    if (model->config.use_l2warp) return unsupported("use_l2warp", "true");
    if (model->config.pad_token_id >= model->config.vocab_size)
        return unsupported("pad_token_id", "a token beyond vocab_size");
    status = model->mixer->complete(model->mixer_config, &model->config);
    if (status == OK && extra.attn) status = read_hybrid(model, extra.attn);
    return status;
}

static Parameter *add_parameter(Unit *unit, const char *name, int dims, const int64_t shape[], Init init) {
    CHECK(unit->parameters < UNIT_PARAMETERS, "%s has more than %d parameters", unit->name, UNIT_PARAMETERS);
    Parameter *p = &unit->parameter[unit->parameters++];
    *p = (Parameter){.dims = dims, .elements = 1, .init = init, .decay = dims > 1, .offset = unit->elements};
    const int length = snprintf(p->name, sizeof p->name, "%s", name);
    CHECK(length < PARAMETER_NAME, "the parameter name %s is too long", name);
    for (int i = 0; i < dims; i++) p->elements *= p->shape[i] = shape[i];
    const int64_t rows = dims > 1 ? shape[0] : 1;
    p->tensor = tensor_of(NULL, rows, p->elements / rows, F32);
    p->tensor.parameter = true;
    unit->elements += p->elements;
    return p;
}

/* "<layer>.<part>.<name>" */
static Tensor *add_layer_parameter(Layer *layer, const char *part, const char *name, int dims, const int64_t shape[],
                                   Init init) {
    char full[PARAMETER_NAME * 2];
    snprintf(full, sizeof full, "%s.%s.%s", layer->unit->name, part, name);
    return &add_parameter(layer->unit, full, dims, shape, init)->tensor;
}

static Init normal_init(const ModelConfig *config) { return (Init){INIT_NORMAL, 0, config->initializer_range}; }

void layer_drawn_matrix(Layer *layer, int index, const char *name, int64_t rows, int64_t cols, Init init) {
    layer->weight[index] = add_layer_parameter(layer, layer->layout->mixer, name, 2, (int64_t[]){rows, cols}, init);
}

void layer_matrix(Layer *layer, int index, const char *name, int64_t rows, int64_t cols) {
    layer_drawn_matrix(layer, index, name, rows, cols, normal_init(layer->model));
}

void layer_convolution(Layer *layer, int index, const char *name, int64_t channels, int64_t width) {
    layer->weight[index] = add_layer_parameter(layer, layer->layout->mixer, name, 3, (int64_t[]){channels, 1, width},
                                               normal_init(layer->model));
}

void layer_drawn_vector(Layer *layer, int index, const char *name, int64_t n, Init init) {
    layer->weight[index] = add_layer_parameter(layer, layer->layout->mixer, name, 1, &n, init);
}

void layer_vector(Layer *layer, int index, const char *name, int64_t n, double value) {
    layer_drawn_vector(layer, index, name, n, (Init){INIT_CONSTANT, value, 0});
}

void layer_shared_matrix(Layer *layer, int index, const char *name, int64_t rows, int64_t cols, double value) {
    char full[PARAMETER_NAME * 2];
    snprintf(full, sizeof full, "%s.%s", layer->layout->model, name);
    Unit *root = layer->root;
    for (int i = 0; i < root->parameters; i++)
        if (strcmp(root->parameter[i].name, full) == 0) layer->weight[index] = &root->parameter[i].tensor;
    if (layer->weight[index]) return;
    const Init constant = {INIT_CONSTANT, value, 0};
    layer->weight[index] = &add_parameter(root, full, 2, (int64_t[]){rows, cols}, constant)->tensor;
}

static void build_layer(Layer *layer) {
    const ModelConfig *c = layer->model;
    const int64_t h = c->hidden_size, width = mlp_width(c);
    const Init ones = {INIT_CONSTANT, 1, 0}, normal = normal_init(c);
    layer->mixer_norm = add_layer_parameter(layer, layer->layout->mixer_norm, "weight", 1, &h, ones);
    layer->mixer->parameters(layer);
    if (!layer->layout->mlp) return;
    layer->mlp_norm = add_layer_parameter(layer, "mlp_norm", "weight", 1, &h, ones);
    layer->gate_proj = add_layer_parameter(layer, "mlp", "gate_proj.weight", 2, (int64_t[]){width, h}, normal);
    layer->up_proj = add_layer_parameter(layer, "mlp", "up_proj.weight", 2, (int64_t[]){width, h}, normal);
    layer->down_proj = add_layer_parameter(layer, "mlp", "down_proj.weight", 2, (int64_t[]){h, width}, normal);
}

static bool is_attention_layer(const Model *model, int64_t index) {
    for (int i = 0; i < model->attention_layer_count; i++)
        if (model->attention_layers[i] == index) return true;
    return false;
}

static void build_root(Model *model, Unit *root) {
    const ModelConfig *c = &model->config;
    const int64_t table[] = {c->vocab_size, c->hidden_size};
    const Init ones = {INIT_CONSTANT, 1, 0};
    char name[PARAMETER_NAME];
    snprintf(name, sizeof name, "%s.embeddings.weight", model->layout->model);
    model->embeddings = &add_parameter(root, name, 2, table, normal_init(c))->tensor;
    snprintf(name, sizeof name, "%s.%s.weight", model->layout->model, model->layout->final_norm);
    model->norm = &add_parameter(root, name, 1, &c->hidden_size, ones)->tensor;
    model->lm_head = c->tie_word_embeddings ? model->embeddings
                                            : &add_parameter(root, "lm_head.weight", 2, table, normal_init(c))->tensor;
}

static void build_parameters(Model *model) {
    const ModelConfig *c = &model->config;
    model->layers = c->num_hidden_layers;
    model->units = (int)model->layers + 1;
    model->unit = zeroed(model->units, sizeof *model->unit);
    model->layer = zeroed(model->layers, sizeof *model->layer);
    Unit *root = &model->unit[0];
    snprintf(root->name, sizeof root->name, "root");
    build_root(model, root);
    for (int64_t i = 0; i < model->layers; i++) {
        Layer *layer = &model->layer[i];
        const bool attention = is_attention_layer(model, i);
        layer->mixer = attention ? mixer_find("transformer") : model->mixer;
        layer->config = attention ? model->attention_config : model->mixer_config;
        layer->model = c;
        layer->layout = model->layout;
        layer->index = i;
        layer->unit = &model->unit[i + 1];
        layer->root = root;
        snprintf(layer->unit->name, sizeof layer->unit->name, "%s.layers.%lld", model->layout->model, (long long)i);
        build_layer(layer);
    }
}

Status model_create(const ConfigValue *source, Model **result) {
    Model *model = zeroed(1, sizeof *model);
    model->source = config_value_copy(source);
    const Status status = read_config(model);
    if (status != OK) {
        model_destroy(model);
        return status;
    }
    build_parameters(model);
    *result = model;
    return OK;
}

Status model_from_file(const char *path, Model **model) {
    ConfigValue *source = NULL;
    Status status = config_value_read(path, &source);
    if (status != OK) return status;
    status = model_create(source, model);
    config_value_free(source);
    return status;
}

void model_destroy(Model *model) {
    if (!model) return;
    const Mixer *attention = mixer_find("transformer");
    keys_free(&(KeyTable){model_keys, LENGTH(model_keys), &model->config, NULL}, 1);
    if (model->mixer) keys_free(&(KeyTable){model->mixer->keys, model->mixer->key_count, model->mixer_config, NULL}, 1);
    if (model->attention_config)
        keys_free(&(KeyTable){attention->keys, attention->key_count, model->attention_config, NULL}, 1);
    free(model->mixer_config);
    free(model->attention_config);
    free(model->attention_layers);
    config_value_free(model->source);
    free(model->unit);
    free(model->layer);
    free(model);
}

Tensor *model_embed(const Model *model, Tape *tape) {
    return embedding(tape, model->embeddings, model->config.pad_token_id);
}

Tensor *model_layer(const Model *model, int64_t index, Tape *tape, Tensor *x) {
    const Layer *layer = &model->layer[index];
    const float eps = (float)model->config.norm_eps;
    Tensor *residual, *gate_up[2];
    Tensor *a = rms_norm(tape, x, NULL, layer->mixer_norm, eps, NULL);
    a = layer->mixer->forward(layer, tape, a);
    if (!layer->layout->mlp) return add(tape, x, a);
    a = rms_norm(tape, a, x, layer->mlp_norm, eps, &residual);
    linear_group(tape, a, (Tensor *[]){layer->gate_proj, layer->up_proj}, 2, gate_up);
    return add(tape, residual, linear(tape, swiglu(tape, gate_up[0], gate_up[1]), layer->down_proj));
}

Tensor *model_norm(const Model *model, Tape *tape, Tensor *x) {
    return rms_norm(tape, x, NULL, model->norm, (float)model->config.norm_eps, NULL);
}

int64_t model_parameter_count(const Model *model) {
    int64_t count = 0;
    for (int i = 0; i < model->units; i++) count += model->unit[i].elements;
    return count;
}

/* The effective configuration as one mapping: every key of the tables, then what the source had beyond them. */
static ConfigValue *effective_config(const Model *model) {
    const KeyTable tables[] = {{model_keys, LENGTH(model_keys), (void *)&model->config, ""},
                               {model->mixer->keys, model->mixer->key_count, model->mixer_config, ""}};
    char *text = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&text, &bytes);
    CHECK(file, "out of memory");
    for (int i = 0; i < LENGTH(tables); i++) keys_print(file, &tables[i]);
    fclose(file);
    ConfigValue *effective = NULL;
    CHECK(config_value_read_yaml("effective model configuration", text, bytes, &effective) == OK, "%s", text);
    free(text);
    for (int i = 0; i < model->source->count; i++) {
        const ConfigValue *given = model->source->item[i];
        const char *key = given->key;
        if (!config_value_get(effective, key)) config_value_set(effective, key, config_value_copy(given));
    }
    return effective;
}

static bool is_finite(const ConfigValue *value) {
    for (int i = 0; i < value->count; i++)
        if (!is_finite(value->item[i])) return false;
    return value->type != VALUE_REAL || isfinite(value->real);
}

/* JSON has no infinity, and releases of transformers differ in how they spell it. Only defaults are infinite: a reader
 * puts them in again. */
static void leave_out_infinities(ConfigValue *config) {
    int kept = 0;
    for (int i = 0; i < config->count; i++) {
        if (is_finite(config->item[i]))
            config->item[kept++] = config->item[i];
        else
            config_value_free(config->item[i]);
    }
    config->count = kept;
}

char *model_config_json(const Model *model) {
    ConfigValue *config = effective_config(model);
    leave_out_infinities(config);
    ConfigValue *architectures = config_value_new(VALUE_LIST, NULL, 0);
    architectures->item = zeroed(1, sizeof *architectures->item);
    architectures->item[architectures->count++] = config_value_string(model->mixer->architecture, NULL, 0);
    config_value_set(config, "architectures", architectures);
    config_value_set(config, "dtype", config_value_string("float32", NULL, 0));
    config_value_set(config, "torch_dtype", config_value_string("float32", NULL, 0));
    char *text = config_value_json(config);
    config_value_free(config);
    return text;
}

char *model_generation_config_json(const Model *model) {
    ConfigValue *config = config_value_new(VALUE_MAPPING, NULL, 0);
    ConfigValue *from_model = config_value_new(VALUE_BOOL, NULL, 0);
    from_model->boolean = true;
    config_value_set(config, "_from_model_config", from_model);
    const struct {
        const char *key;
        int64_t token;
    } tokens[] = {{"bos_token_id", model->config.bos_token_id}, {"eos_token_id", model->config.eos_token_id}};
    for (int i = 0; i < LENGTH(tokens); i++) {
        if (tokens[i].token < 0) continue;
        ConfigValue *value = config_value_new(VALUE_INTEGER, NULL, 0);
        value->integer = tokens[i].token;
        config_value_set(config, tokens[i].key, value);
    }
    char *text = config_value_json(config);
    config_value_free(config);
    return text;
}
